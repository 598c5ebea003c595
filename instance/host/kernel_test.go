package host_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"thermocline/instance"
	"thermocline/instance/host"
	"thermocline/instance/instancetest"
	"thermocline/sandbox"
)

// requireRoot skips a test that changes the machine's control groups, except
// in CI.
func requireRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this test needs root")
	}
	t.Skip("SKIPPED: this test needs root")
}

// processes starts sandboxes that are a process each, in a group of its own
// below the slice's in every hierarchy, as an OCI runtime's are. It answers by
// itself; what is under test is where the process is and when it ends.
type processes struct{}

func (processes) Recover(context.Context) error { return nil }

func (processes) Start(_ context.Context, spec sandbox.Spec, parent string) (sandbox.Sandbox, error) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &processBox{id: spec.ID, cmd: cmd, gone: make(chan struct{})}
	p.wait.Go(func() { _ = cmd.Wait(); close(p.gone) }) // it always ends by a signal
	for _, root := range hierarchyRoots() {
		dir := filepath.Join(root, parent, spec.ID)
		err := os.MkdirAll(dir, 0o755)
		if err == nil && strings.HasSuffix(root, "/cpuset") {
			continue // needs its processors set, which is the OCI runtime's affair
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0)
		}
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.dirs = append(p.dirs, dir)
	}
	return p, nil
}

// hierarchyRoots are the machine's.
func hierarchyRoots() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs") // the pattern is well-formed
	for i, d := range dirs {
		dirs[i] = filepath.Dir(d)
	}
	return dirs
}

type processBox struct {
	id   string
	cmd  *exec.Cmd
	dirs []string
	gone chan struct{}
	wait sync.WaitGroup
}

func (p *processBox) ID() string                                        { return p.id }
func (p *processBox) Initialise(context.Context) error                  { return nil }
func (p *processBox) Specialise(context.Context, sandbox.Binding) error { return nil }
func (p *processBox) Freeze(context.Context) error                      { return nil }
func (p *processBox) Thaw(context.Context) error                        { return nil }
func (p *processBox) Memory() (int64, error)                            { return 1, nil }

func (p *processBox) Alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

func (p *processBox) Invoke(_ context.Context, inv sandbox.Invocation) (sandbox.Outcome, error) {
	var e struct{ Value json.RawMessage }
	if err := json.Unmarshal(inv.Payload, &e); err != nil {
		return sandbox.Outcome{}, err
	}
	if e.Value == nil { // to sleep
		<-p.gone
	}
	if !p.Alive() {
		return sandbox.Outcome{}, errors.New("the process has ended")
	}
	return sandbox.Outcome{Payload: e.Value}, nil
}

// Close leaves the groups behind, which the slice has to see to.
func (p *processBox) Close() error {
	_ = p.cmd.Process.Kill() // it may have ended
	p.wait.Wait()
	return nil
}

// groupsOf returns the groups of a node that are on the machine.
func groupsOf(t testing.TB, node string) []string {
	t.Helper()
	var found []string
	for _, root := range hierarchyRoots() {
		dirs, err := filepath.Glob(filepath.Join(root, "thermocline-"+node, "i-*"))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, dirs...)
	}
	return found
}

func newNode() string { return "test-" + strings.ToLower(rand.Text()[:10]) }

func newProvider(t testing.TB, node, state string) *host.Provider {
	t.Helper()
	p, err := host.New(host.Options{NodeID: node, StateDir: state, TotalMemoryMB: 2048, Starter: processes{}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKernelConformance(t *testing.T) {
	requireRoot(t)
	instancetest.Run(t, func(t *testing.T) instancetest.Harness {
		a, b, state := newNode(), newNode(), t.TempDir()
		return instancetest.Harness{
			Provider: newProvider(t, a, state+"/a"), InstanceMB: 256, Spec: instancetest.FakeSpec, Sandboxes: 40,
			Successor: func() instance.Provider { return newProvider(t, a, state+"/a") },
			Stranger:  func() instance.Provider { return newProvider(t, b, state+"/b") },
			Left:      func() []string { return append(groupsOf(t, a), groupsOf(t, b)...) },
		}
	})
}

// The limit holds for all of a slice's processes together.
func TestKernelLimitsMemory(t *testing.T) {
	requireRoot(t)
	p := newProvider(t, newNode(), t.TempDir())
	defer closed(t, p)
	i := acquire(t, p, 64)
	hungry, err := i.Start(t.Context(), sandbox.Spec{ID: "hungry", Output: func(sandbox.Line) {}})
	if err != nil {
		t.Fatal(err)
	}
	box := boxOf(t, i, "hungry")
	// A shell joins the group and becomes a dd with a buffer of 200 MB.
	script := `for f in "$@"; do echo $$ > "$f/cgroup.procs"; done; exec dd if=/dev/zero of=/dev/null bs=200M count=1`
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", script, "sh"}, box...)...)
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("200 MB in a slice of 64 MB: %v, want that the kernel killed it", err)
	}
	if err := hungry.Close(); err != nil {
		t.Error(err)
	}
}

// boxOf returns a sandbox's groups with a memory limit above them.
func boxOf(t *testing.T, i instance.Instance, id string) []string {
	t.Helper()
	var dirs []string
	for _, root := range hierarchyRoots() {
		found, err := filepath.Glob(filepath.Join(root, "thermocline-*", i.ID(), id, "memory.*.limit_in_bytes"))
		if err != nil {
			t.Fatal(err)
		}
		if v2, _ := filepath.Glob(filepath.Join(root, "thermocline-*", i.ID(), id, "memory.max")); len(v2) > 0 {
			found = v2
		}
		if len(found) > 0 {
			dirs = append(dirs, filepath.Dir(found[0]))
		}
	}
	if len(dirs) == 0 {
		t.Fatal("the sandbox has no memory group")
	}
	return dirs
}

// victimVariable makes the test binary a process that acquires instances and
// waits to be killed.
const victimVariable = "THERMOCLINE_TEST_VICTIM"

func victim() {
	node, state, _ := strings.Cut(os.Getenv(victimVariable), " ")
	ctx := context.Background()
	p, err := host.New(host.Options{NodeID: node, StateDir: state, TotalMemoryMB: 1024, Starter: processes{}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for n := range 3 {
		i, err := p.Acquire(ctx, instance.Request{Owner: "m", MemoryMB: 128})
		if err == nil {
			_, err = i.Start(ctx, sandbox.Spec{ID: fmt.Sprintf("box-%d", n)})
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until killed, or the test is gone
	os.Exit(0)
}

// After kill -9 the next process with the node id removes all that the first
// has left, not before it is dead, and the other node's stays.
func TestKernelRecoverAfterAKill(t *testing.T) {
	requireRoot(t)
	node, state := newNode(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), victimVariable+"="+node+" "+state)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the victim says %q", lines.Text())
	}

	next := newProvider(t, node, state)
	if err := next.Recover(t.Context()); err == nil {
		t.Error("Recover took a living process's instances")
	}
	if len(groupsOf(t, node)) == 0 {
		t.Fatal("the victim has no groups")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed

	other := newProvider(t, newNode(), t.TempDir())
	defer closed(t, other)
	theirs := acquire(t, other, 128)
	box, err := theirs.Start(t.Context(), sandbox.Spec{ID: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := groupsOf(t, node); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if !box.Alive() {
		t.Error("another node's sandbox was ended")
	}
	closed(t, next)
	for _, root := range hierarchyRoots() {
		if _, err := os.Stat(filepath.Join(root, "thermocline-"+node)); err == nil {
			t.Errorf("the node's group is left in %s", root)
		}
	}
}
