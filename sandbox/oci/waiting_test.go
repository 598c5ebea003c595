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
