package rig

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program is the import path of the server's own program.
const Program = "thermocline/cmd/thermocline"

// Build builds packages of this module without cgo into dir and returns their
// files in the same order.
func Build(dir string, packages ...string) ([]string, error) {
	var files []string
	for _, p := range packages {
		file := filepath.Join(dir, filepath.Base(p))
		build := exec.Command("go", "build", "-o", file, p)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
		files = append(files, file)
	}
	return files, nil
}

// NeedsHost skips where sandboxes cannot run, and fails in CI, where they must.
func NeedsHost(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	} else if _, err := exec.LookPath("runc"); err != nil {
		missing = "runc"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("this test needs %s", missing)
	default:
		t.Skipf("SKIPPED: this test needs %s", missing)
	}
}

// File is one file of a code package.
type File struct {
	Name string
	Data []byte
}

// Zip makes a code package. All files are executable.
func Zip(t testing.TB, files ...File) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
