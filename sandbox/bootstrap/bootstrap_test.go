package bootstrap_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thermocline/sandbox/bootstrap"
)

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runtime")
	for range 2 { // the second time over the first
		if err := bootstrap.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if d.IsDir() {
			want = fs.ModeDir | 0o755
		} else {
			files++
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%d files, %v", files, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := bootstrap.Write(file); err == nil || strings.Contains(err.Error(), "nil") {
		t.Errorf("writing into a file: %v", err)
	}
}

func TestCommand(t *testing.T) {
	for _, test := range []struct {
		name, runtime, interpreter string
		memory                     int
		want                       []string
	}{
		{"node", "nodejs22.x", "/opt/node", 128, []string{"/opt/node", "--max-old-space-size=80", "/var/runtime/nodejs/bootstrap.cjs"}},
		{"node with much memory", "nodejs18.x", "/usr/bin/node", 10240, []string{"/usr/bin/node", "--max-old-space-size=9216", "/var/runtime/nodejs/bootstrap.cjs"}},
		{"python", "python3.12", "/usr/bin/python3.12", 128, []string{"/usr/bin/python3.12", "-u", "/var/runtime/python/bootstrap.py"}},
		{"provided", "provided.al2023", "", 128, []string{"/var/task/bootstrap"}},
		{"provided in a layer", "provided.al2", "/opt/bootstrap", 128, []string{"/opt/bootstrap"}},
		{"unknown", "java21", "/usr/bin/java", 128, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, bootstrap.Command(test.runtime, test.interpreter, test.memory)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	command := []string{"/usr/bin/node", "x"}
	env := map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}
	for _, test := range []struct {
		name, runtime string
		env           map[string]string
		want          []string
	}{
		{"without", "nodejs20.x", nil, command},
		{"with", "nodejs20.x", env, []string{"/var/task/wrapper", "/usr/bin/node", "x"}},
		{"provided", "provided.al2", env, command},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, bootstrap.Wrap(test.runtime, command, test.env)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStarts runs a handler in both languages and both ways of starting.
func TestStarts(t *testing.T) {
	for _, test := range []struct {
		name    string
		lang    language
		handler string
		files   map[string]string
	}{
		{"node", node, "index.handler", map[string]string{"index.js": `exports.handler = async (e) => ({ e, cwd: process.cwd() === process.env.LAMBDA_TASK_ROOT })`}},
		{"python", python, "index.handler", map[string]string{"index.py": "import os\ndef handler(e, c):\n    return {'e': e, 'cwd': os.getcwd() == os.environ['LAMBDA_TASK_ROOT']}\n"}},
	} {
		for _, wait := range []bool{false, true} {
			name := test.name + " full"
			if wait {
				name = test.name + " pooled"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := test.lang.start(t, start{handler: test.handler, files: test.files, wait: wait})
				for i := range 3 {
					r := p.invoke(`{"a":["ä",1]}`)
					want := map[string]any{"e": map[string]any{"a": []any{"ä", 1.0}}, "cwd": true}
					if diff := cmp.Diff(want, decode(t, r.Payload)); diff != "" {
						t.Fatalf("%s: %s", body(r), diff)
					}
					t.Logf("init %v duration %v", r.Init, r.Duration)
					if (r.Init > 0) != (i == 0) {
						t.Errorf("init %v at invocation %d", r.Init, i)
					}
				}
			})
		}
	}
}
