package oci_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"thermocline/sandbox"
	"thermocline/sandbox/oci"
	"thermocline/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVariable); dir != "" {
		victim(dir, os.Getenv("THERMOCLINE_VICTIM_CODE"))
	}
	goleak.VerifyTestMain(m)
}

// interpreters are those that a Debian host has.
var interpreters = map[string]string{
	"nodejs20.x": "/usr/bin/node",
	"python3.11": "/usr/bin/python3.11",
}

func lookup(_ context.Context, runtime string) (oci.Interpreter, error) {
	return oci.Interpreter{Path: interpreters[runtime]}, nil
}

// requireHost skips a test that this host cannot run, except in CI.
func requireHost(t testing.TB, runtime string) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "root"
	}
	if _, err := exec.LookPath("runc"); err != nil {
		missing = "runc"
	}
	if p := interpreters[runtime]; p != "" {
		if _, err := os.Stat(p); err != nil {
			missing = p
		}
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("this test needs %s", missing)
	default:
		t.Skipf("this test needs %s", missing)
	}
}

// config is that of a runtime with a state directory of its own.
func config(t testing.TB) oci.Config {
	name := "test-" + strings.ToLower(rand.Text()[:10])
	return oci.Config{
		StateDir: filepath.Join("/run/thermocline", name), ScratchDir: filepath.Join(t.TempDir(), "scratch"),
		Lookup: lookup, InitTimeout: 3 * time.Second, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

var _ io.Writer = testWriter{}

// newRuntime makes a runtime whose traces are looked for at the end.
func newRuntime(t testing.TB, cfg oci.Config) *oci.Runtime {
	t.Helper()
	rt, err := oci.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for _, trace := range traces(t, cfg) {
			t.Errorf("left behind: %s", trace)
		}
	})
	return rt
}

// traces finds all that the host still has of a runtime.
func traces(t testing.TB, cfg oci.Config) []string {
	t.Helper()
	found := hostTraces(t, cfg)
	for _, dir := range []string{cfg.StateDir, cfg.ScratchDir} {
		if _, err := os.Lstat(dir); err == nil {
			found = append(found, dir)
		}
	}
	return found
}

// hostTraces is traces without the runtime's own directories.
func hostTraces(t testing.TB, cfg oci.Config) []string {
	t.Helper()
	var found []string
	name := filepath.Base(cfg.StateDir)
	for _, file := range []string{"/proc/self/mountinfo", "/proc/swaps"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, name) {
				found = append(found, file+": "+line)
			}
		}
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range backing {
		if data, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(data), cfg.ScratchDir) {
			found = append(found, f+": "+string(data))
		}
	}
	groups := append(glob(t, "/sys/fs/cgroup/*/*"), glob(t, "/sys/fs/cgroup/*")...)
	for _, g := range groups {
		if strings.HasSuffix(g, name) {
			found = append(found, g)
		}
	}
	for _, p := range glob(t, "/proc/[0-9]*/cmdline") {
		if data, err := os.ReadFile(p); err == nil && strings.Contains(string(data), cfg.StateDir) {
			found = append(found, p+": "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, runtime := range []string{"nodejs20.x", "python3.11", "provided.al2023"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			requireHost(t, runtime)
			cfg := config(t)
			rt := newRuntime(t, cfg)
			code := sandboxtest.WriteProgram(t, runtime)
			sandboxtest.Run(t, func(*testing.T) sandboxtest.Factory {
				return sandboxtest.Factory{
					Start: func(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
						return rt.Start(ctx, s, "")
					},
					Runtime: runtime, CodeDir: code, InitTimeout: cfg.InitTimeout,
				}
			})
		})
	}
}
