package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// refusalWithin is how long a server may take to say that it cannot start.
const refusalWithin = 20 * time.Second

// command runs the program and returns its exit code and what it wrote.
func command(t *testing.T, vars []string, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), refusalWithin)
	defer cancel()
	var out bytes.Buffer
	c := exec.CommandContext(ctx, programs.thermocline(), args...)
	c.Env = append(os.Environ(), vars...)
	c.Stdout, c.Stderr = &out, &out
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 30 * time.Second
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", args, err, out.Bytes())
	}
	if ctx.Err() != nil {
		t.Errorf("%s: nothing was said within %v", args, refusalWithin)
	}
	return c.ProcessState.ExitCode(), out.String()
}

// tree describes every file below a directory.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum := ""
		if d.Type().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = fmt.Sprintf(" %x", sha256.Sum256(raw))
		}
		all = append(all, fmt.Sprintf("%s %v%s", strings.TrimPrefix(path, dir), info.Mode(), sum))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// stored is a data directory in which a server has run and left a function.
func stored(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := startOn(t, dir)
	code := filepath.Join(t.TempDir(), "app.py")
	if err := os.WriteFile(code, []byte("def handler(event, context): return event\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, python := runtimes(t)
	if exit, out := command(t, nil, "deploy", "kept", code, "--runtime", python, "--handler", "app.handler", "--data", dir); exit != 0 {
		t.Fatal(out)
	}
	s.stop()
	return dir
}

// started is a server of a data directory.
type started struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan error
}

// startOn starts a server on a data directory and waits until it is ready.
func startOn(t *testing.T, data string, flags ...string) *started {
	t.Helper()
	s := &started{t: t, done: make(chan error, 1)}
	_ = os.Remove(filepath.Join(data, "credentials.json"))
	var log bytes.Buffer // written by the copying goroutine of Cmd, read after Wait
	s.cmd = exec.Command(programs.thermocline(), append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--memory-mb", "4096"}, flags...)...)
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			raw := log.String()
			t.Logf("the server's log:\n%s", raw[max(0, len(raw)-4000):])
		}
	})
	for end := time.Now().Add(startWithin); ; time.Sleep(20 * time.Millisecond) { // polls a process; nothing to wait on
		if _, err := os.Stat(filepath.Join(data, "credentials.json")); err == nil {
			if exit, _ := command(t, nil, "functions", "--data", data); exit == 0 {
				return s
			}
		}
		select {
		case err := <-s.done:
			s.cmd = nil
			t.Fatalf("the server ended: %v\n%s", err, log.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("the server was not ready within %v", startWithin)
		}
	}
}

func (s *started) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.done; err != nil {
		s.t.Errorf("after SIGTERM: %v", err)
	}
	s.cmd = nil
}

