package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// memoryMB is the memory of every function.
const memoryMB = 128

// payload is what every function is invoked with.
var payload = []byte(`{"name":"bench"}`)

// answerPart is in every right answer to it.
const answerPart = "Hello, bench, from "

// function is one of the examples, ready to run with the platform and without.
type function struct {
	Name    string // go, nodejs, python
	Runtime string
	handler string
	zip     []byte
	// interpreter is the program of the host that runs it, "" for the
	// provided runtime.
	interpreter string
	// dir has the code unpacked.
	dir string
}

// prepare makes the function ready below tmp. root is the repository's root.
func prepare(ctx context.Context, name, root, program, tmp string) (function, error) {
	f := function{Name: name, dir: filepath.Join(tmp, "code-"+name)}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return f, err
	}
	var file string
	switch name {
	case "go":
		f.Runtime, f.handler, file = "provided.al2023", "bootstrap", "bootstrap"
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(f.dir, file), "./examples/go")
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
		if out, err := build.CombinedOutput(); err != nil {
			return f, fmt.Errorf("build the Go example: %w\n%s", err, out)
		}
	case "nodejs", "python":
		file = map[string]string{"nodejs": "index.mjs", "python": "app.py"}[name]
		f.handler = map[string]string{"nodejs": "index.handler", "python": "app.handler"}[name]
		raw, err := os.ReadFile(filepath.Join(root, "examples", name, file))
		if err != nil {
			return f, err
		}
		if err := os.WriteFile(filepath.Join(f.dir, file), raw, 0o644); err != nil {
			return f, err
		}
		if f.Runtime, f.interpreter, err = findRuntime(ctx, program, name, tmp); err != nil {
			return f, err
		}
	default:
		return f, fmt.Errorf("there is no example %q: go, nodejs, python", name)
	}
	var err error
	f.zip, err = pack(filepath.Join(f.dir, file))
	return f, err
}

// findRuntime asks the program which runtime of a language can run here.
func findRuntime(ctx context.Context, program, language, data string) (runtime, interpreter string, err error) {
	out, err := exec.CommandContext(ctx, program, "runtime", "list", "--json", "--data", data).Output()
	if err != nil {
		return "", "", fmt.Errorf("list the runtimes: %w", err)
	}
	var all []struct {
		Name      string `json:"name"`
		Available bool   `json:"available"`
		Path      string `json:"path"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return "", "", err
	}
	for _, r := range all {
		if r.Available && strings.HasPrefix(r.Name, language) {
			return r.Name, r.Path, nil
		}
	}
	return "", "", fmt.Errorf("no %s is visible inside a sandbox: run make deps", language)
}

// pack makes a zip of one file.
func pack(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: filepath.Base(file), Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}
