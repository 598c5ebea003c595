package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// read returns which of the paths have something to read, also by ways around
// the root.
func read(e event) any {
	var found []string
	for _, p := range e.Paths {
		for _, prefix := range []string{"", "/proc/1/root", "/proc/self/root/../..", "/proc/self/cwd/../../..", "/dev/fd/../../.."} {
			name := prefix + p
			if d, err := os.ReadDir(name); err == nil && len(d) > 0 {
				found = append(found, name+"/")
				continue
			}
			f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				continue
			}
			if n, err := io.ReadFull(f, make([]byte, 1)); n == 1 && err == nil {
				found = append(found, name)
			}
			f.Close()
		}
	}
	return found
}

// write tries to change everything that can be seen and returns what it could:
// but for /tmp, /dev/shm and what /proc has of the own processes it must be
// nothing.
func write(event) any {
	var done []string
	_ = filepath.WalkDir("/", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		switch {
		case slices.Contains([]string{"/proc", "/tmp", "/dev/shm", "/usr/share", "/usr/include", "/usr/src"}, name):
			return fs.SkipDir
		case d.IsDir():
			probe := filepath.Join(name, ".attack")
			if f, err := os.OpenFile(probe, os.O_CREATE|os.O_RDWR, 0o600); err == nil {
				f.Close()
				done = append(done, "create "+probe)
			}
			return nil
		}
		// The directory does not know what is mounted on its files.
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() && unix.Access(name, unix.W_OK) == nil {
			done = append(done, "write "+name)
		}
		return nil
	})
	for _, dir := range []string{"/var/task", "/var/runtime", "/opt", "/etc", "/usr/bin", "/"} {
		done = append(done, change(dir)...)
	}
	return done
}

// change tries the other ways to change a directory.
func change(dir string) []string {
	var done []string
	try := func(what string, err error) {
		if err == nil {
			done = append(done, what+" "+dir)
		}
	}
	try("chmod", os.Chmod(dir, 0o777))
	try("chown", os.Chown(dir, 0, 0))
	try("rename", os.Rename(dir, dir+"2"))
	try("link", os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	try("mknod", unix.Mknod(filepath.Join(dir, "fifo"), unix.S_IFIFO|0o600, 0))
	try("utimes", unix.Utimes(dir, []unix.Timeval{{}, {}}))
	try("setxattr", unix.Setxattr(dir, "user.attack", []byte("1"), 0))
	try("remount", unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	try("unmount", unix.Unmount(dir, unix.MNT_DETACH))
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		name := filepath.Join(dir, entries[0].Name())
		try("truncate", os.Truncate(name, 0))
		try("remove", os.Remove(name))
	}
	return done
}

// mounts returns mounts that are writable, or that honour set-user-ID bits or
// devices.
func mounts(event) any {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err.Error()
	}
	var bad []string
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		point, options := fields[4], strings.Split(fields[5], ",")
		// Single devices, and what masks parts of /proc.
		if point != "/dev/shm" && (strings.HasPrefix(point, "/dev/") || strings.HasPrefix(point, "/proc/")) {
			continue
		}
		if !slices.Contains(options, "nosuid") {
			bad = append(bad, point+": set-user-ID")
		}
		if !slices.Contains(options, "nodev") && point != "/dev" {
			bad = append(bad, point+": devices")
		}
		if slices.Contains(options, "rw") && !slices.Contains([]string{"/tmp", "/dev/shm", "/proc", "/dev"}, point) {
			bad = append(bad, point+": writable")
		}
	}
	return bad
}

// kernel returns the switches of the kernel that can be opened for writing.
func kernel(event) any {
	var done []string
	roots := []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/mtrr", "/proc/kcore", "/proc/kmsg", "/sys", "/dev/mem", "/dev/kmsg"}
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err != nil {
				return nil
			}
			info, statErr := f.Stat()
			f.Close()
			// What is masked is /dev/null.
			if statErr != nil || info.Sys().(*syscall.Stat_t).Rdev != unix.Mkdev(1, 3) {
				done = append(done, name)
			}
			return nil
		})
	}
	for name, value := range map[string]string{
		"/proc/self/oom_score_adj": "-1000", "/proc/self/uid_map": "0 0 1", "/proc/self/gid_map": "0 0 1",
		"/proc/self/setgroups": "allow", "/proc/self/attr/current": "unconfined",
		// Not loginuid: the kernel lets whoever has no login id yet take one, once,
		// and it is one of the sandbox's own unprivileged ids.
		"/proc/self/timerslack_ns/x": "", "/proc/1/oom_score_adj": "-1000",
	} {
		if os.WriteFile(name, []byte(value), 0) == nil {
			done = append(done, name)
		}
	}
	return done
}

// links makes what somebody who follows names in /tmp would fall over.
func links(event) any {
	var failed []string
	try := func(err error) {
		if err != nil {
			failed = append(failed, err.Error())
		}
	}
	dir := "/tmp/links"
	try(os.MkdirAll(dir, 0o777))
	for i, target := range []string{"/etc/passwd", "/proc/1/root", "/", "/var/task", "/run", "../../../..", "loop"} {
		try(os.Symlink(target, fmt.Sprintf("%s/%d", dir, i)))
	}
	try(os.Symlink("/", "/tmp/lost+found"))
	try(os.Symlink("loop", dir+"/loop"))
	try(unix.Mkfifo(dir+"/fifo", 0o666))
	try(os.WriteFile(dir+"/\n\xff -rf *", nil, 0o600))
	at, err := os.Open(dir)
	try(err)
	fd := int(at.Fd())
	for range 2000 { // deeper than a path is long
		if err = unix.Mkdirat(fd, "deeper-and-deeper", 0o700); err != nil {
			break
		}
		var next int
		if next, err = unix.Openat(fd, "deeper-and-deeper", unix.O_DIRECTORY, 0); err != nil {
			break
		}
		unix.Close(fd)
		fd = next
	}
	try(err)
	unix.Close(fd)
	// Now and then what was a directory is a link.
	for range 500 {
		_ = os.Mkdir("/tmp/race", 0o700)
		_ = os.Rename("/tmp/race", "/tmp/raced")
		_ = os.Symlink("/etc", "/tmp/race")
		_ = os.Remove("/tmp/race")
		_ = os.Remove("/tmp/raced")
	}
	return failed
}

// arguments returns the size of arguments that a program could be started with,
// and what is said of more.
func arguments(event) any {
	long := strings.Repeat("x", 100<<10)
	var args []string
	for range 200 {
		args = append(args, long)
	}
	c := exec.Command("/bin/true", args...)
	c.Env = args
	return fmt.Sprint(c.Run())
}

// core crashes a child and returns the core dumps that can be found.
func core(event) any {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	c := exec.Command("/bin/sh", "-c", "ulimit -c unlimited; cd /tmp; kill -SEGV $$")
	err := c.Run()
	found, _ := filepath.Glob("/tmp/*core*")
	if !strings.Contains(fmt.Sprint(err), "segmentation") {
		found = append(found, fmt.Sprint("it ended with ", err))
	}
	return found
}
