package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// scratch makes the file systems behind /tmp: sparse files with an ext4 in
// them, attached through loop devices. They are not charged to the sandbox's
// memory, and when they are full writing fails, and nobody dies.
//
// A device is detached by the kernel when its mount is gone.
type scratch struct {
	dir string

	mu        sync.Mutex
	templates map[int]*template // by size in MB
}

// template is an image that was formatted once and is copied from then on.
type template struct {
	once sync.Once
	err  error
}

const formatTimeout = 30 * time.Second

func newScratch(dir string) *scratch {
	return &scratch{dir: dir, templates: map[int]*template{}}
}

// image returns the name of a sandbox's image.
func (s *scratch) image(id string) string { return filepath.Join(s.dir, id+".ext4") }

func (s *scratch) templateFile(sizeMB int) string {
	return filepath.Join(s.dir, fmt.Sprintf("template-%d", sizeMB))
}

// create makes the image of a sandbox: a copy of a template's few blocks that
// are not empty.
func (s *scratch) create(ctx context.Context, id string, sizeMB int) error {
	s.mu.Lock()
	t := s.templates[sizeMB]
	if t == nil {
		t = &template{}
		s.templates[sizeMB] = t
	}
	s.mu.Unlock()
	// The format outlives who asked for it first: others wait for it too.
	t.once.Do(func() { t.err = s.format(context.WithoutCancel(ctx), sizeMB) })
	if t.err != nil {
		s.mu.Lock()
		if s.templates[sizeMB] == t {
			delete(s.templates, sizeMB) // the next one tries again
		}
		s.mu.Unlock()
		return t.err
	}
	return copySparse(s.templateFile(sizeMB), s.image(id))
}

// format makes a template.
func (s *scratch) format(ctx context.Context, sizeMB int) error {
	ctx, cancel := context.WithTimeout(ctx, formatTimeout)
	defer cancel()
	name := s.templateFile(sizeMB)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(int64(sizeMB)<<20), f.Close()); err != nil {
		return err
	}
	// No journal: nobody needs /tmp after a crash.
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-I", "256",
		"-O", "^has_journal,^resize_inode,uninit_bg", "-E", "lazy_itable_init=1,nodiscard", name)
	cmd.Env = []string{"PATH=/usr/sbin:/sbin:/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format a file system of %d MB: %w: %.200s", sizeMB, err, out)
	}
	return nil
}

// mounted is a scratch file system that is mounted and attached nowhere yet.
// Closing it takes the mount and its loop device away.
type mounted struct {
	sizeMB int
	fd     int
}

func (m *mounted) close() error { return unix.Close(m.fd) }

// mount mounts a sandbox's image, owned by uid and gid. Within space.do.
func (s *scratch) mount(id string, sizeMB, uid, gid int) (_ *mounted, err error) {
	device, loop, err := attachLoop(s.image(id))
	if err != nil {
		return nil, err
	}
	defer device.Close() // from then on only the mount holds it
	fd, err := mountDetached(loop)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	// The root directory becomes the user's before the user can see it.
	if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
		return nil, fmt.Errorf("give /tmp to its user: %w", err)
	}
	if err := unix.Fchmodat(fd, ".", 0o700, 0); err != nil {
		return nil, fmt.Errorf("set the mode of /tmp: %w", err)
	}
	if err := unix.Unlinkat(fd, "lost+found", unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		return nil, fmt.Errorf("clean /tmp: %w", err)
	}
	return &mounted{sizeMB: sizeMB, fd: fd}, nil
}

// attach shows the file system at target. Within space.do.
func (m *mounted) attach(target string) error {
	if err := unix.MoveMount(m.fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach /tmp: %w", err)
	}
	return nil
}

// mountDetached mounts an ext4 without attaching it anywhere.
func mountDetached(device string) (int, error) {
	sb, err := unix.Fsopen("ext4", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open ext4: %w", err)
	}
	defer unix.Close(sb)
	if err := unix.FsconfigSetString(sb, "source", device); err != nil {
		return -1, fmt.Errorf("set the device: %w", err)
	}
	// noinit_itable: else a kernel thread fills the sparse file with zeros.
	for _, flag := range []string{"noinit_itable", "nobarrier", "discard"} {
		if err := unix.FsconfigSetFlag(sb, flag); err != nil {
			return -1, fmt.Errorf("set %s: %w", flag, err)
		}
	}
	if err := unix.FsconfigCreate(sb); err != nil {
		return -1, fmt.Errorf("mount ext4: %w", err)
	}
	fd, err := unix.Fsmount(sb, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, fmt.Errorf("mount ext4: %w", err)
	}
	return fd, nil
}

// attachLoop makes a file a loop device that goes when its last user closes it.
func attachLoop(image string) (device *os.File, name string, err error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, "", err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, "", fmt.Errorf("loop devices: %w", err)
	}
	defer control.Close()
	for range 64 { // others take devices at the same time
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, "", fmt.Errorf("get a loop device: %w", err)
		}
		name = fmt.Sprintf("/dev/loop%d", n)
		device, err = os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, "", err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		copy(config.Info.File_name[:], image)
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, name, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, "", fmt.Errorf("configure %s: %w", name, err)
		}
	}
	return nil, "", errors.New("no loop device is free")
}

// copySparse copies only what a sparse file has data of.
func copySparse(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := dst.Truncate(info.Size()); err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return nil // nothing more
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(src.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, data), io.NewSectionReader(src, data, hole-data)); err != nil {
			return err
		}
		at = hole
	}
}

// remove removes a sandbox's image.
func (s *scratch) remove(id string) error {
	if err := os.Remove(s.image(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// clear removes the templates.
func (s *scratch) clear() error {
	names, err := filepath.Glob(filepath.Join(s.dir, "template-*"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if e := os.Remove(n); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// loopsOf returns the loop devices whose backing file is the image.
func loopsOf(image string) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var devices []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // detached in between
		}
		name := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), " (deleted)")
		if name == image {
			devices = append(devices, "/dev/"+strings.Split(f, "/")[3])
		}
	}
	return devices, nil
}
