package interpreter_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"thermocline/sandbox/interpreter"
)

// zeros packs one file of zeros, which takes a thousandth of its size.
func zeros(t *testing.T, size int64) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	archive := tar.NewWriter(z)
	must(t, archive.WriteHeader(&tar.Header{Name: "package/zeros", Mode: 0o644, Typeflag: tar.TypeReg, Size: size}))
	_, err := archive.Write(make([]byte, size))
	must(t, err)
	must(t, archive.Close())
	must(t, z.Close())
	return packed.Bytes()
}

func TestUnpackIsBounded(t *testing.T) {
	many := make([]entry, 40)
	for i := range many {
		many[i] = entry{name: "package/" + strings.Repeat("x", i+1)}
	}
	for name, tc := range map[string]struct {
		packed []byte
		want   string
	}{
		"bytes":   {zeros(t, 2<<20), "unpacks to more than"},
		"entries": {pack(t, many...), "more than 32 entries"},
		"after the end": {
			append(pack(t, entry{name: "package/x"}), zeros(t, 4<<20)...), "goes on after its end"},
	} {
		t.Run(name, func(t *testing.T) {
			err := interpreter.Unpack(t.Context(), bytes.NewReader(tc.packed), t.TempDir())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Unpack = %v, want %q", err, tc.want)
			}
		})
	}
}

// Whatever a package holds: nothing appears outside of the directory, and
// inside only files and directories.
func FuzzUnpack(f *testing.F) {
	t := &testing.T{}
	f.Add(pack(t, entry{name: "package/bin/node", content: "x", mode: 0o755}))
	f.Add(pack(t, entry{name: "package/../../evil", content: "x"}))
	f.Add(pack(t, entry{name: "/etc/evil", content: "x"}))
	f.Add(pack(t, entry{name: "package/a", kind: tar.TypeSymlink, link: ".."}, entry{name: "package/a/b", content: "x"}))
	f.Add(pack(t, entry{name: "package/x", kind: tar.TypeXGlobalHeader}))
	f.Add(zeros(t, 2<<20))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "dir")
		must(t, os.Mkdir(dir, 0o755))
		_ = interpreter.Unpack(t.Context(), bytes.NewReader(packed), dir) // any answer will do
		var size int64
		must(t, filepath.WalkDir(outer, func(path string, e fs.DirEntry, err error) error {
			must(t, err)
			if path != outer && path != dir && !strings.HasPrefix(path, dir+"/") {
				t.Errorf("%s is outside", path)
			}
			if !e.IsDir() && !e.Type().IsRegular() {
				t.Errorf("%s is a %s", path, e.Type())
			}
			if info, err := e.Info(); err == nil && !e.IsDir() {
				size += info.Size()
			}
			return nil
		}))
		if size > 1<<20 {
			t.Errorf("%d bytes were unpacked, over the bound", size)
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"versions":{"22.1.0":{"dist":{"integrity":"sha512-x","tarball":"https://h/t.tgz"}}}}`))
	f.Add([]byte(`{"versions":{"22.1.0-rc.1":{},"22./../x":{}}}`))
	f.Add([]byte(`{"versions":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		version, err := interpreter.ParseMetadata(raw)
		if err == nil && !regexp.MustCompile(`^22\.\d{1,4}\.\d{1,4}$`).MatchString(version) {
			t.Errorf("version %q", version)
		}
	})
}

func TestNewestIsByNumber(t *testing.T) {
	version, err := interpreter.ParseMetadata([]byte(
		`{"versions":{"22.9.0":{"dist":{}},"22.23.3":{"dist":{}},"22.23.1":{"dist":{}},"23.0.0":{"dist":{}},"2.2.0":{"dist":{}}}}`))
	if err != nil || version != "22.23.3" {
		t.Errorf("newest = %q, %v; want 22.23.3", version, err)
	}
}
