package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// removeTimeout bounds how long Remove waits for killed processes to be gone.
// One that sleeps in the kernel may take its time.
const removeTimeout = 10 * time.Second

// Remove kills every process in the group and in those below it, and removes
// them all, in every hierarchy. A group that is not there is no error.
func (t *Tree) Remove(ctx context.Context, p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	// Processes may fork while they are killed, and their groups cannot be
	// removed before they are gone; nothing tells when, so try again.
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := t.tryRemove(p)
		if err == nil || !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove the control group %s: %w", p, err)
		case <-time.After(pause):
		}
	}
}

// tryRemove does it once, in all hierarchies, whatever happens in one.
func (t *Tree) tryRemove(p string) error {
	var errs []error
	for _, h := range t.hierarchies {
		errs = append(errs, t.killAll(h, p))
	}
	for _, h := range t.hierarchies {
		errs = append(errs, t.removeAll(h, p))
	}
	return errors.Join(errs...)
}

// RemoveEmpty removes a group that has neither processes nor groups below it,
// and leaves any other alone.
func (t *Tree) RemoveEmpty(p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	var errs []error
	for _, h := range t.hierarchies {
		err := t.files.Rmdir(filepath.Join(h.dir, p))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// killAll sends SIGKILL to every process in and below the group.
func (t *Tree) killAll(h hierarchy, p string) error {
	dir := filepath.Join(h.dir, p)
	if h.unified {
		err := t.files.Write(filepath.Join(dir, "cgroup.kill"), "1")
		if err == nil {
			return nil
		}
		if there, e := t.exists(h, p); e != nil || !there {
			return e
		}
	}
	return t.walk(dir, func(dir string) error {
		pids, err := t.words(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return err
		}
		for _, word := range pids {
			if err := kill(word); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
		}
		// A frozen process dies when it is thawed.
		if err := t.optional(filepath.Join(dir, "freezer.state"), "THAWED"); err != nil {
			return err
		}
		if h.unified {
			return t.optional(filepath.Join(dir, "cgroup.freeze"), "0")
		}
		return nil
	})
}

// kill kills the process that a cgroup.procs names, unless that is ourselves
// or one that we cannot see (0).
func kill(word string) error {
	pid, err := strconv.Atoi(word)
	if err != nil || pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("the process %q is not to be killed", word)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// removeAll removes the groups of one hierarchy, from the leaves.
func (t *Tree) removeAll(h hierarchy, p string) error {
	return t.walk(filepath.Join(h.dir, p), func(dir string) error {
		if err := t.files.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// walk calls do for every group below dir, the leaves first, and for dir. What
// goes away meanwhile is left out.
func (t *Tree) walk(dir string, do func(dir string) error) error {
	names, err := t.files.Dirs(dir)
	if err != nil {
		return ignoreAbsent(err)
	}
	for _, name := range names {
		if err := t.walk(filepath.Join(dir, name), do); err != nil {
			return err
		}
	}
	return ignoreAbsent(do(dir))
}

// ignoreAbsent forgets that a group is not there: the kernel says ENOENT for
// one that was never, ENODEV for one that has just gone.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func rmdir(dir string) error {
	if err := unix.Rmdir(dir); err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
