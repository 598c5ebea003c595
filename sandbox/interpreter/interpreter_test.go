package interpreter_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"thermocline"
	"thermocline/sandbox/interpreter"
)

// TestMain is also the program that plays an interpreter: a hard link to the
// test binary, named like one, says what the file beside it holds.
func TestMain(m *testing.M) {
	if answer, err := os.ReadFile(os.Args[0] + ".answer"); err == nil {
		if string(answer) == "hang" {
			time.Sleep(time.Minute)
		}
		fmt.Print(string(answer))
		if calls, err := os.OpenFile(os.Args[0]+".calls", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			fmt.Fprint(calls, "x")
			calls.Close()
		}
		syscall.Exit(0) // os.Exit waits a second under the race detector
	}
	goleak.VerifyTestMain(m)
}

// machine is a host with one directory that sandboxes show.
type machine struct {
	t    *testing.T
	root string // visible: usr/bin is searched
	data string
}

func newMachine(t *testing.T) machine {
	m := machine{t: t, root: filepath.Join(t.TempDir(), "usr"), data: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(m.root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m machine) options() interpreter.Options {
	return interpreter.Options{
		DataDir:    m.data,
		SearchDirs: []string{filepath.Join(m.root, "bin")},
		// The test binary's own loader has to be visible too.
		Visible: []string{m.root, "/usr", "/lib64", "/lib"},
	}
}

func (m machine) bin(name string) string { return filepath.Join(m.root, "bin", name) }

// program puts a program at path that answers --version.
func (m machine) program(path, answer string) {
	m.t.Helper()
	self, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	raw, err := os.ReadFile(self)
	if err != nil {
		m.t.Fatal(err)
	}
	must(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(m.t, os.WriteFile(path, raw, 0o755))
	must(m.t, os.WriteFile(path+".answer", []byte(answer), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m machine) discover() *interpreter.Set {
	m.t.Helper()
	set, err := interpreter.Discover(m.t.Context(), m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	return set
}

func TestLookup(t *testing.T) {
	m := newMachine(t)
	m.program(m.bin("node"), "v20.20.2\n")
	m.program(m.bin("node-22"), "v22.3.0\n")
	m.program(m.bin("node22"), "v22.11.0\n")
	m.program(m.bin("python3.11"), "Python 3.11.2\n")
	must(t, os.Symlink("python3.11", m.bin("python3")))
	set := m.discover()

	for runtime, want := range map[string]interpreter.Interpreter{
		"nodejs20.x":      {Path: m.bin("node"), Version: "20.20.2", Source: interpreter.SourceHost},
		"nodejs22.x":      {Path: m.bin("node22"), Version: "22.11.0", Source: interpreter.SourceHost},
		"python3.11":      {Path: m.bin("python3.11"), Version: "3.11.2", Source: interpreter.SourceHost},
		"provided.al2":    {Source: interpreter.SourceFunction},
		"provided.al2023": {Source: interpreter.SourceFunction},
	} {
		t.Run(runtime, func(t *testing.T) {
			got, err := set.Lookup(runtime)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, exported); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// exported compares interpreters by what callers can see.
var exported = cmp.Comparer(func(a, b interpreter.Interpreter) bool {
	return a.Path == b.Path && a.Version == b.Version && a.Source == b.Source && cmp.Equal(a.Mounts, b.Mounts)
})

func TestLookupSaysWhatIsMissing(t *testing.T) {
	m := newMachine(t)
	m.program(m.bin("node"), "v20.20.2\n")
	set := m.discover()

	for _, tc := range []struct{ runtime, want string }{
		{"nodejs22.x", "nodejs22.x needs Node.js 22 visible inside a sandbox (found: 20.20.2 at " + m.bin("node") + "): run `thermocline runtime install nodejs22.x`"},
		{"python3.12", "python3.12 needs Python 3.12 visible inside a sandbox (found: none): install it under /usr, for example as /usr/local/bin/python3.12"},
		{"cobol74", `The runtime "cobol74" is not known here. Known are: nodejs18.x, nodejs20.x, nodejs22.x, nodejs24.x, python3.11, python3.12, python3.13, python3.14, provided.al2, provided.al2023.`},
	} {
		t.Run(tc.runtime, func(t *testing.T) {
			err := set.Check(tc.runtime)
			if !errors.Is(err, &thermocline.Error{Kind: thermocline.KindInvalidParameter}) {
				t.Fatalf("Check = %v, want KindInvalidParameter", err)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestListHasEveryRuntime(t *testing.T) {
	m := newMachine(t)
	m.program(m.bin("python3.13"), "Python 3.13.0\n")
	var available, missing []string
	for _, l := range m.discover().List() {
		switch {
		case l.Available && l.Missing == "":
			available = append(available, l.Runtime)
		case !l.Available && l.Missing != "":
			missing = append(missing, l.Runtime)
		default:
			t.Errorf("%+v is neither available nor says what is missing", l)
		}
	}
	if diff := cmp.Diff([]string{"python3.13", "provided.al2", "provided.al2023"}, available); diff != "" {
		t.Error(diff)
	}
	if got := len(available) + len(missing); got != len(interpreter.Runtimes()) {
		t.Errorf("List has %d runtimes, want %d", got, len(interpreter.Runtimes()))
	}
}

// What a sandbox does not show does not count, however it is reached.
func TestNotUsable(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(t *testing.T, m machine, outside string)
		want string
	}{
		"a link out of the visible directories": {
			func(t *testing.T, m machine, outside string) {
				m.program(filepath.Join(outside, "node"), "v22.1.0\n")
				must(t, os.Symlink(filepath.Join(outside, "node"), m.bin("node22")))
			}, "which is not visible inside a sandbox"},
		"a link out and back again": {
			func(t *testing.T, m machine, outside string) {
				m.program(filepath.Join(m.root, "lib", "real"), "v22.1.0\n")
				must(t, os.Symlink(filepath.Join(m.root, "lib", "real"), filepath.Join(outside, "back")))
				must(t, os.Symlink(filepath.Join(outside, "back"), m.bin("node22")))
			}, "which is not visible inside a sandbox"},
		"a linked directory": {
			func(t *testing.T, m machine, outside string) {
				m.program(filepath.Join(outside, "d", "node"), "v22.1.0\n")
				must(t, os.Symlink(filepath.Join(outside, "d"), filepath.Join(m.root, "d")))
				must(t, os.Symlink("../d/node", m.bin("node22")))
			}, "which is not visible inside a sandbox"},
		"a circle of links": {
			func(t *testing.T, m machine, _ string) {
				must(t, os.Symlink("node22", m.bin("node22")))
			}, "too many links"},
		"a script": {
			func(t *testing.T, m machine, _ string) {
				must(t, os.WriteFile(m.bin("node22"), []byte("#!/bin/sh\necho v22.1.0\n"), 0o755))
			}, "is not a program"},
		"not executable for others": {
			func(t *testing.T, m machine, _ string) {
				m.program(m.bin("node22"), "v22.1.0\n")
				must(t, os.Chmod(m.bin("node22"), 0o750))
			}, "is not executable by everybody"},
		"something else of that name": {
			func(t *testing.T, m machine, _ string) {
				m.program(m.bin("node22"), "Packet radio node 22\n")
			}, "which is no version"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			tc.set(t, m, t.TempDir())
			err := m.discover().Check("nodejs22.x")
			if err == nil {
				t.Fatal("Check = nil, want an error")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
		})
	}
}

func TestProgramsAreAskedOnce(t *testing.T) {
	m := newMachine(t)
	m.program(m.bin("node"), "v20.20.2\n")
	calls := func() int {
		raw, err := os.ReadFile(m.bin("node") + ".calls")
		must(t, err)
		return len(raw)
	}
	m.discover()
	m.discover()
	if got := calls(); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}

	must(t, os.WriteFile(m.bin("node")+".answer", []byte("v22.0.1\n"), 0o644))
	must(t, os.Chtimes(m.bin("node"), time.Time{}, time.Now().Add(time.Hour)))
	if err := m.discover().Check("nodejs22.x"); err != nil {
		t.Errorf("after the file has changed: %v", err)
	}
	if got := calls(); got != 2 {
		t.Errorf("asked %d times after a change, want twice", got)
	}
}

func TestDamagedMemoryIsIgnored(t *testing.T) {
	m := newMachine(t)
	m.program(m.bin("node"), "v20.20.2\n")
	must(t, os.MkdirAll(filepath.Join(m.data, "runtimes"), 0o755))
	for _, damaged := range []string{"", "null", "{", `{"a":1}`} {
		must(t, os.WriteFile(filepath.Join(m.data, "runtimes", ".versions.json"), []byte(damaged), 0o644))
		if err := m.discover().Check("nodejs20.x"); err != nil {
			t.Errorf("with %q: %v", damaged, err)
		}
	}
}

func TestAHangingProgramIsGivenUp(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.program(m.bin("node22"), "hang")
	m.program(m.bin("node"), "v20.20.2\n")
	set := m.discover()
	if err := set.Check("nodejs20.x"); err != nil {
		t.Error(err)
	}
	if err := set.Check("nodejs22.x"); err == nil || !strings.Contains(err.Error(), "did not answer within") {
		t.Errorf("Check = %v, want that it did not answer", err)
	}
}

func TestFinderNoticesWhatComesAndGoes(t *testing.T) {
	m := newMachine(t)
	finder := interpreter.NewFinder(m.options())
	if err := finder.Check(t.Context(), "nodejs22.x"); err == nil {
		t.Fatal("nodejs22.x is there before anything is")
	}
	m.program(m.bin("node"), "v22.0.1\n")
	if err := finder.Check(t.Context(), "nodejs22.x"); err != nil {
		t.Errorf("after it came: %v", err)
	}
	must(t, os.WriteFile(m.bin("node")+".answer", []byte("v24.0.1\n"), 0o644))
	must(t, os.Chtimes(m.bin("node"), time.Time{}, time.Now().Add(time.Hour)))
	if err := finder.Check(t.Context(), "nodejs22.x"); err == nil {
		t.Error("nodejs22.x is still there after it was replaced")
	}
	if i, err := finder.Lookup(t.Context(), "nodejs24.x"); err != nil || i.Version != "24.0.1" {
		t.Errorf("nodejs24.x = %+v, %v", i, err)
	}
}
