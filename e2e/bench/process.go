package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that the benchmark has started.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

// start starts a command that dies with us.
func start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// stop asks the process to end and kills it when it does not.
func (p *process) stop(patience time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-p.done:
		return err
	case <-t.C:
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("%s did not end within %v: %w", filepath.Base(p.cmd.Path), patience, <-p.done)
	}
}

// clockTicks is USER_HZ, which is 100 on every Linux that Go runs on.
const clockTicks = 100

// cpu returns the processor time that a process has used, without its
// children's.
func cpu(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(raw), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, raw)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, raw)
	}
	return time.Duration(user+system) * time.Second / clockTicks, nil
}

// field reads a "name: N kB" line of a file in bytes.
func field(file, name string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// sandboxMemory returns the memory of the sandboxes of a server's node, on
// average: what their processes hold (shared pages divided among those that
// share them), and what their control groups are charged with.
func sandboxMemory(node string) (pss, charged int64, sandboxes int) {
	root, usage := "/sys/fs/cgroup/memory", "memory.usage_in_bytes"
	if _, err := os.Stat(root); err != nil {
		root, usage = "/sys/fs/cgroup", "memory.current"
	}
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !strings.Contains(path, "thermocline-"+node) { // groups come and go
			return nil
		}
		procs, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		pids := strings.Fields(string(procs))
		if err != nil || len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			n, _ := field("/proc/"+pid+"/smaps_rollup", "Pss") // gone: nothing
			pss += n
		}
		raw, _ := os.ReadFile(filepath.Join(path, usage))
		n, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		charged += n
		sandboxes++
		return nil
	})
	if sandboxes > 0 {
		pss, charged = pss/int64(sandboxes), charged/int64(sandboxes)
	}
	return pss, charged, sandboxes
}

// childrenCPU returns the processor time of a process's children, which all
// still run.
func childrenCPU(pid int) time.Duration {
	var sum time.Duration
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		raw, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(raw)) {
			tasks, _ := filepath.Glob("/proc/" + child + "/task/*/schedstat")
			for _, task := range tasks {
				stat, _ := os.ReadFile(task)
				if f := strings.Fields(string(stat)); len(f) > 0 {
					n, _ := strconv.ParseInt(f[0], 10, 64)
					sum += time.Duration(n)
				}
			}
		}
	}
	return sum
}

// groupCPU returns the processor time of all sandboxes of a server's node, those
// that are gone included, 0 where it cannot be read.
func groupCPU(node string) time.Duration {
	if found, _ := filepath.Glob("/sys/fs/cgroup/cpu*/thermocline-" + node + "*/cpuacct.usage"); len(found) > 0 {
		raw, _ := os.ReadFile(found[0])
		n, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		return time.Duration(n)
	}
	found, _ := filepath.Glob("/sys/fs/cgroup/thermocline-" + node + "*/cpu.stat")
	if len(found) == 0 {
		return 0
	}
	raw, _ := os.ReadFile(found[0])
	_, after, _ := strings.Cut(string(raw), "usage_usec ")
	line, _, _ := strings.Cut(after, "\n")
	n, _ := strconv.ParseInt(line, 10, 64)
	return time.Duration(n) * time.Microsecond
}
