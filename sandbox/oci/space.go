package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// space is a mount namespace of our own, which sees what the host mounts and
// shows the host nothing. In it a tmpfs at dir holds the sandboxes' slots, the
// root template and the bundles. It is held by a descriptor only: when we die
// it goes, with all in it.
type space struct {
	ns  *os.File
	dir string
}

// newSpace makes the namespace and mounts the tmpfs.
func newSpace(dir string) (*space, error) {
	s := &space{dir: dir}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare the mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("make mounts slaves: %w", err)
		}
		if err := unix.Mount("thermocline", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0711,size=256m"); err != nil {
			return fmt.Errorf("mount a tmpfs: %w", err)
		}
		// Shared, so that what is moved into a slot appears in the container's
		// copy of it, which is its slave.
		if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
			return fmt.Errorf("share the tmpfs: %w", err)
		}
		var err error
		s.ns, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// path returns a path in the tmpfs; it exists only within do.
func (s *space) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// do runs f in the namespace, on a thread that is thrown away afterwards.
// Processes that f starts are in the namespace too. f must not hand work to
// other goroutines.
func (s *space) do(f func() error) error {
	return onThread(func() error {
		// A thread that shares its working directory with others may not
		// change its mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare the thread's directory: %w", err)
		}
		if err := unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the mount namespace: %w", err)
		}
		return f()
	})
}

func (s *space) close() error { return s.ns.Close() }

// onThread runs f on an operating system thread that ends with it, so that f
// may change the thread's namespaces.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		done <- f()
	}()
	return <-done
}
