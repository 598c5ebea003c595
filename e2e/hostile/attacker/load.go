package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func (e event) until() time.Time { return time.Now().Add(time.Duration(e.Millis) * time.Millisecond) }

// fork starts processes that start processes, and comes back.
func fork(e event) any {
	end := e.until()
	c := exec.Command("/bin/sh", "-c", `bomb() { bomb | bomb & }; bomb`)
	if err := c.Start(); err != nil {
		return err.Error()
	}
	refused := 0
	for time.Now().Before(end) {
		if err := exec.Command("/bin/true").Run(); errors.Is(err, syscall.EAGAIN) {
			refused++
		}
		time.Sleep(time.Millisecond)
	}
	_ = unix.Kill(c.Process.Pid, unix.SIGKILL)
	return refused > 0
}

// memory takes memory until it is killed.
func memory(event) any {
	var all [][]byte
	for {
		all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		if len(all) > 1<<20 {
			return "a terabyte"
		}
	}
}

// disk fills /tmp and returns how many MB fit and what came then; what it wrote
// is removed.
func disk(e event) any {
	defer os.Remove("/tmp/full")
	end := e.until()
	f, err := os.Create("/tmp/full")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	chunk := bytes.Repeat([]byte("full"), 1<<18)
	for n := 0; ; n++ {
		if _, err := f.Write(chunk); err != nil {
			// Again and again, until time is up.
			for time.Now().Before(end) {
				_ = f.Truncate(int64(n-8) << 20)
				_, _ = f.Seek(0, 2)
				for {
					if _, err := f.Write(chunk); err != nil {
						break
					}
				}
			}
			return fmt.Sprintf("%d MB: %v", n, errors.Unwrap(err))
		}
	}
}

// inodes makes files until there can be no more.
func inodes(event) any {
	if err := os.MkdirAll("/tmp/inodes", 0o700); err != nil {
		return err.Error()
	}
	defer os.RemoveAll("/tmp/inodes")
	for n := 0; ; n++ {
		fd, err := unix.Open(fmt.Sprintf("/tmp/inodes/%d", n), unix.O_CREAT|unix.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Sprint(err)
		}
		unix.Close(fd)
	}
}

// files opens descriptors until there can be no more.
func files(event) any {
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			return fmt.Sprint(err)
		}
		fds = append(fds, fd)
	}
}

// sockets fills the buffers of as many sockets as it gets.
func sockets(e event) any {
	end := e.until()
	chunk := make([]byte, 60<<10)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err.Error()
	}
	defer l.Close()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for time.Now().Before(end) {
		if len(conns) < 400 {
			if c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond); err == nil {
				conns = append(conns, c)
			}
			if c, err := net.Dial("udp", l.Addr().String()); err == nil {
				conns = append(conns, c)
			}
		}
		for _, c := range conns {
			_ = c.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = c.Write(chunk)
		}
	}
	return len(conns)
}

// flood writes lines as fast as it can, and ends one without an end.
func flood(e event) any {
	line := append(bytes.Repeat([]byte("flood "), 20), '\n')
	chunk := bytes.Repeat(line, 500)
	var n int
	for end := e.until(); time.Now().Before(end); n++ {
		// A child's stdout is its answer.
		if _, err := os.Stderr.Write(chunk); err != nil {
			return err.Error()
		}
	}
	_, _ = os.Stderr.Write(bytes.ReplaceAll(chunk, []byte("\n"), nil))
	return n * len(chunk)
}

// spin keeps every processor busy.
func spin(e event) any {
	end := e.until()
	runtime.GOMAXPROCS(16)
	for range 16 {
		go func() {
			for time.Now().Before(end) {
			}
		}()
	}
	time.Sleep(time.Until(end))
	return nil
}
