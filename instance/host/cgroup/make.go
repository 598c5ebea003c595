package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits are what a group may use.
type Limits struct {
	// MemoryBytes is the most memory that the group may hold, swap excluded;
	// 0 for no limit.
	MemoryBytes int64
	// CPUs is the group's weight, as the number of processors that it would
	// get of a busy machine; 0 for one.
	CPUs float64
	// QuotaCPUs is the most processors that it may use at any time; 0 for no
	// limit.
	QuotaCPUs float64
}

// The kernel's bounds of processor shares (version 1) and weights (version 2).
const (
	sharesPerCPU, minShares, maxShares = 1024, 2, 262144
	weightPerCPU, minWeight, maxWeight = 100, 1, 10000
	quotaPeriod                        = 100_000 // microseconds
)

// Make makes a group with its limits, ready to have groups below it. Its
// parent must be there; a group that is there already is only set. After an
// error Remove takes away what was made.
//
// On version 1 the group is made where its limits are; other hierarchies get
// it when a process enters it, and Remove looks everywhere.
func (t *Tree) Make(p string, l Limits) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if t.unified {
		return t.makeUnified(p, l)
	}
	for _, controller := range []string{"memory", "cpu"} {
		h, _ := t.of(controller)
		if err := t.mkdir(h, p); err != nil {
			return err
		}
	}
	return t.limitV1(p, l)
}

// mkdir makes the group in one hierarchy; that it is there is no error.
func (t *Tree) mkdir(h hierarchy, p string) error {
	err := t.files.Mkdir(filepath.Join(h.dir, p))
	switch {
	case err == nil || errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w; Thermocline must run as root, in a container with its control groups writable", ErrUnusable, err)
	}
	return err
}

func (t *Tree) limitV1(p string, l Limits) error {
	memory, _ := t.of("memory")
	cpu, _ := t.of("cpu")
	mem, proc := filepath.Join(memory.dir, p), filepath.Join(cpu.dir, p)
	// Before Linux 5.11 a group counted what is below it only when told so.
	if err := t.optional(filepath.Join(mem, "memory.use_hierarchy"), "1"); err != nil {
		return err
	}
	limit := "-1"
	if l.MemoryBytes > 0 {
		limit = strconv.FormatInt(l.MemoryBytes, 10)
	}
	if err := t.limitMemoryV1(mem, limit); err != nil {
		return err
	}
	shares := bound(l.CPUs, sharesPerCPU, minShares, maxShares)
	if err := t.files.Write(filepath.Join(proc, "cpu.shares"), strconv.Itoa(shares)); err != nil {
		return err
	}
	if l.QuotaCPUs <= 0 {
		return nil
	}
	if err := t.files.Write(filepath.Join(proc, "cpu.cfs_period_us"), strconv.Itoa(quotaPeriod)); err != nil {
		return err
	}
	return t.files.Write(filepath.Join(proc, "cpu.cfs_quota_us"), strconv.Itoa(quota(l.QuotaCPUs)))
}

// limitMemoryV1 sets memory and memory with swap to the same. The second may
// never be below the first, so the order depends on which way they go.
func (t *Tree) limitMemoryV1(dir, limit string) error {
	memory, both := filepath.Join(dir, "memory.limit_in_bytes"), filepath.Join(dir, "memory.memsw.limit_in_bytes")
	if err := t.files.Write(memory, limit); err == nil {
		return t.optional(both, limit)
	}
	if err := t.optional(both, limit); err != nil {
		return err
	}
	return t.files.Write(memory, limit)
}

func (t *Tree) makeUnified(p string, l Limits) error {
	h := t.hierarchies[0]
	if err := t.delegate(h, path.Dir(p)); err != nil {
		return err
	}
	if err := t.mkdir(h, p); err != nil {
		return err
	}
	dir := filepath.Join(h.dir, p)
	limit, most := "max", "max"
	if l.MemoryBytes > 0 {
		limit = strconv.FormatInt(l.MemoryBytes, 10)
	}
	if l.QuotaCPUs > 0 {
		most = strconv.Itoa(quota(l.QuotaCPUs))
	}
	weight := bound(l.CPUs, weightPerCPU, minWeight, maxWeight)
	for _, s := range []struct {
		file, value string
		optional    bool
	}{
		{"memory.max", limit, false},
		{"memory.swap.max", "0", true}, // absent where the kernel has no swap accounting
		{"cpu.weight", strconv.Itoa(weight), false},
		{"cpu.max", fmt.Sprintf("%s %d", most, quotaPeriod), true},
	} {
		write := t.files.Write
		if s.optional {
			write = t.optional
		}
		if err := write(filepath.Join(dir, s.file), s.value); err != nil {
			return err
		}
	}
	return t.delegate(h, p)
}

// delegate lets the groups below each group on the way to p, and below p, have
// the controllers that are needed. It changes a group only if one is missing.
func (t *Tree) delegate(h hierarchy, p string) error {
	at := "/"
	for _, name := range append([]string{""}, strings.Split(strings.Trim(p, "/"), "/")...) {
		at = path.Join(at, name)
		control := filepath.Join(h.dir, at, "cgroup.subtree_control")
		has, err := t.words(control)
		if err != nil {
			return err
		}
		for _, c := range needed {
			if slices.Contains(has, c) {
				continue
			}
			if err := t.files.Write(control, "+"+c); err != nil {
				return explainDelegation(at, c, err)
			}
		}
	}
	return nil
}

// explainDelegation says why version 2 refuses to pass a controller on, which
// nobody knows by heart.
func explainDelegation(at, controller string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: processes run in the group %s, so nothing below it can have the controller %s; "+
			"move them to a group of their own (systemd: Delegate=yes with DelegateSubgroup=, and the group above as the parent): %w",
			ErrUnusable, at, controller, err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: the group %s has not been given the controller %s (systemd: Delegate=yes): %w",
			ErrUnusable, at, controller, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: %w; Thermocline must run as root, in a container with its control groups writable", ErrUnusable, err)
	}
	return err
}

// optional writes to a file that some kernels do not have.
func (t *Tree) optional(file, value string) error {
	err := t.files.Write(file, value)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func bound(cpus float64, perCPU, least, most int) int {
	if cpus <= 0 {
		cpus = 1
	}
	return int(min(max(cpus*float64(perCPU), float64(least)), float64(most)))
}

// quota returns microseconds for each period; the kernel takes none below one
// millisecond.
func quota(cpus float64) int { return max(int(cpus*quotaPeriod), 1000) }
