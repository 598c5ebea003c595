package oci_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"thermocline/sandbox"
	"thermocline/sandbox/oci"
	"thermocline/sandbox/sandboxtest"
)

// TestPriority shows that a sandbox that has booted at a low priority has its
// own by the time it waits.
func TestPriority(t *testing.T) {
	requireHost(t, "nodejs20.x")
	c := config(t)
	rt := newRuntime(t, c)
	s, err := rt.Start(t.Context(), sandbox.Spec{ID: "waits", Runtime: "nodejs20.x", MemoryMB: 256}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	defer info.Close()
	h, err := oci.FindHierarchy(info)
	if err != nil {
		t.Fatal(err)
	}
	parent := c.CgroupParent
	if parent == "" {
		parent = "/thermocline-" + filepath.Base(c.StateDir)
	}
	group := oci.NewGroup(h, parent+"/waits")
	if got, want := group.CPUShares(t), oci.Shares(256); h.Unified() == "" && got != want {
		t.Errorf("it waits with %d shares, want %d", got, want)
	}
	pids, err := group.PIDs()
	if err != nil || len(pids) == 0 {
		t.Fatalf("processes %v, %v", pids, err)
	}
	for _, pid := range pids {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		if nice := strings.Fields(after)[16]; nice != "0" {
			t.Errorf("process %d has the nice value %s", pid, nice)
		}
	}
}

// TestOtherScratchSize shows that a waiting sandbox, whose /tmp is made already,
// gets one of the size that its function wants.
func TestOtherScratchSize(t *testing.T) {
	requireHost(t, "nodejs20.x")
	rt := newRuntime(t, config(t))
	code := sandboxtest.WriteProgram(t, "nodejs20.x")
	for _, size := range []int{512, 1024} {
		s, err := rt.Start(t.Context(), sandbox.Spec{ID: "tmp-" + strconv.Itoa(size), Runtime: "nodejs20.x", MemoryMB: 128}, "")
		if err != nil {
			t.Fatal(err)
		}
		f := testFunction("nodejs20.x")
		f.TmpMB = size
		if err := s.Specialise(t.Context(), sandbox.Binding{Function: f, CodeDir: code}); err != nil {
			t.Fatal(err)
		}
		out, err := s.Invoke(t.Context(), sandbox.Invocation{RequestID: "r-1", Payload: []byte(`{"do":"echo","value":1}`), Timeout: 10 * time.Second})
		if err != nil || string(out.Payload) != "1" {
			t.Errorf("%d MB: %s, %v", size, out.Payload, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestProvidedWaits shows that a sandbox of a provided runtime waits with its
// container, and that its program then finds what it finds in one that was
// started for it, whatever is in its environment.
func TestProvidedWaits(t *testing.T) {
	const provided = "provided.al2023"
	requireHost(t, provided)
	rt := newRuntime(t, config(t))
	code := sandboxtest.WriteProgram(t, provided)
	f := testFunction(provided)
	f.Environment = map[string]string{
		"QUOTES": `it's "$HOME" \ $(echo no) ` + "`echo no`", "LINES": "one\ntwo\n\n", "LD_DEBUG_OUTPUT": "/tmp/x",
		"EMPTY_VALUE": "", "SPACES": "  a  b  ", "WIDE": strings.Repeat("ü", 1000),
	}
	binding := sandbox.Binding{Function: f, CodeDir: code}
	invoke := func(s sandbox.Sandbox, do string) string {
		t.Helper()
		out, err := s.Invoke(t.Context(), sandbox.Invocation{RequestID: "r-1", Payload: []byte(`{"do":"` + do + `"}`), Timeout: 10 * time.Second})
		if err != nil || out.Failure != sandbox.FailureNone {
			t.Fatalf("%s: %s, %v", do, out.Payload, err)
		}
		return string(out.Payload)
	}
	full, err := rt.Start(t.Context(), sandbox.Spec{ID: "full", Runtime: provided, MemoryMB: 128, Binding: &binding}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	waits, err := rt.Start(t.Context(), sandbox.Spec{ID: "waits", Runtime: provided, MemoryMB: 128}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	if used, err := waits.Memory(); err != nil || used == 0 || !waits.Alive() {
		t.Errorf("it has %d bytes in use, alive %v, %v: no process waits", used, waits.Alive(), err)
	}
	if err := waits.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := waits.Specialise(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	first := invoke(waits, "env")
	t.Logf("answered %v after it was bound", time.Since(began).Round(10*time.Microsecond))
	if want := invoke(full, "env"); first != want {
		t.Errorf("the environment differs:\n%s\nwant\n%s", first, want)
	}
	if got, want := invoke(waits, "where"), invoke(full, "where"); got != want {
		t.Errorf("it is in %s, want %s", got, want)
	}
}

// TestProvidedWaitsForNothing binds a waiting sandbox to a package without a
// program.
func TestProvidedWaitsForNothing(t *testing.T) {
	const provided = "provided.al2023"
	requireHost(t, provided)
	rt := newRuntime(t, config(t))
	s, err := rt.Start(t.Context(), sandbox.Spec{ID: "waits", Runtime: provided, MemoryMB: 128}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Specialise(t.Context(), sandbox.Binding{Function: testFunction(provided), CodeDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	out, err := s.Invoke(t.Context(), sandbox.Invocation{RequestID: "r-1", Payload: []byte(`{}`), Timeout: 10 * time.Second})
	if err != nil || out.Failure != sandbox.FailureInit || !strings.Contains(string(out.Payload), "Runtime.InvalidEntrypoint") {
		t.Errorf("%q: %s, %v", out.Failure, out.Payload, err)
	}
}
