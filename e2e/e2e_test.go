package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// built is where TestMain has put the programs.
type built struct{ dir string }

func (b built) thermocline() string { return filepath.Join(b.dir, "bin", "thermocline") }
func (b built) function() string    { return filepath.Join(b.dir, "function", "bootstrap") }

// programs is set by TestMain, before any test runs.
var programs built

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "thermocline-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		programs = built{dir}
		for _, p := range []struct{ out, pkg, tags string }{
			{programs.thermocline(), "thermocline/cmd/thermocline", ""},
			{programs.function(), "thermocline/examples/go", "lambda.norpc"},
		} {
			build := exec.Command("go", "build", "-tags", p.tags, "-o", p.out, p.pkg)
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s", p.pkg, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

func TestScripts(t *testing.T) {
	needsHost(t)
	node, python := runtimes(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(programs.thermocline())+string(filepath.ListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("THERMOCLINE_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("GO_FUNCTION", programs.function())
			e.Setenv("NODE", node)
			e.Setenv("PYTHON", python)
			e.Values[serverKey{}] = newServer(e)
			return nil
		},
		Condition: func(condition string) (bool, error) {
			module, ok := strings.CutPrefix(condition, "python:")
			if !ok {
				return false, fmt.Errorf("there is no condition %q", condition)
			}
			return exec.Command("python3", "-c", "import "+module).Run() == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"server": serverCommand},
	})
}

// needsHost skips where sandboxes cannot run, and fails in CI, where they must.
func needsHost(t *testing.T) {
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
		t.Fatalf("these tests need %s", missing)
	default:
		t.Skipf("SKIPPED: these tests need %s", missing)
	}
}
