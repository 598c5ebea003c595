package oci_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/oci"
	"thermocline/sandbox/sandboxtest"
)

const victimVariable = "THERMOCLINE_VICTIM_STATE"

// testFunction is a function with the suite's program.
func testFunction(runtime string) *thermocline.Function {
	return sandboxtest.Factory{Runtime: runtime}.Function()
}

func victimConfig(dir string) oci.Config {
	return oci.Config{
		StateDir: dir, ScratchDir: filepath.Join(dir, "scratch"), Lookup: lookup,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

// victim is a process that is killed while it has sandboxes in every state.
func victim(dir, code string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
	rt, err := oci.New(victimConfig(dir))
	if err != nil {
		fail(err)
	}
	ctx := context.Background()
	for _, id := range []string{"idle", "frozen", "busy"} {
		s, err := rt.Start(ctx, sandbox.Spec{ID: id, Runtime: "python3.11", MemoryMB: 128,
			Binding: &sandbox.Binding{Function: testFunction("python3.11"), CodeDir: code}}, "")
		if err != nil {
			fail(err)
		}
		// What ignores that its server is gone.
		background, _ := json.Marshal(map[string]string{"do": "background", "value": "trap '' HUP TERM; sleep 300 & wait"})
		if _, err := s.Invoke(ctx, sandbox.Invocation{RequestID: "r-1", Payload: background, Timeout: 5 * time.Second}); err != nil {
			fail(err)
		}
		switch id {
		case "frozen":
			if err := s.Freeze(ctx); err != nil {
				fail(err)
			}
		case "busy":
			go s.Invoke(ctx, sandbox.Invocation{RequestID: "r-2", Payload: []byte(`{"do":"sleep","ms":300000}`), Timeout: time.Hour})
		}
	}
	if _, err := rt.Start(ctx, sandbox.Spec{ID: "unbound", Runtime: "nodejs20.x", MemoryMB: 128}, ""); err != nil {
		fail(err)
	}
	fmt.Println("ready")
	for i := 0; ; i++ { // killed in the middle of one of these
		s, err := rt.Start(ctx, sandbox.Spec{ID: fmt.Sprintf("late-%d", i), Runtime: "nodejs20.x", MemoryMB: 128}, "")
		if err != nil {
			fail(err)
		}
		s.Close()
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	requireHost(t, "nodejs20.x")
	cfg := config(t)
	code := sandboxtest.WriteProgram(t, "python3.11")
	for round := range 3 { // the moment of the kill varies
		killVictim(t, cfg.StateDir, code, time.Duration(round)*17*time.Millisecond)
	}

	bystander := startBystander(t, filepath.Base(cfg.StateDir))
	vcfg := victimConfig(cfg.StateDir)
	rt, err := oci.New(vcfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Recover(t.Context()); err != nil {
		t.Fatalf("Recover: %v", err)
	}
	for _, trace := range hostTraces(t, vcfg) {
		if !strings.HasSuffix(trace, filepath.Base(cfg.StateDir)) { // the parent group, which the bystander is in
			t.Errorf("after Recover: %s", trace)
		}
	}
	if left := glob(t, "/sys/fs/cgroup/*/thermocline-"+filepath.Base(cfg.StateDir)+"/*/cgroup.procs"); len(left) != 1 || !strings.Contains(left[0], "/bystander/") {
		t.Errorf("cgroups after Recover: %v", left)
	}
	if err := unix.Kill(bystander.Process.Pid, 0); err != nil {
		t.Errorf("a process without a record is gone: %v", err)
	}
	stopBystander(t, bystander, filepath.Base(cfg.StateDir))

	s, err := rt.Start(t.Context(), sandbox.Spec{ID: "idle", Runtime: "python3.11", MemoryMB: 128,
		Binding: &sandbox.Binding{Function: testFunction("python3.11"), CodeDir: code}}, "")
	if err != nil {
		t.Fatalf("Start with the id of one that was reaped: %v", err)
	}
	out, err := s.Invoke(t.Context(), sandbox.Invocation{RequestID: "r-3", Payload: []byte(`{"do":"count"}`), Timeout: 5 * time.Second})
	if err != nil || string(out.Payload) != "1" {
		t.Errorf("Invoke: %s, %v", out.Payload, err)
	}
	if err := rt.Close(); err != nil {
		t.Fatal(err)
	}
	for _, trace := range traces(t, vcfg) {
		t.Errorf("after Close: %s", trace)
	}
}

// killVictim starts a victim and kills it delay after it was ready.
func killVictim(t *testing.T, dir, code string, delay time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+dir, "THERMOCLINE_VICTIM_CODE="+code)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("the victim says %q, %v", line, err)
	}
	time.Sleep(delay)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it says that it was killed
	cfg := victimConfig(dir)
	if len(hostTraces(t, cfg)) == 0 {
		t.Fatal("the victim left nothing: the test shows nothing")
	}
	rt, err := oci.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := rt.Recover(t.Context()); err != nil {
		t.Errorf("Recover: %v", err)
	}
	if err := rt.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// startBystander starts a process in a group beside the sandboxes'.
func startBystander(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	dir := bystanderGroup(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopBystander(t, cmd, name) })
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Appendf(nil, "%d", cmd.Process.Pid), 0); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func stopBystander(t *testing.T, cmd *exec.Cmd, name string) {
	t.Helper()
	cmd.Process.Kill()
	cmd.Wait() // it says that it was killed
	dir := bystanderGroup(name)
	for range 1000 { // until the kernel has taken it out
		if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the bystander's group cannot be removed")
}

func bystanderGroup(name string) string {
	for _, mount := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		if _, err := os.Stat(mount); err == nil {
			return filepath.Join(mount, "thermocline-"+name, "bystander")
		}
	}
	return ""
}

// A state directory whose owner lives is left alone.
func TestOwnerLives(t *testing.T) {
	t.Parallel()
	requireHost(t, "")
	cfg := config(t)
	first := newRuntime(t, cfg)
	if err := first.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, err := oci.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Recover(t.Context()); err == nil {
		t.Error("Recover of a second owner succeeds")
	}
	if _, err := second.Start(t.Context(), sandbox.Spec{ID: "a", Runtime: "nodejs20.x", MemoryMB: 128}, ""); err == nil {
		t.Error("Start of a second owner succeeds")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// A record that names a group that is not a sandbox's is refused, and stays.
func TestForgedRecord(t *testing.T) {
	t.Parallel()
	requireHost(t, "")
	cfg := config(t)
	rt := newRuntime(t, cfg)
	if err := rt.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, text := range map[string]string{
		"a": `{"id":"a","cgroup":"/"}`,
		"b": `{"id":"b","cgroup":"/system.slice"}`,
		"c": `{"id":"c","cgroup":"/x/../c"}`,
		"d": `{"id":"x","cgroup":"/x/d"}`,
		"e": `{`,
	} {
		name := filepath.Join(cfg.StateDir, "records", id+".json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := rt.Recover(t.Context()); err == nil {
			t.Errorf("Recover takes the record %s", text)
		}
		if err := os.Remove(name); err != nil {
			t.Errorf("the record is gone: %v", err)
		}
	}
}
