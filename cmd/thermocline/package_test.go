package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unzip returns name → mode and content.
func unzip(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = f.Mode().String() + " " + string(content)
	}
	return files
}

func TestPackageOfDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "index.js"), "js")
	write(t, filepath.Join(dir, "lib", "a.js"), "a")
	write(t, filepath.Join(dir, ".git", "config"), "not for functions")
	write(t, filepath.Join(dir, "bootstrap"), "elf")
	if err := os.Chmod(filepath.Join(dir, "bootstrap"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.js", filepath.Join(dir, "lib", "b.js")); err != nil {
		t.Fatal(err)
	}
	first, err := codePackage(dir, "nodejs18.x")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"bootstrap": "-rwxr-xr-x elf",
		"index.js":  "-rw-r--r-- js",
		"lib/a.js":  "-rw-r--r-- a",
		"lib/b.js":  "Lrwxrwxrwx a.js",
	}
	if diff := cmp.Diff(want, unzip(t, first)); diff != "" {
		t.Error(diff)
	}

	// The same contents give the same bytes, whenever they were written.
	past := time.Unix(1e9, 0)
	if err := os.Chtimes(filepath.Join(dir, "index.js"), past, past); err != nil {
		t.Fatal(err)
	}
	second, err := codePackage(dir, "nodejs18.x")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the packages differ")
	}
}

func TestPackageOfFile(t *testing.T) {
	tests := []struct {
		name, file, runtime string
		mode                os.FileMode
		want                map[string]string
	}{
		{"script", "app.py", "python3.11", 0o600, map[string]string{"app.py": "-rw-r--r-- x"}},
		{"program", "hello", "provided.al2023", 0o755, map[string]string{"bootstrap": "-rwxr-xr-x x"}},
		{"program of another runtime", "hello.py", "python3.11", 0o755, map[string]string{"hello.py": "-rwxr-xr-x x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), tt.file), "x")
			if err := os.Chmod(file, tt.mode); err != nil {
				t.Fatal(err)
			}
			raw, err := codePackage(file, tt.runtime)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, unzip(t, raw)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A zip goes as it is, even one that is damaged: the server says what of it.
func TestPackageOfZip(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "code.zip"), "PK")
	raw, err := codePackage(file, "python3.11")
	if err != nil || string(raw) != "PK" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestPackageRefusals(t *testing.T) {
	for _, target := range []string{"../secret", "/etc/passwd", "sub/../../secret"} {
		dir := t.TempDir()
		if err := os.Symlink(target, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if _, err := codePackage(dir, ""); err == nil || !strings.Contains(err.Error(), "leads out of the package") {
			t.Errorf("link to %s: %v", target, err)
		}
	}
	large := filepath.Join(t.TempDir(), "large.zip")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxZip+1); err != nil {
		t.Fatal(err)
	}
	if _, err := codePackage(large, ""); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a large zip: %v", err)
	}
}
