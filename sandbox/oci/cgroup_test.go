package oci_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/sandbox/oci"
)

const (
	hybridMounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	unifiedMounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`
)

func TestFindHierarchy(t *testing.T) {
	hybrid, err := oci.FindHierarchy(strings.NewReader(hybridMounts))
	if err != nil {
		t.Fatal(err)
	}
	if hybrid.Unified() != "" || hybrid.Mount("cpuacct") != "/sys/fs/cgroup/cpu,cpuacct" || hybrid.Mount("memory") != "/sys/fs/cgroup/memory" {
		t.Errorf("hybrid: %+v", hybrid)
	}
	want := []string{"cpu,cpuacct", "devices", "freezer", "memory", "pids", "systemd", "unified"}
	for i := range want {
		want[i] = "/sys/fs/cgroup/" + want[i] + "/a/b"
	}
	if diff := cmp.Diff(want, oci.NewGroup(hybrid, "/a/b").Dirs()); diff != "" {
		t.Errorf("the hybrid group's directories differ (-want +got):\n%s", diff)
	}
	unified, err := oci.FindHierarchy(strings.NewReader(unifiedMounts))
	if err != nil || unified.Unified() != "/sys/fs/cgroup" {
		t.Errorf("version 2: %+v, %v", unified, err)
	}
	for name, mounts := range map[string]string{
		"nothing":    "22 27 0:21 / /proc rw,relatime - proc proc rw\n",
		"no freezer": strings.ReplaceAll(hybridMounts, "rw,freezer", "rw,blkio"),
		"nonsense":   "a b c\n - \n",
	} {
		if h, err := oci.FindHierarchy(strings.NewReader(mounts)); err == nil {
			t.Errorf("%s: no error, %+v", name, h)
		}
	}
}

func FuzzFindHierarchy(f *testing.F) {
	f.Add(hybridMounts)
	f.Add(unifiedMounts)
	f.Add("1 2 3:4 / /a\\040b rw - cgroup2 x rw\n")
	f.Fuzz(func(t *testing.T, mounts string) {
		h, err := oci.FindHierarchy(strings.NewReader(mounts))
		if err == nil && (h.Unified() == "") == (h.Mount("memory") == "") {
			t.Errorf("neither one nor the other: %+v", h)
		}
	})
}

// Version 2's files, on a directory that stands in for the mount.
func TestVersion2(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("memory.current", "5000\n")
	write("memory.stat", "anon 1\nfile 2\ninactive_file 1000\n")
	write("memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n")
	write("cgroup.procs", "12\n345\n")
	g := oci.NewGroup(oci.NewUnified(root), "/a/b")
	for name, want := range map[string]int64{"usage": 4000, "peak": 5000, "kills": 1} {
		n, err := map[string]func() (int64, error){"usage": g.Usage, "peak": g.Peak, "kills": g.OOMKills}[name]()
		if n != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", name, n, err, want)
		}
	}
	write("memory.peak", "9000\n")
	if n, err := g.Peak(); n != 9000 || err != nil {
		t.Errorf("peak: %d, %v", n, err)
	}
	if pids, err := g.PIDs(); err != nil || !cmp.Equal(pids, []int{12, 345}) {
		t.Errorf("pids: %v, %v", pids, err)
	}

	write("cgroup.events", "populated 1\nfrozen 1\n")
	write("cgroup.freeze", "0")
	if err := g.Freeze(t.Context()); err != nil {
		t.Errorf("Freeze: %v", err)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "cgroup.freeze")); string(data) != "1" {
		t.Errorf("cgroup.freeze is %q", data)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.Thaw(ctx); !errors.Is(err, context.DeadlineExceeded) { // the events still say frozen
		t.Errorf("Thaw: %v", err)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "cgroup.freeze")); string(data) != "0" {
		t.Errorf("cgroup.freeze is %q", data)
	}
	if err := g.Remove(); err == nil {
		t.Error("Remove removes more than an empty directory")
	}
	if err := oci.NewGroup(oci.NewUnified(root), "/a/none").Remove(); err != nil {
		t.Errorf("Remove of nothing: %v", err)
	}
}

func TestShares(t *testing.T) {
	for mb, want := range map[int]uint64{1: 2, 128: 74, 1769: 1024, 10240: 5927} {
		if got := oci.Shares(mb); got != want {
			t.Errorf("%d MB have %d shares, want %d", mb, got, want)
		}
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "a-1": true, strings.Repeat("a", 40): true,
		"": false, "-a": false, "A": false, "a/b": false, "..": false, "a.b": false, strings.Repeat("a", 41): false,
	} {
		if got := oci.ValidID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
