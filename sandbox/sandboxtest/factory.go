package sandboxtest

import (
	"context"
	"crypto/rand"
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"thermocline"
	"thermocline/sandbox"
)

// Factory is an implementation under test.
type Factory struct {
	// Start starts a sandbox. The suite closes it.
	Start func(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error)
	// Runtime is that of the suite's program: "nodejs20.x".
	Runtime string
	// CodeDir holds the suite's program (WriteProgram); the fake's may be any
	// absolute path.
	CodeDir string
	// InitTimeout is what the implementation was configured with; the suite
	// waits for it once. 0 leaves the test of it out.
	InitTimeout time.Duration
}

//go:embed program/nodejs program/python
var programs embed.FS

// WriteProgram writes the suite's program for a runtime into a new directory,
// and builds it where it has to be.
func WriteProgram(t testing.TB, runtime string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	family := strings.TrimRight(strings.TrimSuffix(runtime, ".x"), "0123456789.")
	if strings.HasPrefix(runtime, "provided") {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bootstrap"), "thermocline/sandbox/sandboxtest/program/provided")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the program: %v\n%s", err, out)
		}
		return dir
	}
	from, err := fs.Sub(programs, "program/"+family)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.ReadDir(from, ".")
	if err != nil {
		t.Fatalf("no program for %s: %v", runtime, err)
	}
	for _, f := range files {
		data, err := fs.ReadFile(from, f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Function returns the function that the suite's sandboxes are bound to.
func (f Factory) Function() *thermocline.Function {
	return &thermocline.Function{
		FunctionID: thermocline.FunctionID{Account: "123456789012", Name: "suite", Version: thermocline.Latest},
		Region:     "eu-west-1", Runtime: f.Runtime, Handler: "index.handler",
		MemoryMB: 128, TmpMB: 512, Timeout: 10 * time.Second, Generation: 1,
		Environment: map[string]string{"TEST_KEY": "TEST_VAL"},
	}
}

// binding binds to fn.
func (f Factory) binding(fn *thermocline.Function) sandbox.Binding {
	return sandbox.Binding{Function: fn, CodeDir: f.CodeDir, LogStream: "2026/11/23/[$LATEST]suite"}
}

// newID returns an id for a sandbox.
func newID() string { return "t-" + strings.ToLower(rand.Text()[:12]) }
