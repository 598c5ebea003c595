package code_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"thermocline"
	"thermocline/store/code"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// f is one entry of a zip of the tests.
type f struct {
	name string
	mode fs.FileMode // 0: 0644
	body string
}

func zipOf(t testing.TB, files ...f) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range files {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode == 0 {
			e.mode = 0o644
		}
		if e.body == "" {
			h.Method = zip.Store // starting the compressor 100,000 times takes a while
		}
		h.SetMode(e.mode)
		fw, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(e.name, "/") {
			if _, err := io.WriteString(fw, e.body); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// corrupt flips a byte of the content of a stored entry.
func corrupt(t testing.TB) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	fw, err := w.CreateHeader(&zip.FileHeader{Name: "a", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(fw, "needle in a haystack")
	w.Close()
	return bytes.Replace(b.Bytes(), []byte("needle"), []byte("noodle"), 1)
}

// liar declares a size of 1 byte for a content of 1 MB.
func liar(t testing.TB) []byte {
	z := zipOf(t, f{name: "a", body: strings.Repeat("x", 1<<20)})
	at := bytes.Index(z, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(z[at+24:], 1)
	return z
}

// bomb has n entries of 1 MB each, compressed once.
func bomb(t testing.TB, n int) []byte {
	body := make([]byte, 1<<20)
	var packed bytes.Buffer
	fw, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	fw.Write(body)
	fw.Close()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range n {
		rw, err := w.CreateRaw(&zip.FileHeader{
			Name: fmt.Sprint(i), Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(body),
			CompressedSize64: uint64(packed.Len()), UncompressedSize64: uint64(len(body)),
		})
		if err != nil {
			t.Fatal(err)
		}
		rw.Write(packed.Bytes())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func link(name, target string) f { return f{name, fs.ModeSymlink | 0o777, target} }

func TestCheck(t *testing.T) {
	const notZip = "Could not unzip uploaded file. Please check your file, then try to upload again."
	const tooLarge = "Unzipped size must be smaller than 262144000 bytes"
	many := make([]f, code.MaxEntries+1)
	for i := range many {
		many[i].name = fmt.Sprintf("%d", i)
	}
	for _, tc := range []struct {
		name string
		zip  []byte
		want string // part of the message; "" accepts
	}{
		{"plain", zipOf(t, f{name: "index.js", body: "x"}, f{name: "lib/", mode: fs.ModeDir | 0o755}, f{name: "lib/a.js"}), ""},
		{"directories left out", zipOf(t, f{name: "a/b/c.js"}), ""},
		{"directory after its file", zipOf(t, f{name: "a/b"}, f{name: "a/", mode: fs.ModeDir}), ""},
		{"names that clean", zipOf(t, f{name: "./a"}, f{name: "b//c"}, f{name: "./", mode: fs.ModeDir}), ""},
		{"no entries", zipOf(t), ""},
		{"links within", zipOf(t, f{name: "a/b"}, link("l", "a/b"), link("a/up", "../l"), link("dangling", "not/there")), ""},
		{"a backslash is a character", zipOf(t, f{name: `..\..\a`}), ""},

		{"not a zip", []byte("hello"), notZip},
		{"empty", nil, notZip},
		{"cut off", zipOf(t, f{name: "a", body: "hello"})[:40], notZip},
		{"corrupt content", corrupt(t), notZip},
		{"lies about its size", liar(t), notZip},
		{"bomb", bomb(t, 251), tooLarge},
		{"just not a bomb", bomb(t, 4), ""},
		{"too many", zipOf(t, many...), "more than 100000 entries"},
		{"deep names", zipOf(t, deep(60)...), "more than 100000 entries"},

		{"absolute", zipOf(t, f{name: "/etc/passwd"}), "absolute"},
		{"escapes", zipOf(t, f{name: "../a"}), "leaves the package"},
		{"escapes in the middle", zipOf(t, f{name: "a/../../b"}), "leaves the package"},
		{"dots that stay", zipOf(t, f{name: "a/../b"}), "leaves the package"},
		{"no name", zipOf(t, f{name: ""}), "no valid name"},
		{"a dot", zipOf(t, f{name: "."}), "no valid name"},
		{"nul", zipOf(t, f{name: "a\x00b"}), "no valid name"},
		{"long element", zipOf(t, f{name: strings.Repeat("a", 256)}), "longer than 255"},
		{"long name", zipOf(t, f{name: strings.Repeat("abcdefg/", 512) + "a"}), "longer than 4095"},
		{"twice", zipOf(t, f{name: "a"}, f{name: "./a"}), "there twice"},
		{"file and directory", zipOf(t, f{name: "a"}, f{name: "a/", mode: fs.ModeDir}), "there twice"},
		{"below a file", zipOf(t, f{name: "a"}, f{name: "a/b"}), "not a directory"},
		{"a file becomes a parent", zipOf(t, f{name: "a/b"}, f{name: "a"}), "there twice"},
		{"device", zipOf(t, f{name: "a", mode: fs.ModeDevice | 0o666}), "neither a file"},
		{"fifo", zipOf(t, f{name: "a", mode: fs.ModeNamedPipe | 0o666}), "neither a file"},

		{"absolute link", zipOf(t, link("l", "/etc/passwd")), "leads out"},
		{"link out", zipOf(t, link("l", "../x")), "leads out"},
		{"link out from below", zipOf(t, link("a/l", "../../x")), "leads out"},
		{"link out through a link", zipOf(t, link("s/t/up", "../.."), link("x", "s/t/up/../y")), "leads out"},
		{"link to itself", zipOf(t, link("l", "l")), "leads out"},
		{"links in a circle", zipOf(t, link("a", "b/x"), link("b", "a/x")), "leads out"},
		{"below a link", zipOf(t, link("l", "a"), f{name: "l/b"}), "not a directory"},
		{"link over a directory", zipOf(t, f{name: "l/b"}, link("l", "a")), "there twice"},
		{"empty link", zipOf(t, link("l", "")), "no valid target"},
		{"long link", zipOf(t, link("l", strings.Repeat("a", 5000))), "no valid target"},
		{"links that grow", zipOf(t, link("a", strings.Repeat("x/", 2000)), link("b", "a/"+strings.Repeat("y/", 200)+"z")), "leads out"},
		{"links that multiply", zipOf(t, doubling(30)...), "leads out"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := code.Check(tc.zip)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *thermocline.Error
			if !errors.As(err, &e) || e.Kind != thermocline.KindInvalidParameter || !strings.Contains(e.Message, tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// deep makes files with 2,000 parents each, of their own.
func deep(n int) (fs []f) {
	for i := range n {
		fs = append(fs, f{name: fmt.Sprintf("%d/", i) + strings.Repeat("a/", 2000) + "x"})
	}
	return fs
}

// doubling makes links that each lead twice through the one before.
func doubling(n int) []f {
	fs := []f{{name: "l0/x"}}
	for i := 1; i < n; i++ {
		fs = append(fs, link(fmt.Sprintf("l%d", i), fmt.Sprintf("l%d/../l%d", i-1, i-1)))
	}
	return fs
}

// shelf is where a Cache fetches from.
type shelf struct {
	mu    sync.Mutex
	zips  map[string][]byte
	opens atomic.Int64
	gate  chan struct{} // nil: open
}

func (s *shelf) add(zip []byte) string {
	sum := sha256.Sum256(zip)
	sha := base64.StdEncoding.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zips == nil {
		s.zips = map[string][]byte{}
	}
	s.zips[sha] = zip
	return sha
}

func (s *shelf) open(ctx context.Context, sha string) (io.ReadCloser, error) {
	s.opens.Add(1)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	zip, ok := s.zips[sha]
	if !ok {
		return nil, thermocline.Errorf(thermocline.KindNotFound, "no such code")
	}
	return io.NopCloser(bytes.NewReader(zip)), nil
}

func newCache(t *testing.T, dir string, s *shelf, max int64) *code.Cache {
	t.Helper()
	c, err := code.NewCache(dir, s.open, max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCacheUnpacks(t *testing.T) {
	s := &shelf{}
	sha := s.add(zipOf(t,
		f{"bin/run", 0o700, "#!/bin/sh"}, f{"data", 0o400, "d"}, f{"set", fs.ModeSetuid | 0o4777, "s"},
		f{"open/", fs.ModeDir | 0o777, ""}, link("l", "bin/run")))
	c := newCache(t, filepath.Join(t.TempDir(), "code"), s, 1<<30)
	dir, release, err := c.Dir(t.Context(), sha)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	got := map[string]string{}
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		info, _ := d.Info()
		rel, _ := filepath.Rel(dir, p)
		got[rel] = info.Mode().String()
		return nil
	})
	want := map[string]string{
		".": "drwxr-xr-x", "bin": "drwxr-xr-x", "bin/run": "-rwxr-xr-x", "data": "-rw-r--r--",
		"set": "-rwxr-xr-x", "open": "drwxr-xr-x", "l": "Lrwxrwxrwx",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "l")); err != nil || string(b) != "#!/bin/sh" {
		t.Errorf("through the link: %q, %v", b, err)
	}
}

func TestCacheUnpacksOnce(t *testing.T) {
	s := &shelf{gate: make(chan struct{})}
	sha := s.add(zipOf(t, f{name: "a", body: "b"}))
	c := newCache(t, t.TempDir(), s, 1<<30)

	// The first one gives up; those who wait with it get the package.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Dir(ctx, sha); !errors.Is(err, context.Canceled) {
		t.Fatalf("gave up with %v", err)
	}
	var wg sync.WaitGroup
	dirs := make([]string, 20)
	for i := range dirs {
		wg.Go(func() {
			dir, release, err := c.Dir(t.Context(), sha)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			dirs[i] = dir
		})
	}
	close(s.gate)
	wg.Wait()
	for _, d := range dirs {
		if d != dirs[0] {
			t.Errorf("two directories: %s, %s", d, dirs[0])
		}
	}
	if n := s.opens.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestCacheErrors(t *testing.T) {
	s := &shelf{}
	c := newCache(t, t.TempDir(), s, 1<<30)
	good := s.add(zipOf(t, f{name: "a", body: "b"}))
	bad := s.add([]byte("no zip"))
	evil := s.add(zipOf(t, f{name: "../../evil"}))
	rotten := s.add(zipOf(t, f{name: "r"}))
	s.zips[rotten] = zipOf(t, f{name: "other"})
	absent := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, tc := range []struct {
		sha  string
		want thermocline.Kind
	}{
		{bad, thermocline.KindInvalidZip}, {evil, thermocline.KindInvalidZip}, {rotten, thermocline.KindInternal},
		{absent, thermocline.KindNotFound}, {"../../etc", thermocline.KindInvalidParameter}, {"", thermocline.KindInvalidParameter},
	} {
		for range 2 { // errors are not remembered, nor do they break anything
			if _, _, err := c.Dir(t.Context(), tc.sha); err == nil || thermocline.KindOf(err) != tc.want {
				t.Errorf("%q: %v", tc.sha, err)
			}
		}
	}
	s.zips[absent] = nil
	dir, release, err := c.Dir(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	release()
	release() // idempotent

	// Somebody cleans up by hand: it is unpacked again.
	os.RemoveAll(filepath.Dir(dir))
	again, release, err := c.Dir(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := os.Stat(filepath.Join(again, "a")); err != nil {
		t.Error(err)
	}
	c.Close()
	if _, _, err := c.Dir(t.Context(), good); thermocline.KindOf(err) != thermocline.KindUnavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestCacheEvicts(t *testing.T) {
	s := &shelf{}
	body := strings.Repeat("x", 1<<20)
	var shas []string
	for i := range 4 {
		shas = append(shas, s.add(zipOf(t, f{name: fmt.Sprint(i), body: body})))
	}
	c := newCache(t, t.TempDir(), s, 5<<19) // room for two of about 1 MB
	get := func(i int) (string, func()) {
		t.Helper()
		dir, release, err := c.Dir(t.Context(), shas[i])
		if err != nil {
			t.Fatal(err)
		}
		return dir, release
	}
	there := func(dir string) bool { _, err := os.Stat(dir); return err == nil }
	// Removal is not waited for by those who ask for another package.
	gone := func(dir string) bool {
		for range 1000 {
			if !there(dir) {
				return true
			}
			time.Sleep(10 * time.Millisecond)
		}
		return false
	}
	d0, r0 := get(0)
	d1, r1 := get(1)
	r1()
	d2, r2 := get(2) // 1 is the only one that nobody holds
	if !gone(d1) || !there(d0) || !there(d2) {
		t.Errorf("after the third: %v %v %v", there(d0), there(d1), there(d2))
	}
	d3, r3 := get(3) // all held: more than the limit
	if !there(d0) || !there(d2) || !there(d3) {
		t.Error("what is held was evicted")
	}
	r2()
	if there(d2) {
		t.Error("over the limit and released, but there")
	}
	r0()
	r3()
	if !there(d0) || !there(d3) {
		t.Error("evicted below the limit")
	}
}

func TestCacheSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s := &shelf{}
	sha := s.add(zipOf(t, f{name: "a", body: "b"}))
	other := s.add(zipOf(t, f{name: "c", body: "d"}))
	c := newCache(t, dir, s, 1<<30)
	kept, release, err := c.Dir(t.Context(), sha)
	if err != nil {
		t.Fatal(err)
	}
	release()
	half, release, err := c.Dir(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	release()
	c.Close()

	// A crash leaves one that is being removed, and one that is being made.
	if err := os.Remove(filepath.Join(filepath.Dir(half), "mark.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp", "123", "task"), 0o755); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "notes.txt")
	os.WriteFile(foreign, []byte("mine"), 0o600)

	before := s.opens.Load()
	c = newCache(t, dir, s, 1<<30)
	again, release, err := c.Dir(t.Context(), sha)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if again != kept || s.opens.Load() != before {
		t.Errorf("unpacked again: %s, %s", kept, again)
	}
	for _, gone := range []string{half, filepath.Join(dir, "tmp", "123")} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error("a file that is not the cache's was removed")
	}
	c.Close()

	// After the machine went down nothing is trusted.
	os.WriteFile(filepath.Join(dir, "boot"), []byte("another"), 0o600)
	newCache(t, dir, s, 1<<30)
	if _, err := os.Stat(kept); err == nil {
		t.Error("kept what was never synced")
	}
}

func seeds(f0 *testing.F) {
	f0.Add(zipOf(f0, f{name: "index.js", body: "exports.handler = async () => 1"}))
	f0.Add(zipOf(f0, f{name: "a/b"}, link("l", "a/b"), link("a/up", "..")))
	f0.Add(zipOf(f0, link("s/t/up", "../.."), link("x", "s/t/up/../y"), f{name: "../e"}))
	f0.Add(zipOf(f0, f{name: "a", mode: fs.ModeDevice}, f{name: "a"}, f{name: "/x"}))
	f0.Add(corrupt(f0))
	f0.Add(liar(f0))
	f0.Add([]byte("PK\x05\x06"))
}

func FuzzCheck(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := code.Check(data); err != nil && thermocline.KindOf(err) != thermocline.KindInvalidParameter {
			t.Fatal(err)
		}
	})
}

// FuzzUnpack sees that what Check lets through unpacks, that what it refuses
// does not, and that every link that is unpacked stays within.
func FuzzUnpack(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		checked := code.Check(data)
		s := &shelf{}
		c := newCache(t, t.TempDir(), s, 1<<30)
		dir, release, err := c.Dir(t.Context(), s.add(data))
		if (checked == nil) != (err == nil) {
			t.Fatalf("Check says %v, Dir says %v", checked, err)
		}
		if err != nil {
			if k := thermocline.KindOf(err); k != thermocline.KindInvalidZip {
				t.Fatalf("%v: %v", k, err)
			}
			return
		}
		defer release()
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			if d.Type()&fs.ModeSymlink != 0 {
				if to, err := filepath.EvalSymlinks(p); err == nil && to != dir && !strings.HasPrefix(to, dir+"/") {
					t.Fatalf("%s leads to %s", p, to)
				}
			}
			return nil
		})
	})
}
