package interpreter_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/sandbox/interpreter"
)

// entry is one entry of a package.
type entry struct {
	name    string
	content string
	mode    int64
	kind    byte
	link    string
}

func pack(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	archive := tar.NewWriter(z)
	for _, e := range entries {
		if e.kind == 0 {
			e.kind = tar.TypeReg
		}
		must(t, archive.WriteHeader(&tar.Header{
			Name: e.name, Mode: e.mode, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.content)),
		}))
		_, err := archive.Write([]byte(e.content))
		must(t, err)
	}
	must(t, archive.Close())
	must(t, z.Close())
	return packed.Bytes()
}

// node is a program for this machine that can stand for Node.js.
func node(t *testing.T) entry {
	t.Helper()
	raw, err := os.ReadFile("/usr/bin/true")
	must(t, err)
	return entry{name: "package/bin/node", content: string(raw), mode: 0o755}
}

// registry is an npm registry that has node-linux-* in the versions given.
type registry struct {
	*httptest.Server
	packages map[string][]byte // by version
	sums     map[string]string // by version, where they differ from the truth
	serve    func(w http.ResponseWriter, packed []byte)
	asked    atomic.Int32
}

func newRegistry(t *testing.T, packages map[string][]byte) *registry {
	r := &registry{packages: packages, sums: map[string]string{}}
	r.serve = func(w http.ResponseWriter, packed []byte) { w.Write(packed) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mirror/{package}", r.metadata)
	mux.HandleFunc("GET /mirror/{package}/-/{version}", func(w http.ResponseWriter, req *http.Request) {
		r.asked.Add(1)
		r.serve(w, r.packages[req.PathValue("version")])
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *registry) url() string { return r.URL + "/mirror" }

func (r *registry) metadata(w http.ResponseWriter, req *http.Request) {
	cpu := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if req.PathValue("package") != "node-linux-"+cpu {
		http.NotFound(w, req)
		return
	}
	versions := map[string]any{}
	for version, packed := range r.packages {
		sum, differs := r.sums[version]
		if !differs {
			sum = integrity(packed)
		}
		// As mirrors do, it names the host of another.
		tarball := "https://registry.example/mirror/" + req.PathValue("package") + "/-/" + version
		versions[version] = map[string]any{"dist": map[string]string{"integrity": sum, "tarball": tarball}}
	}
	json.NewEncoder(w).Encode(map[string]any{"versions": versions})
}

func integrity(packed []byte) string {
	sum := sha512.Sum512(packed)
	return "sha1-AAAA sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

func install(t *testing.T, r *registry, data string) (interpreter.Interpreter, error) {
	return interpreter.Install(t.Context(), "nodejs22.x", interpreter.InstallOptions{DataDir: data, Registry: r.url()})
}

func TestInstall(t *testing.T) {
	good := pack(t,
		entry{name: "package/package.json", content: "{}", mode: 0o600},
		entry{name: "package/share", kind: tar.TypeDir, mode: 0o755},
		entry{name: "package/share/man", content: "long"},
		node(t))
	r := newRegistry(t, map[string][]byte{
		"22.9.0": []byte("older"), "22.11.0": good, "22.12.0-rc.1": []byte("unfinished"), "23.0.0": []byte("another"),
	})
	data := t.TempDir()
	var done, total int64
	got, err := interpreter.Install(t.Context(), "nodejs22.x", interpreter.InstallOptions{
		DataDir: data, Registry: r.url(), Progress: func(d, of int64) { done, total = d, of },
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(data, "runtimes", "nodejs22.x")
	want := interpreter.Interpreter{
		Path: "/var/lang/bin/node", Version: "22.11.0", Source: interpreter.SourceInstalled,
		Mounts: []interpreter.Mount{{Source: dir, Target: "/var/lang"}},
	}
	if diff := cmp.Diff(want, got, exported); diff != "" {
		t.Error(diff)
	}
	if done != int64(len(good)) || total != done {
		t.Errorf("progress ended at %d of %d, want %d", done, total, len(good))
	}
	wantTree := map[string]string{
		"bin": "drwxr-xr-x", "bin/node": "-rwxr-xr-x", "package.json": "-rw-r--r--", "thermocline.json": "-rw-r--r--",
	}
	if diff := cmp.Diff(wantTree, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	wantLeft(t, data, ".lock", "nodejs22.x")

	t.Run("is found afterwards, before the host's own", func(t *testing.T) {
		m := newMachine(t)
		m.data = data
		m.program(m.bin("node"), "v22.99.0\n")
		found, err := m.discover().Lookup("nodejs22.x")
		if diff := cmp.Diff(want, found, exported); err != nil || diff != "" {
			t.Error(err, diff)
		}
	})
	t.Run("a second time does nothing", func(t *testing.T) {
		asked := r.asked.Load()
		if _, err := install(t, r, data); err != nil || r.asked.Load() != asked {
			t.Errorf("err = %v, packages asked for: %d more", err, r.asked.Load()-asked)
		}
	})
	t.Run("a damaged one is replaced", func(t *testing.T) {
		must(t, os.Remove(filepath.Join(dir, "bin", "node")))
		if _, err := install(t, r, data); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantTree, tree(t, dir)); diff != "" {
			t.Error(diff)
		}
		wantLeft(t, data, ".lock", ".versions.json", "nodejs22.x")
	})
}

// tree returns what is below dir with its modes.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && rel != "." {
			found[rel] = info.Mode().String()
		}
		return err
	}))
	return found
}

// wantLeft fails unless the runtimes directory holds exactly these.
func wantLeft(t *testing.T, data string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(data, "runtimes"))
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left in the runtimes directory: %s", diff)
	}
}

