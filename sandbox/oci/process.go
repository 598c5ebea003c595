package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// The deadlines of the OCI runtime's commands.
const (
	runTimeout    = 30 * time.Second
	deleteTimeout = 30 * time.Second
	killTimeout   = 10 * time.Second
)

// process is a container's first process.
type process struct {
	pid  int
	fd   int      // its pidfd
	file *os.File // the same, for the poller
	out  *stream
	done chan struct{}   // closed when it has ended and that is known everywhere
	life context.Context // ends after done is closed
	exit exit            // valid once done is closed
}

// stdio gives the container our pipes; r may be nil.
type stdio struct{ w, r *os.File }

var _ runc.IO = stdio{}

func (s stdio) Set(c *exec.Cmd) {
	c.Stdout, c.Stderr = s.w, s.w
	if s.r != nil {
		c.Stdin = s.r
	}
}
func (stdio) Stdin() io.WriteCloser { return nil }
func (stdio) Stdout() io.ReadCloser { return nil }
func (stdio) Stderr() io.ReadCloser { return nil }
func (stdio) Close() error          { return nil }

// driver is the OCI runtime with the settings of one call.
func (r *Runtime) driver(log string) *runc.Runc {
	return &runc.Runc{Command: r.cfg.RuncPath, Root: r.runcRoot(), Log: log, LogFormat: runc.JSON}
}

// runContainer starts a container whose bundle is in slot. Within space.do: the
// runtime inherits the namespace.
func (r *Runtime) runContainer(ctx context.Context, id, slot string, io stdio) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	log, pidFile := filepath.Join(slot, "log"), filepath.Join(slot, "pid")
	_, err = r.driver(log).Run(ctx, id, slot, &runc.CreateOpts{
		IO: io, PidFile: pidFile, Detach: true,
	})
	if err != nil {
		return 0, fmt.Errorf("start a container: %w%s", err, lastError(log))
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// lastError finds what the runtime logged.
func lastError(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	var last string
	for line := range strings.Lines(string(data)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			last = ": " + entry.Msg
		}
	}
	return last
}

// watch opens a process's pidfd and waits for its end in the background; gone
// is called before done is closed. The pid cannot have been given to another:
// it is our child, and nobody but us reaps it.
func watch(pid int, out *stream, gone func()) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open a process: %w", err)
	}
	life, end := context.WithCancel(context.Background())
	p := &process{pid: pid, fd: fd, file: os.NewFile(uintptr(fd), "pidfd"), out: out, done: make(chan struct{}), life: life}
	raw, err := p.file.SyscallConn()
	if err != nil {
		end()
		p.file.Close()
		return nil, err
	}
	go func() {
		defer end()
		defer close(p.done)
		err := raw.Read(func(uintptr) bool { return p.reap() })
		for err != nil && !p.reap() { // not pollable: never with a kernel that has pidfds
			time.Sleep(time.Millisecond)
		}
		gone()
	}()
	return p, nil
}

// reap collects the exit status, if the process has ended.
func (p *process) reap() bool {
	var status unix.WaitStatus
	n, err := unix.Wait4(p.pid, &status, unix.WNOHANG, nil)
	switch {
	case err == unix.EINTR, err == nil && n == 0:
		return false
	case err != nil: // not our child: nothing is known but that it has ended
		return unix.Kill(p.pid, 0) == unix.ESRCH
	case status.Signaled():
		p.exit = exit{signal: status.Signal()}
	case status.ExitStatus() > signalBase && status.ExitStatus() <= signalBase+64:
		p.exit = exit{signal: unix.Signal(status.ExitStatus() - signalBase)}
	default:
		p.exit = exit{status: status.ExitStatus()}
	}
	return true
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// during gives a context that ends with the process. The caller calls cancel.
func (p *process) during(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.life, cancel)
	return inner, func() {
		stop()
		cancel()
	}
}

// until is during with a deadline.
func (p *process) until(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithDeadline(ctx, deadline)
	stop := context.AfterFunc(p.life, cancel)
	return inner, func() {
		stop()
		cancel()
	}
}

// kill kills the process and with it all of its pid namespace, frozen or not,
// and waits for its end.
func (p *process) kill(g group) error {
	ctx, cancel := context.WithTimeout(context.Background(), killTimeout)
	defer cancel()
	if p.ended() {
		return nil // and the descriptor may be closed
	}
	if err := unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill: %w", err)
	}
	// Version 1's freezer holds even the killed.
	if err := g.thaw(ctx); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("thaw: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return errors.New("a killed process does not end")
	}
}

// reapOrphans collects processes that were to become a container's first and
// that nobody has adopted: the OCI runtime was cut off and they became our
// children. members are those that were found in the sandbox's group; the
// others are known by the name that the runtime gives its own.
func reapOrphans(members []int) {
	var status unix.WaitStatus
	for _, pid := range members {
		_, _ = unix.Wait4(pid, &status, unix.WNOHANG, nil) // most are not our children
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return
	}
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // gone
		}
		// pid (comm) state ppid …
		before, after, ok := strings.Cut(string(data), ") ")
		fields := strings.Fields(after)
		pid, comm, _ := strings.Cut(before, " (")
		if !ok || len(fields) < 2 || fields[0] != "Z" || fields[1] != strconv.Itoa(os.Getpid()) || !strings.HasPrefix(comm, "runc:[") {
			continue
		}
		if n, err := strconv.Atoi(pid); err == nil {
			_, _ = unix.Wait4(n, &status, unix.WNOHANG, nil)
		}
	}
}
