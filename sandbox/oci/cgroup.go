package oci

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hierarchy is how this machine lays out its cgroups: either the one of
// version 2, or one mount per controller of version 1 (with, in the hybrid
// layout, a version 2 mount that has no controllers).
type hierarchy struct {
	unified string            // version 2 with controllers: its mount; else ""
	mounts  map[string]string // version 1: controller → mount
	extra   []string          // further mounts where the runtime makes directories
}

// findHierarchy reads a mountinfo file.
func findHierarchy(mountinfo io.Reader) (*hierarchy, error) {
	h := &hierarchy{mounts: map[string]string{}}
	var v2 string
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		point := unescapeMount(left[4])
		switch right[0] {
		case "cgroup2":
			if v2 == "" {
				v2 = point
			}
		case "cgroup":
			named := true
			for _, o := range strings.Split(right[2], ",") {
				if isController(o) {
					named = false
					if h.mounts[o] == "" {
						h.mounts[o] = point
					}
				}
			}
			if named {
				h.extra = append(h.extra, point)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if h.mounts["memory"] != "" {
		for _, c := range []string{"freezer", "pids", "cpu", "devices"} {
			if h.mounts[c] == "" {
				return nil, fmt.Errorf("the cgroup controller %s (version 1) is not mounted", c)
			}
		}
		if v2 != "" {
			h.extra = append(h.extra, v2)
		}
		return h, nil
	}
	if v2 == "" {
		return nil, errors.New("no cgroup hierarchy with a memory controller is mounted")
	}
	return &hierarchy{unified: v2}, nil
}

// isController reports whether an option of a cgroup mount names a controller
// (and is not "rw" or "name=systemd").
func isController(option string) bool {
	switch option {
	case "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids",
		"net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc":
		return true
	}
	return false
}

// unescapeMount undoes mountinfo's octal escapes.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// group is one cgroup, by its path from the hierarchy's root.
type group struct {
	h    *hierarchy
	path string
}

// file returns where a controller's file of the group is.
func (g group) file(controller, name string) string {
	if g.h.unified != "" {
		return filepath.Join(g.h.unified, g.path, name)
	}
	return filepath.Join(g.h.mounts[controller], g.path, name)
}

// dirs are all directories that the group may consist of.
func (g group) dirs() []string {
	if g.h.unified != "" {
		return []string{filepath.Join(g.h.unified, g.path)}
	}
	var dirs []string
	for _, mount := range slices.Sorted(maps.Values(g.h.mounts)) {
		dirs = append(dirs, filepath.Join(mount, g.path))
	}
	for _, mount := range g.h.extra {
		dirs = append(dirs, filepath.Join(mount, g.path))
	}
	return slices.Compact(dirs)
}

// usage returns the bytes of memory in use, without the page cache that would
// be given up first.
func (g group) usage() (int64, error) {
	current, inactive := "memory.usage_in_bytes", "total_inactive_file"
	if g.h.unified != "" {
		current, inactive = "memory.current", "inactive_file"
	}
	used, err := readInt(g.file("memory", current))
	if err != nil {
		return 0, err
	}
	cached, err := readKey(g.file("memory", "memory.stat"), inactive)
	if err != nil {
		return 0, err
	}
	return max(used-cached, 0), nil
}

// peak returns the largest memory use so far in bytes.
func (g group) peak() (int64, error) {
	if g.h.unified == "" {
		return readInt(g.file("memory", "memory.max_usage_in_bytes"))
	}
	n, err := readInt(g.file("memory", "memory.peak"))
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.19
		return readInt(g.file("memory", "memory.current"))
	}
	return n, err
}

// oomKills returns how many processes of the group the kernel has killed for
// memory.
func (g group) oomKills() (int64, error) {
	if g.h.unified != "" {
		return readKey(g.file("memory", "memory.events"), "oom_kill")
	}
	return readKey(g.file("memory", "memory.oom_control"), "oom_kill")
}

// setShares sets the processor weight, in the shares of version 1.
func (g group) setShares(n uint64) error {
	name := "cpu.shares"
	if g.h.unified != "" {
		// As the OCI runtimes turn shares into weights.
		name, n = "cpu.weight", 1+(n-2)*9999/262142
	}
	return os.WriteFile(g.file("cpu", name), []byte(strconv.FormatUint(n, 10)), 0)
}

// pids returns the group's processes.
func (g group) pids() ([]int, error) {
	data, err := os.ReadFile(g.file("pids", "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, f := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("cgroup.procs: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// freeze stops the group's processes and returns when they have stopped.
func (g group) freeze(ctx context.Context) error {
	if g.h.unified != "" {
		return g.setFrozen(ctx, "cgroup.freeze", "1", func() (bool, error) {
			n, err := readKey(g.file("", "cgroup.events"), "frozen")
			return n == 1, err
		})
	}
	return g.setFrozen(ctx, "freezer.state", "FROZEN", func() (bool, error) {
		s, err := os.ReadFile(g.file("freezer", "freezer.state"))
		return strings.TrimSpace(string(s)) == "FROZEN", err
	})
}

// thaw lets them run again.
func (g group) thaw(ctx context.Context) error {
	if g.h.unified != "" {
		return g.setFrozen(ctx, "cgroup.freeze", "0", func() (bool, error) {
			n, err := readKey(g.file("", "cgroup.events"), "frozen")
			return n == 0, err
		})
	}
	return g.setFrozen(ctx, "freezer.state", "THAWED", func() (bool, error) {
		s, err := os.ReadFile(g.file("freezer", "freezer.state"))
		return strings.TrimSpace(string(s)) == "THAWED", err
	})
}

// setFrozen writes the state wanted until it is reached: version 1 may need
// to be told again while processes fork.
func (g group) setFrozen(ctx context.Context, name, value string, reached func() (bool, error)) error {
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		if err := os.WriteFile(g.file("freezer", name), []byte(value), 0); err != nil {
			return err
		}
		if ok, err := reached(); err != nil || ok {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// remove removes the group's directories, which must have no processes left.
// It does not remove groups below. What is not there is no error.
func (g group) remove() error {
	var errs []error
	for _, dir := range g.dirs() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// readInt reads a file that holds one number.
func readInt(name string) (int64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return n, nil
}

// readKey reads a number from a file of "key value" lines, 0 if the key is not
// there.
func readKey(name, key string) (int64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && k == key {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, nil
}

// accountsSwap reports whether memory limits can include swap.
func (h *hierarchy) accountsSwap() bool {
	if h.unified != "" {
		return true // the OCI runtime writes memory.swap.max, and leaves it where there is none
	}
	_, err := os.Stat(filepath.Join(h.mounts["memory"], "memory.memsw.limit_in_bytes"))
	return err == nil
}

// accountsTCP reports whether the buffers of TCP sockets have a limit of their
// own. In version 2 they are part of the memory.
func (h *hierarchy) accountsTCP() bool {
	if h.unified != "" {
		return false
	}
	_, err := os.Stat(filepath.Join(h.mounts["memory"], "memory.kmem.tcp.limit_in_bytes"))
	return err == nil
}
