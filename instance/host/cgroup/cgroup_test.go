package cgroup_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"thermocline/instance/host/cgroup"
	"thermocline/instance/host/cgroup/cgrouptest"
)

const root = "/cg"

func open(t *testing.T, m *cgrouptest.Model) *cgroup.Tree {
	t.Helper()
	tree, err := cgroup.Open(root, m)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantFiles compares some files of the model.
func wantFiles(t *testing.T, m *cgrouptest.Model, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for file := range want {
		raw, err := m.Read(file)
		if err != nil {
			raw = []byte(err.Error())
		}
		got[file] = string(raw)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMakeUnified(t *testing.T) {
	m := cgrouptest.NewUnified(root, "cpuset", "cpu", "io", "memory", "pids")
	tree := open(t, m)
	if !tree.Unified() {
		t.Fatal("not taken for version 2")
	}
	must(t, tree.Make("/n", cgroup.Limits{CPUs: 2, QuotaCPUs: 1.5}))
	must(t, tree.Make("/n/i", cgroup.Limits{MemoryBytes: 1 << 30, CPUs: 0.5}))
	must(t, tree.Make("/n/i", cgroup.Limits{MemoryBytes: 2 << 30, CPUs: 0.25})) // set again
	wantFiles(t, m, map[string]string{
		root + "/cgroup.subtree_control":     "cpu memory pids",
		root + "/n/cgroup.subtree_control":   "cpu memory pids",
		root + "/n/memory.max":               "max",
		root + "/n/cpu.weight":               "200",
		root + "/n/cpu.max":                  "150000 100000",
		root + "/n/i/cgroup.subtree_control": "cpu memory pids",
		root + "/n/i/memory.max":             "2147483648",
		root + "/n/i/memory.swap.max":        "0",
		root + "/n/i/cpu.weight":             "25",
		root + "/n/i/cpu.max":                "max 100000",
	})
}

func TestMakeHybrid(t *testing.T) {
	m := cgrouptest.NewHybrid(root, "memory", "cpu,cpuacct", "pids", "freezer", "devices")
	tree := open(t, m)
	if tree.Unified() {
		t.Fatal("taken for version 2")
	}
	must(t, tree.Make("/n", cgroup.Limits{CPUs: 2, QuotaCPUs: 1.5}))
	must(t, tree.Make("/n/i", cgroup.Limits{MemoryBytes: 1 << 30, CPUs: 0.5}))
	wantFiles(t, m, map[string]string{
		root + "/memory/n/memory.limit_in_bytes":         "-1",
		root + "/memory/n/memory.use_hierarchy":          "1",
		root + "/memory/n/i/memory.limit_in_bytes":       "1073741824",
		root + "/memory/n/i/memory.memsw.limit_in_bytes": "1073741824",
		root + "/cpu,cpuacct/n/cpu.shares":               "2048",
		root + "/cpu,cpuacct/n/cpu.cfs_quota_us":         "150000",
		root + "/cpu,cpuacct/n/i/cpu.shares":             "512",
		root + "/cpu,cpuacct/n/i/cpu.cfs_quota_us":       "-1",
	})
	want := []string{root + "/cpu,cpuacct/n", root + "/cpu,cpuacct/n/i", root + "/memory/n", root + "/memory/n/i"}
	if diff := cmp.Diff(want, m.Groups()); diff != "" {
		t.Error(diff)
	}
}

func TestRemove(t *testing.T) {
	for name, m := range map[string]*cgrouptest.Model{
		"unified": cgrouptest.NewUnified(root, "cpu", "memory", "pids"),
		"hybrid":  cgrouptest.NewHybrid(root, "memory", "cpu", "pids", "freezer"),
	} {
		t.Run(name, func(t *testing.T) {
			tree := open(t, m)
			must(t, tree.Make("/n", cgroup.Limits{}))
			must(t, tree.Make("/n/i", cgroup.Limits{}))
			must(t, tree.Make("/n/j", cgroup.Limits{}))
			if name == "hybrid" { // an OCI runtime makes groups in every hierarchy
				m.Put(root+"/unified/n/i/box", "4000000")
				for _, h := range []string{"pids", "freezer", "systemd"} {
					must(t, m.Mkdir(root+"/"+h+"/n"))
					must(t, m.Mkdir(root+"/"+h+"/n/i"))
					must(t, m.Mkdir(root+"/"+h+"/n/i/box"))
				}
			} else {
				m.Put(root+"/n/i/box/deep", "4000000")
			}
			for range 2 { // the second finds nothing to do
				must(t, tree.Remove(t.Context(), "/n/i"))
			}
			for _, g := range m.Groups() {
				if strings.Contains(g, "/i") {
					t.Errorf("%s is left", g)
				}
			}
			must(t, tree.RemoveEmpty("/n"))
			if name == "unified" && len(m.Groups()) != 2 {
				t.Errorf("a group that is not empty was removed: %v", m.Groups())
			}
			must(t, tree.Remove(t.Context(), "/n/j"))
			must(t, tree.RemoveEmpty("/n"))
			if left := m.Groups(); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestRemoveWaitsForTheStubborn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
		tree := open(t, m)
		must(t, tree.Make("/n", cgroup.Limits{}))
		m.Put(root+"/n/box", "4000000")
		m.Stubborn(root+"/n/box", 20)
		must(t, tree.Remove(t.Context(), "/n"))
		if left := m.Groups(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestRemoveGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
		tree := open(t, m)
		must(t, tree.Make("/n", cgroup.Limits{}))
		m.Put(root+"/n/box", "4000000")
		m.Stubborn(root+"/n/box", 1<<30)
		if err := tree.Remove(t.Context(), "/n"); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Remove = %v, want EBUSY", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := tree.Remove(ctx, "/n"); err == nil {
			t.Error("Remove = nil with processes left")
		}
	})
}

func TestPathsAreChecked(t *testing.T) {
	m := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
	tree := open(t, m)
	for _, p := range []string{"", "/", "n", "/n/", "/n/..", "/../n", "//n", "/n\x00"} {
		if err := tree.Make(p, cgroup.Limits{}); err == nil {
			t.Errorf("Make(%q) = nil", p)
		}
		if err := tree.Remove(t.Context(), p); err == nil {
			t.Errorf("Remove(%q) = nil", p)
		}
		if err := tree.RemoveEmpty(p); err == nil {
			t.Errorf("RemoveEmpty(%q) = nil", p)
		}
	}
}

func TestUnusable(t *testing.T) {
	for name, tc := range map[string]struct {
		model func() *cgrouptest.Model
		want  string
	}{
		"a controller that version 2 lacks": {
			func() *cgrouptest.Model { return cgrouptest.NewUnified(root, "cpu", "pids") }, "memory is missing"},
		"a controller that version 1 lacks": {
			func() *cgrouptest.Model { return cgrouptest.NewHybrid(root, "cpu", "memory") }, "pids is not mounted"},
		"nothing mounted": {
			func() *cgrouptest.Model { return cgrouptest.NewUnified("/elsewhere") }, "no such file"},
		"read-only": {
			func() *cgrouptest.Model {
				m := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
				m.Fail(root+"/n", unix.EROFS)
				return m
			}, "must run as root"},
		"not allowed to delegate": {
			func() *cgrouptest.Model {
				m := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
				m.Fail(root+"/cgroup.subtree_control", unix.EACCES)
				return m
			}, "must run as root"},
		"processes in the way": {
			func() *cgrouptest.Model {
				m := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
				m.Fail(root+"/cgroup.subtree_control", unix.EBUSY)
				return m
			}, "processes run in the group /"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := cgroup.Open(root, tc.model())
			if err == nil {
				err = tree.Make("/n", cgroup.Limits{})
			}
			if !errors.Is(err, cgroup.ErrUnusable) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want ErrUnusable with %q", err, tc.want)
			}
		})
	}
}

func TestOwnMemoryLimit(t *testing.T) {
	v2 := cgrouptest.NewUnified(root, "cpu", "memory", "pids")
	tree2 := open(t, v2)
	must(t, tree2.Make("/a", cgroup.Limits{MemoryBytes: 1 << 30}))
	must(t, tree2.Make("/a/b", cgroup.Limits{MemoryBytes: 4 << 30}))
	must(t, tree2.Make("/free", cgroup.Limits{}))
	v1 := cgrouptest.NewHybrid(root, "memory", "cpu", "pids")
	tree1 := open(t, v1)
	must(t, tree1.Make("/a", cgroup.Limits{MemoryBytes: 1 << 30}))

	for _, tc := range []struct {
		name, membership string
		tree             *cgroup.Tree
		want             int64
	}{
		{"v2, the smallest on the way", "0::/a/b\n", tree2, 1 << 30},
		{"v2, none", "0::/free\n", tree2, 0},
		{"v2, out of sight", "0::/../../elsewhere\n", tree2, 0},
		{"v1", "9:name=systemd:/x\n4:cpu,memory:/a\n0::/\n", tree1, 1 << 30},
		{"v1, none", "4:memory:/\n", tree1, 0},
		{"nonsense", "::::\n\nmemory", tree1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := tc.tree.OwnMemoryLimit(tc.membership)
			if got != tc.want || ok != (tc.want != 0) {
				t.Errorf("OwnMemoryLimit = %d, %v; want %d", got, ok, tc.want)
			}
		})
	}
}
