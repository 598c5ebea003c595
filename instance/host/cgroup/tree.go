package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Root is where control groups are mounted.
const Root = "/sys/fs/cgroup"

// ErrUnusable is in the chain of errors that say that the machine's groups
// cannot serve as they are set up. Their text says what to do.
var ErrUnusable = errors.New("the control groups cannot be used")

// needed are the controllers without which a sandbox has no limits.
var needed = []string{"cpu", "memory", "pids"}

// Tree is the machine's control groups.
type Tree struct {
	files   Files
	unified bool // version 2; otherwise version 1 or hybrid
	// hierarchies is the one of version 2, or those of version 1, and beside
	// them in the hybrid layout the one of version 2 without controllers.
	hierarchies []hierarchy
}

// hierarchy is one mounted hierarchy.
type hierarchy struct {
	dir         string
	controllers []string // version 1: as its directory is named
	unified     bool
}

// Open looks at what is mounted at root. Groups of version 1 are found by
// their directories' names (memory, or cpu,cpuacct), as every distribution
// mounts them.
func Open(root string, files Files) (*Tree, error) {
	if _, err := files.Read(filepath.Join(root, "cgroup.controllers")); err == nil {
		t := &Tree{files: files, unified: true, hierarchies: []hierarchy{{dir: root, unified: true}}}
		return t, t.checkControllers()
	}
	names, err := files.Dirs(root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	t := &Tree{files: files}
	for _, name := range names {
		dir := filepath.Join(root, name)
		if _, err := files.Read(filepath.Join(dir, "cgroup.procs")); err != nil {
			continue
		}
		_, err := files.Read(filepath.Join(dir, "cgroup.controllers"))
		t.hierarchies = append(t.hierarchies, hierarchy{dir, strings.Split(name, ","), err == nil})
	}
	for _, c := range needed {
		if _, ok := t.of(c); !ok {
			return nil, fmt.Errorf("%w: the controller %s is not mounted below %s", ErrUnusable, c, root)
		}
	}
	return t, nil
}

// checkControllers fails where version 2 lacks a controller that is needed,
// as in a container that was given none.
func (t *Tree) checkControllers() error {
	dir := t.hierarchies[0].dir
	has, err := t.words(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range needed {
		if !slices.Contains(has, c) {
			return fmt.Errorf("%w: %s offers the controllers %q, and %s is missing", ErrUnusable, dir, has, c)
		}
	}
	return nil
}

// Unified reports whether this is version 2.
func (t *Tree) Unified() bool { return t.unified }

// of returns the hierarchy of a controller of version 1.
func (t *Tree) of(controller string) (hierarchy, bool) {
	for _, h := range t.hierarchies {
		if !h.unified && slices.Contains(h.controllers, controller) {
			return h, true
		}
	}
	return hierarchy{}, false
}

// checkPath fails for what is not a clean path of at least one component, so
// that no caller's mistake reaches the root's group.
func checkPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsRune(p, 0) {
		return fmt.Errorf("the control group %.200q is malformed", p)
	}
	return nil
}

// words reads a file of words.
func (t *Tree) words(file string) ([]string, error) {
	raw, err := t.files.Read(file)
	return strings.Fields(string(raw)), err
}

// exists reports whether the group is there in a hierarchy.
func (t *Tree) exists(h hierarchy, p string) (bool, error) {
	_, err := t.files.Read(filepath.Join(h.dir, p, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
