package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processes returns what can be seen or reached of others' processes.
func processes(e event) any {
	var found []string
	for _, pid := range e.Pids {
		// In here the number may be one of ours, but then it is not the same.
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.HasPrefix(string(name), "thermocline") {
			found = append(found, fmt.Sprintf("%d is %s", pid, name))
		}
	}
	entries, _ := os.ReadDir("/proc")
	seen := 0
	for _, d := range entries {
		if _, err := strconv.Atoi(d.Name()); err == nil {
			seen++
		}
	}
	if seen > 10 {
		found = append(found, fmt.Sprintf("%d processes", seen))
	}
	return found
}

// killAll kills whatever there is, pid 1 with every signal, and then itself.
func killAll(event) any {
	for s := syscall.Signal(1); s < 65; s++ {
		_ = syscall.Kill(1, s)
	}
	_ = syscall.Kill(-1, syscall.SIGSTOP)
	_ = syscall.Kill(-1, syscall.SIGKILL)
	_ = syscall.Kill(os.Getppid(), syscall.SIGKILL)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	return "survived"
}

const (
	beatMarker = "thermocline-hostile-beat"
	beatFile   = "/tmp/beats"
)

// background leaves a process that nobody waits for, in a session of its own.
func background(event) any {
	c := exec.Command(own(), beatMarker)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err.Error()
	}
	for range 400 { // until it runs
		if _, err := os.Stat(beatFile); err == nil {
			return "left"
		}
		time.Sleep(5 * time.Millisecond)
	}
	return "it did not start"
}

// beat writes a byte every five milliseconds.
func beat() {
	f, err := os.OpenFile(beatFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(1)
	}
	for {
		_, _ = f.Write([]byte("."))
		time.Sleep(5 * time.Millisecond)
	}
}

// beats returns how often the background process has run.
func beats(event) any {
	info, err := os.Stat(beatFile)
	if err != nil {
		return -1
	}
	return info.Size()
}

// privileges tries to become more than it is.
func privileges(event) any {
	var got []string
	for _, f := range []struct {
		name string
		call func() error
	}{
		{"setuid", func() error { return unix.Setresuid(0, 0, 0) }},
		{"setgid", func() error { return unix.Setresgid(0, 0, 0) }},
		{"setgroups", func() error { return unix.Setgroups([]int{0}) }},
		{"no_new_privs off", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) }},
		{"ambient capability", func() error {
			return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_SYS_ADMIN, 0, 0)
		}},
		{"capset", func() error {
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			d := [2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0)}, {}}
			return unix.Capset(&h, &d[0])
		}},
		{"nice", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }},
		{"more files", func() error {
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
		}},
		{"locked memory", func() error {
			return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		}},
		{"device node", func() error { return unix.Mknod("/tmp/device", unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0))) }},
		{"character device", func() error { return unix.Mknod("/tmp/device", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))) }},
		{"chown to root", func() error {
			if err := os.WriteFile("/tmp/suid", nil, 0o600); err != nil {
				return err
			}
			return os.Chown("/tmp/suid", 0, 0)
		}},
		{"security attribute", func() error { return unix.Setxattr("/tmp", "trusted.attack", []byte("1"), 0) }},
		{"file capability", func() error {
			return unix.Setxattr("/tmp/suid", "security.capability", []byte("\x01\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 0)
		}},
		{"immutable file", func() error {
			f, err := os.Open("/tmp/suid")
			if err != nil {
				return err
			}
			defer f.Close()
			return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x10)
		}},
		{"terminal input", func() error { return unix.IoctlSetPointerInt(0, unix.TIOCSTI, 'x') }},
	} {
		if f.call() == nil {
			got = append(got, f.name)
		}
	}
	return append(got, setUserID()...)
}

// setUserID runs programs with the set-user-ID bit: one of its own, and those
// of the host.
func setUserID() []string {
	var got []string
	_ = os.Remove("/tmp/suid")
	program, err := os.ReadFile("/usr/bin/id")
	if err == nil {
		err = os.WriteFile("/tmp/suid", program, 0o755)
	}
	if err == nil {
		err = os.Chmod("/tmp/suid", 0o6755)
	}
	if err != nil {
		return []string{err.Error()}
	}
	for _, argv := range [][]string{
		{"/tmp/suid", "-u"}, {"/usr/bin/su", "-c", "id -u"}, {"/usr/bin/sudo", "-n", "id", "-u"},
		{"/usr/bin/newgrp", "root", "-c", "id -u"}, {"/usr/bin/unshare", "-Ur", "id", "-u"},
	} {
		c := exec.Command(argv[0], argv[1:]...)
		out, _ := c.Output()
		if strings.TrimSpace(string(out)) == "0" {
			got = append(got, strings.Join(argv, " "))
		}
	}
	return got
}
