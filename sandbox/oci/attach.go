package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The directories of a slot, in the order of slotTargets.
const (
	slotTask    = "task"
	slotLayers  = "opt"
	slotScratch = "tmp"
)

// makeSlot makes the directories that a sandbox's code, layers and scratch
// file system are moved into. Within space.do.
func makeSlot(dir string) error {
	for _, d := range []string{"", slotTask, slotLayers, slotScratch} {
		p := filepath.Join(dir, d)
		if err := os.Mkdir(p, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(p, 0o755); err != nil { // whatever our umask
			return err
		}
	}
	return nil
}

// removeSlot detaches what was moved in and removes the directories. Within
// space.do. It never removes recursively: below might be the host's files.
func removeSlot(dir string) error {
	for _, d := range []string{slotTask, slotLayers, slotScratch} {
		p := filepath.Join(dir, d)
		for {
			err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
			if err == unix.EINVAL || err == unix.ENOENT { // not, or no longer, mounted
				break
			}
			if err != nil {
				return fmt.Errorf("unmount %s: %w", d, err)
			}
		}
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	// runc writes .pid before it renames it to pid; one that was killed in
	// between leaves it.
	for _, f := range []string{"config.json", "pid", ".pid", "log"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// attachDir shows a directory of the host at target, read-only. The mount gets
// its attributes before anybody can see it: one that is made read-only after
// it was attached stays writable in the containers it has propagated to.
// Within space.do.
func attachDir(source, target string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("open the code's directory: %w", err)
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV,
		Propagation: unix.MS_PRIVATE,
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("make the code read-only: %w", err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach the code: %w", err)
	}
	return nil
}

// attachLayers shows the layers merged at target, read-only, later ones over
// earlier ones. Within space.do.
func attachLayers(layers []string, target string) error {
	switch len(layers) {
	case 0:
		return nil
	case 1:
		return attachDir(layers[0], target)
	}
	lower := make([]string, len(layers))
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`)
	for i, l := range layers {
		lower[len(layers)-1-i] = escape.Replace(l) // the leftmost is on top
	}
	err := unix.Mount("overlay", target, "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "lowerdir="+strings.Join(lower, ":"))
	if err != nil {
		return fmt.Errorf("attach %d layers: %w", len(layers), err)
	}
	return nil
}