func TestInstallRefuses(t *testing.T) {
	good := pack(t, node(t))
	for name, tc := range map[string]struct {
		packed []byte
		sum    string // "" for the truth
		serve  func(w http.ResponseWriter, packed []byte)
		want   string
	}{
		"a wrong integrity": {packed: good, sum: integrity([]byte("another")), want: "SHA-512 differs"},
		"no integrity":      {packed: good, sum: "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=", want: "gives no SHA-512"},
		"a short integrity": {packed: good, sum: "sha512-AAAA", want: "is damaged"},
		"an end too early": {packed: good, serve: func(w http.ResponseWriter, packed []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(packed)))
			w.Write(packed[:len(packed)/2])
		}, want: "unexpected EOF"},
		"an end too early that nothing shows": {packed: good, serve: func(w http.ResponseWriter, packed []byte) {
			w.Write(packed[:len(packed)/2])
			w.(http.Flusher).Flush()
		}, want: "SHA-512 differs"},
		"an error": {packed: good, serve: func(w http.ResponseWriter, _ []byte) {
			http.Error(w, "no", http.StatusBadGateway)
		}, want: "502 Bad Gateway"},
		"a length over the limit": {packed: good, serve: func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(1<<40))
		}, want: "is larger than"},
		"a truncated package":    {packed: good[:len(good)-100], want: "unexpected EOF"},
		"no gzip":                {packed: []byte("#!/bin/sh"), want: "is no gzip"},
		"a path upwards":         {packed: pack(t, node(t), entry{name: "package/../../../evil", content: "x"}), want: "unsafe path"},
		"a path upwards, nested": {packed: pack(t, node(t), entry{name: "package/a/../b", content: "x"}), want: "unsafe path"},
		"an absolute path":       {packed: pack(t, node(t), entry{name: "/etc/evil", content: "x"}), want: "unsafe path"},
		"a backslash":            {packed: pack(t, node(t), entry{name: `package\..\evil`, content: "x"}), want: "unsafe path"},
		"a link":                 {packed: pack(t, entry{name: "package/bin", kind: tar.TypeSymlink, link: "/usr/bin"}, node(t)), want: "neither a file nor a directory"},
		"a hard link":            {packed: pack(t, node(t), entry{name: "package/x", kind: tar.TypeLink, link: "../../x"}), want: "neither a file nor a directory"},
		"a device":               {packed: pack(t, node(t), entry{name: "package/x", kind: tar.TypeBlock}), want: "neither a file nor a directory"},
		"a name twice":           {packed: pack(t, node(t), node(t)), want: "file exists"},
		"our own file":           {packed: pack(t, node(t), entry{name: "package/thermocline.json", content: "{}"}), want: "whose name is taken"},
		"no program":             {packed: pack(t, entry{name: "package/package.json", content: "{}"}), want: "no such file"},
		"a script":               {packed: pack(t, entry{name: "package/bin/node", content: "#!/bin/sh\n", mode: 0o755}), want: "is not a program"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, map[string][]byte{"22.11.0": tc.packed})
			if tc.sum != "" {
				r.sums["22.11.0"] = tc.sum
			}
			if tc.serve != nil {
				r.serve = tc.serve
			}
			data := t.TempDir()
			_, err := install(t, r, data)
			if thermocline.KindOf(err) != thermocline.KindUnavailable || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Install = %v, want KindUnavailable with %q", err, tc.want)
			}
			wantLeft(t, data, ".lock")
		})
	}
}

