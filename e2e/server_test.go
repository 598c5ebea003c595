package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// startWithin is how long a server may take to be ready, on a busy machine.
const startWithin = 30 * time.Second

// serverKey finds a script's server among its values.
type serverKey struct{}

// server is the server of one script, on the data directory $WORK/data.
type server struct {
	node   string // its name, part of its mounts and control groups
	log    string
	cmd    *exec.Cmd
	exited chan error
}

// newServer does not start it.
func newServer(e *testscript.Env) *server {
	s := &server{
		node: "e2e-" + strings.ToLower(filepath.Base(e.WorkDir)),
		log:  filepath.Join(e.WorkDir, "server.log"),
	}
	s.node = strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, s.node), "-")
	if len(s.node) > 14 {
		s.node = strings.Trim(s.node[:14], "-")
	}
	s.node = fmt.Sprintf("%s-%x", s.node, time.Now().UnixNano()&0xffffff)
	// A script that failed leaves the machine clean too.
	e.Defer(func() { s.end(syscall.SIGTERM) })
	return s
}

// serverCommand is the command `server`:
//
//	server start [FLAG...]  starts it and waits until it is ready
//	server stop             SIGTERM; it must exit with 0
//	server kill             kill -9
//	server left             succeeds when the machine has anything of it
func serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: server start|stop|kill|left")
	}
	s, _ := ts.Value(serverKey{}).(*server)
	if neg && args[0] != "left" {
		ts.Fatalf("! server %s means nothing", args[0])
	}
	switch args[0] {
	case "start":
		if err := s.start(ts, args[1:]); err != nil {
			log, _ := os.ReadFile(s.log)
			ts.Fatalf("start the server: %v\n%s", err, log)
		}
	case "stop":
		if err := s.end(syscall.SIGTERM); err != nil {
			log, _ := os.ReadFile(s.log)
			ts.Fatalf("stop the server: %v\n%s", err, log)
		}
	case "kill":
		var exit *exec.ExitError
		if err := s.end(syscall.SIGKILL); !errors.As(err, &exit) {
			ts.Fatalf("kill the server: %v", err)
		}
	case "left":
		left := s.left()
		if neg && len(left) > 0 {
			ts.Fatalf("this is left:\n%s", strings.Join(left, "\n"))
		}
		if !neg && len(left) == 0 {
			ts.Fatalf("nothing is left of it")
		}
	default:
		ts.Fatalf("server %s means nothing", args[0])
	}
}

func (s *server) start(ts *testscript.TestScript, flags []string) error {
	if s.cmd != nil {
		return errors.New("it runs already")
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"serve", "--data", ts.Getenv("THERMOCLINE_DATA"), "--listen", "127.0.0.1:0", "--node", s.node, "--memory-mb", "4096"}, flags...)
	s.cmd = exec.Command(programs.thermocline(), args...)
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	ready := make(chan bool, 1)
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) {
		lines := bufio.NewReader(out)
		first, err := lines.ReadString('\n')
		ready <- err == nil && strings.Contains(first, "ready")
		_, _ = io.Copy(io.Discard, lines)
		exited <- cmd.Wait()
	}(s.cmd, s.exited)
	deadline := time.NewTimer(startWithin)
	defer deadline.Stop()
	select {
	case ok := <-ready:
		if !ok {
			err := <-s.exited
			s.cmd = nil
			return fmt.Errorf("it ended: %w", err)
		}
		return nil
	case <-deadline.C:
		s.end(syscall.SIGKILL)
		return fmt.Errorf("it was not ready within %v", startWithin)
	}
}

// end sends a signal and returns how the server exited.
func (s *server) end(signal syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(signal) // it may have ended by itself
	kill := time.AfterFunc(startWithin, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	err := <-s.exited
	s.cmd = nil
	return err
}

// left lists the mounts, control groups and state directories with the node's
// name.
func (s *server) left() []string {
	var found []string
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/run/thermocline/"+s.node) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	for _, root := range []string{"/sys/fs/cgroup", "/run/thermocline"} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil { // groups come and go
				return nil
			}
			if d.IsDir() && strings.Contains(d.Name(), s.node) {
				found = append(found, path)
				return filepath.SkipDir
			}
			return nil
		})
	}
	return found
}

// runtimes finds a Node.js and a Python runtime that can run here.
func runtimes(t *testing.T) (node, python string) {
	t.Helper()
	out, err := exec.Command(programs.thermocline(), "runtime", "list", "--json", "--data", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("list the runtimes: %v", err)
	}
	var all []struct {
		Name      string
		Available bool
	}
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		switch {
		case !r.Available:
		case strings.HasPrefix(r.Name, "nodejs"):
			node = r.Name
		case strings.HasPrefix(r.Name, "python"):
			python = r.Name
		}
	}
	if node == "" || python == "" {
		t.Fatalf("a Node.js and a Python under /usr are needed (make deps): %s", out)
	}
	return node, python
}