// Each thing that keeps a server from starting is answered with a message that
// says what to do, and leaves the store as it was.
func TestStartRefusals(t *testing.T) {
	needsHost(t)
	dir := stored(t)
	key := filepath.Join(dir, "secret.key")
	script := func(text string, mode fs.FileMode) string {
		path := filepath.Join(t.TempDir(), "runc")
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := script("a file", 0o600)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	// Accepts and never says that it is NATS.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	chmod := func(mode fs.FileMode) func() func() {
		return func() func() {
			if err := os.Chmod(key, mode); err != nil {
				t.Fatal(err)
			}
			return func() { _ = os.Chmod(key, 0o600) }
		}
	}
	rename := func() func() {
		if err := os.Rename(key, key+".away"); err != nil {
			t.Fatal(err)
		}
		return func() { _ = os.Rename(key+".away", key) }
	}
	readOnly := func() func() {
		if err := errors.Join(unix.Mount(dir, dir, "", unix.MS_BIND, ""), unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")); err != nil {
			t.Fatal(err)
		}
		return func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }
	}
	locked := func() func() {
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err == nil {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { f.Close() }
	}
	for _, tt := range []struct {
		name   string
		damage func() (mend func())
		args   []string
		code   int
		says   []string
		wrote  bool // the embedded NATS began, and may have written for itself
	}{
		{name: "no runc", args: []string{"--runc", "no-such-runtime"}, code: 1, says: []string{"there is no OCI runtime no-such-runtime", "--runc"}},
		{name: "no runc at the path", args: []string{"--runc", file + "x"}, code: 1, says: []string{"there is no OCI runtime", "--runc"}},
		{name: "runc that cannot be executed", args: []string{"--runc", file}, code: 1, says: []string{"cannot be run", "chmod +x"}},
		{name: "runc that is no program", args: []string{"--runc", script("\x00\x01\x02", 0o755)}, code: 1, says: []string{"does not run", "--runc"}},
		{name: "runc that prints garbage", args: []string{"--runc", script("#!/bin/sh\nhead -c 100000 /dev/zero\necho; echo hello", 0o755)}, code: 1, says: []string{"is no OCI runtime", "--runc"}},
		{name: "runc that fails", args: []string{"--runc", script("#!/bin/sh\necho broken library >&2; exit 127", 0o755)}, code: 1, says: []string{"exit status 127: broken library", "--runc"}},
		{name: "runc that hangs", args: []string{"--runc", script("#!/bin/sh\nsleep 20", 0o755)}, code: 1, says: []string{"did not answer --version within 5s", "--runc"}},

		{name: "a port in use", args: []string{"--listen", taken.Addr().String()}, code: 1, says: []string{taken.Addr().String() + " is in use", "--listen"}, wrote: true},
		{name: "an address of another machine", args: []string{"--listen", "192.0.2.1:0"}, code: 1, says: []string{"listen", "--listen"}, wrote: true},

		{name: "a file for a data directory", args: []string{"--data", file}, code: 1, says: []string{"make the data directory", "not a directory", "--data"}},
		{name: "a directory below a file", args: []string{"--data", file + "/data"}, code: 1, says: []string{"make the data directory", "--data"}},
		{name: "a read-only file system", damage: readOnly, code: 1, says: []string{"the data directory cannot be written", "read-only file system", "--data"}},
		{name: "a data directory in use", damage: locked, code: 1, says: []string{"another server runs on " + dir, "--data"}},

		{name: "a key file that the group reads", damage: chmod(0o640), code: 1, says: []string{"can be used by others", "chmod 600 " + key}, wrote: true},
		{name: "a key file that all read", damage: chmod(0o604), code: 1, says: []string{"can be used by others", "chmod 600 " + key}, wrote: true},
		{name: "a key file that is gone", damage: rename, code: 1, says: []string{key + " is missing", "put it back"}, wrote: true},

		{name: "a configuration that is no YAML", args: []string{"--config", script("fleets: [\n", 0o600)}, code: 3, says: []string{"read ", "must be YAML"}},
		{name: "a configuration that is binary", args: []string{"--config", script("\x00\xff\xfe", 0o600)}, code: 3, says: []string{"read ", "must be YAML"}},
		{name: "a configuration with a wrong key", args: []string{"--config", script("lissen: x\nlog: {level: loud}\n", 0o600)}, code: 3, says: []string{"lissen: there is no such key", "log.level", "docs/configuration.md"}},
		{name: "a configuration that is not there", args: []string{"--config", file + "x"}, code: 3, says: []string{"there is no configuration file", "--config"}},

		{name: "NATS that is not there", args: []string{"--nats", "nats://user:geheim@127.0.0.1:1"}, code: 1, says: []string{"connect to NATS at nats://user:xxxxx@127.0.0.1:1", "--nats"}},
		{name: "NATS that says nothing", args: []string{"--nats", "nats://" + silent.Addr().String()}, code: 1, says: []string{"connect to NATS at", "--nats"}},
		{name: "NATS without a name", args: []string{"--nats", "nats://no-such-host.invalid"}, code: 1, says: []string{"connect to NATS at", "--nats"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := tree(t, dir)
			mend := func() {}
			if tt.damage != nil {
				mend = tt.damage()
			}
			args := []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--memory-mb", "4096"}
			code, out := command(t, nil, append(args, tt.args...)...)
			mend()
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, text := range append(tt.says, "  → ") {
				if tt.wrote && text == "  → " && !strings.Contains(out, "is in use") && !strings.Contains(out, "listen") {
					continue // the message itself says it
				}
				if !strings.Contains(out, text) {
					t.Errorf("%q is missing in:\n%s", text, out)
				}
			}
			if strings.Contains(out, "geheim") || strings.Contains(out, "panic") || strings.Contains(out, "goroutine ") {
				t.Errorf("it says too much:\n%s", out)
			}
			if !tt.wrote {
				if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
					t.Errorf("the data directory was changed:\n%s", diff)
				}
			}
		})
	}
	// After all of that the store is as it was.
	startOn(t, dir)
	if code, out := command(t, nil, "invoke", "kept", "--payload", `[1]`, "--data", dir); code != 0 || strings.TrimSpace(out) != `[1]` {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := command(t, nil, "functions", "--data", dir); code != 0 || strings.Count(out, "\n") != 2 {
		t.Errorf("exit code %d: %s", code, out)
	}
}