func TestInstallNeedsAKnownRuntimeAndAPackage(t *testing.T) {
	r := newRegistry(t, map[string][]byte{"21.0.0": nil})
	for _, tc := range []struct {
		runtime string
		kind    thermocline.Kind
		want    string
	}{
		{"nodejs16.x", thermocline.KindInvalidParameter, "These can be installed: nodejs18.x, nodejs20.x, nodejs22.x, nodejs24.x."},
		{"../../evil", thermocline.KindInvalidParameter, "is not known here"},
		{"python3.12", thermocline.KindInvalidParameter, "install it under /usr"},
		{"provided.al2", thermocline.KindInvalidParameter, "needs no installation"},
		{"nodejs22.x", thermocline.KindUnavailable, "the registry has no node-linux-"},
	} {
		t.Run(tc.runtime, func(t *testing.T) {
			_, err := interpreter.Install(t.Context(), tc.runtime, interpreter.InstallOptions{DataDir: t.TempDir(), Registry: r.url()})
			if thermocline.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Install = %v (kind %d), want kind %d with %q", err, thermocline.KindOf(err), tc.kind, tc.want)
			}
		})
	}
}

func TestInstallCancelledLeavesNothing(t *testing.T) {
	good := pack(t, node(t))
	r := newRegistry(t, map[string][]byte{"22.11.0": good})
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	defer close(release) // before the server is closed, which waits for its handlers
	r.serve = func(w http.ResponseWriter, packed []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(packed)))
		w.Write(packed[:10])
		w.(http.Flusher).Flush()
		cancel() // as Ctrl-C does, in the midst of it
		<-release
	}
	data := t.TempDir()
	_, err := interpreter.Install(ctx, "nodejs22.x", interpreter.InstallOptions{DataDir: data, Registry: r.url()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Install = %v, want that it was cancelled", err)
	}
	wantLeft(t, data, ".lock")
}

func TestInstallCleansUpAfterAKilledOne(t *testing.T) {
	r := newRegistry(t, map[string][]byte{"22.11.0": pack(t, node(t))})
	data := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(data, "runtimes", ".installing-123", "ready"), 0o755))
	must(t, os.MkdirAll(filepath.Join(data, "runtimes", "nodejs22.x", "bin"), 0o755))
	if _, err := install(t, r, data); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, data, ".lock", "nodejs22.x")
}

func TestInstallAtTheSameTime(t *testing.T) {
	r := newRegistry(t, map[string][]byte{"22.11.0": pack(t, node(t))})
	data := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := install(t, r, data); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := r.asked.Load(); n != 1 {
		t.Errorf("downloaded %d times, want once", n)
	}
	wantLeft(t, data, ".lock", "nodejs22.x")
}

// TestInstallForReal takes Node.js 22 from the registry that npm is configured
// with and runs it.
func TestInstallForReal(t *testing.T) {
	data := t.TempDir()
	got, err := interpreter.Install(t.Context(), "nodejs22.x", interpreter.InstallOptions{DataDir: data})
	if unreachable(err) && os.Getenv("CI") == "" {
		t.Skipf("SKIPPED: the npm registry cannot be reached from here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(got.Mounts[0].Source, strings.TrimPrefix(got.Path, got.Mounts[0].Target))
	out, err := exec.CommandContext(t.Context(), program, "-p", "process.version").Output()
	if want := "v" + got.Version + "\n"; err != nil || string(out) != want {
		t.Errorf("%s says %q, %v; want %q", program, out, err, want)
	}
	t.Logf("installed Node.js %s", got.Version)
}

// unreachable reports whether err is the network's and not ours.
func unreachable(err error) bool {
	var netErr net.Error
	var urlErr *url.Error
	return errors.As(err, &netErr) || errors.As(err, &urlErr)
}
