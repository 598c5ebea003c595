package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// Recover reaps what a dead owner of the state directory has left: containers,
// their processes and cgroups, scratch files and loop devices. Its mounts and
// network namespaces went with it. It touches nothing that has no record, and
// fails if the owner lives. Call it before the first Start.
func (r *Runtime) Recover(ctx context.Context) error {
	if _, err := r.prepare(); err != nil {
		return err
	}
	if err := r.killDrivers(ctx); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	records, err := r.records()
	errs := []error{err}
	for _, rec := range records {
		if r.owns(rec.ID) {
			continue
		}
		if err := r.reap(ctx, rec); err != nil {
			errs = append(errs, fmt.Errorf("recover sandbox %s: %w", rec.ID, err))
			continue
		}
		r.log.Info("reaped a sandbox of a dead owner", "sandbox", rec.ID)
	}
	return errors.Join(errs...)
}

// reap removes what a record names.
func (r *Runtime) reap(ctx context.Context, rec record) error {
	g := group{r.hierarchy, rec.Cgroup}
	if _, err := killGroup(ctx, g); err != nil {
		return err
	}
	if err := r.deleteContainer(ctx, rec.ID); err != nil {
		return err
	}
	if err := g.remove(); err != nil {
		return fmt.Errorf("remove the cgroup: %w", err)
	}
	image := r.scratch.image(rec.ID)
	if err := detachLoops(image); err != nil {
		return err
	}
	return errors.Join(r.scratch.remove(rec.ID), r.removeRecord(rec.ID))
}

// deleteContainer removes a container from the OCI runtime's root. One that is
// not there is no error.
func (r *Runtime) deleteContainer(ctx context.Context, id string) error {
	if _, err := os.Lstat(filepath.Join(r.runcRoot(), id)); os.IsNotExist(err) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if err := r.driver("").Delete(ctx, id, &runc.DeleteOpts{Force: true}); err != nil {
		return fmt.Errorf("delete the container: %w", err)
	}
	return nil
}

// killGroup kills all processes of a group and waits until they are gone. It
// returns those that it found.
func killGroup(ctx context.Context, g group) (found []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := g.pids()
		if err != nil || len(pids) == 0 {
			return found, err
		}
		for _, pid := range pids {
			if err := killMember(g, pid); err != nil {
				return found, err
			}
			if !slices.Contains(found, pid) {
				found = append(found, pid)
			}
		}
		if err := g.thaw(ctx); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return found, fmt.Errorf("processes of %s do not end: %w", g.path, ctx.Err())
		case <-tick.C:
		}
	}
}

// killMember kills a process if it is still in the group: its number may have
// been given to another since the group was read.
func killMember(g group, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	pids, err := g.pids()
	if err != nil || !slices.Contains(pids, pid) {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

// killDrivers kills the OCI runtime's commands that a dead owner had running:
// they would go on to make a container after we have looked for it. They are
// told by our own root directory in their arguments.
func (r *Runtime) killDrivers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		found := 0
		names, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return err
		}
		for _, name := range names {
			pid, err := strconv.Atoi(filepath.Base(name))
			if err != nil || pid == os.Getpid() || !r.isDriver(pid) {
				continue
			}
			found++
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // gone
			}
			if r.isDriver(pid) {
				err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			unix.Close(fd)
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if found == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("commands of the OCI runtime do not end")
		case <-tick.C:
		}
	}
}

// isDriver reports whether a process is the OCI runtime working on our root.
func (r *Runtime) isDriver(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	args := strings.Split(string(data), "\x00")
	i := slices.Index(args, "--root")
	return i > 0 && i+1 < len(args) && args[i+1] == r.runcRoot() && args[0] == r.cfg.RuncPath
}

// detachLoops detaches the loop devices of an image. The kernel has done that,
// unless something of the host holds them.
func detachLoops(image string) error {
	devices, err := loopsOf(image)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range devices {
		f, err := os.OpenFile(d, os.O_RDWR, 0)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0); err != nil && err != unix.ENXIO {
			errs = append(errs, fmt.Errorf("detach %s: %w", d, err))
		}
		f.Close()
	}
	return errors.Join(errs...)
}
