package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"thermocline"
	"thermocline/instance"
	"thermocline/instance/host"
	"thermocline/instance/host/cgroup/cgrouptest"
	"thermocline/instance/instancetest"
	"thermocline/sandbox"
	"thermocline/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		victim()
	}
	goleak.VerifyTestMain(m)
}

// starter starts sandboxtest's sandboxes for one node and remembers where, as
// an OCI runtime's records do.
type starter struct {
	fake *sandboxtest.Fake

	mu    *sync.Mutex
	boxes map[sandbox.Sandbox]string // all nodes': the control group
	mine  map[sandbox.Sandbox]bool
	node  string
}

func (s starter) Start(ctx context.Context, spec sandbox.Spec, cgroupParent string) (sandbox.Sandbox, error) {
	box, err := s.fake.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.boxes[box], s.mine[box] = cgroupParent, true
	return box, nil
}

// Recover closes the sandboxes of the node that this starter did not start.
func (s starter) Recover(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for box, group := range s.boxes {
		if strings.HasPrefix(group, "/thermocline-"+s.node+"/") && !s.mine[box] {
			errs = append(errs, box.Close())
			delete(s.boxes, box)
		}
	}
	return errors.Join(errs...)
}

// world is a machine with control groups of the model.
type world struct {
	t     *testing.T
	model *cgrouptest.Model
	fake  *sandboxtest.Fake
	mu    sync.Mutex
	boxes map[sandbox.Sandbox]string
	state string
}

func newWorld(t *testing.T, m *cgrouptest.Model) *world {
	return &world{t: t, model: m, fake: sandboxtest.NewFake(instancetest.Program), boxes: map[sandbox.Sandbox]string{}, state: t.TempDir()}
}

func (w *world) options(node string) host.Options {
	return host.Options{
		NodeID: node, StateDir: filepath.Join(w.state, node), TotalMemoryMB: 2048,
		Starter:    starter{fake: w.fake, mu: &w.mu, boxes: w.boxes, mine: map[sandbox.Sandbox]bool{}, node: node},
		CgroupRoot: "/cg", Files: w.model,
	}
}

func (w *world) provider(node string) *host.Provider {
	w.t.Helper()
	p, err := host.New(w.options(node))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// left are the groups, records and sandboxes that are there, without the
// nodes' own groups.
func (w *world) left() []string {
	left := w.fake.Open()
	for _, g := range w.model.Groups() {
		if strings.HasPrefix(filepath.Base(g), "i-") {
			left = append(left, g)
		}
	}
	records, err := filepath.Glob(filepath.Join(w.state, "*", "instances", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return append(left, records...)
}

func unifiedModel() *cgrouptest.Model {
	return cgrouptest.NewUnified("/cg", "cpuset", "cpu", "io", "memory", "pids")
}

func hybridModel() *cgrouptest.Model {
	return cgrouptest.NewHybrid("/cg", "memory", "cpu,cpuacct", "pids", "freezer")
}

func TestConformance(t *testing.T) {
	for name, model := range map[string]func() *cgrouptest.Model{"unified": unifiedModel, "hybrid": hybridModel} {
		t.Run(name, func(t *testing.T) {
			instancetest.Run(t, func(t *testing.T) instancetest.Harness {
				w := newWorld(t, model())
				return instancetest.Harness{
					Provider: w.provider("a"), InstanceMB: 256, Spec: instancetest.FakeSpec, Left: w.left,
					Successor: func() instance.Provider { return w.provider("a") },
					Stranger:  func() instance.Provider { return w.provider("b") },
				}
			})
		})
	}
}

func acquire(t *testing.T, p *host.Provider, mb int) instance.Instance {
	t.Helper()
	i, err := p.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: mb})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func closed(t *testing.T, p *host.Provider) {
	t.Helper()
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func read(t *testing.T, m *cgrouptest.Model, file string) string {
	t.Helper()
	raw, err := m.Read(file)
	if err != nil {
		t.Error(err)
	}
	return string(raw)
}

// A slice may use its memory and a little for what is charged beside its
// sandboxes, and gets processors by its part of the memory.
func TestSlicesAreLimited(t *testing.T) {
	w := newWorld(t, unifiedModel())
	o := w.options("a")
	o.TotalCPU = 1
	p, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	i := acquire(t, p, 512)
	group := "/cg/thermocline-a/" + i.ID()
	got := map[string]string{
		"memory.max": read(t, w.model, group+"/memory.max"),
		"cpu.weight": read(t, w.model, group+"/cpu.weight"),
		"of all":     read(t, w.model, "/cg/thermocline-a/cpu.max"),
	}
	want := map[string]string{"memory.max": "570425344", "cpu.weight": "25", "of all": "100000 100000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	closed(t, p)
	if groups := w.model.Groups(); len(groups) != 0 {
		t.Errorf("Close left %v", groups)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	w := newWorld(t, unifiedModel())
	for name, spoil := range map[string]func(o *host.Options){
		"the node id":             func(o *host.Options) { o.NodeID = "../b" },
		"the state directory":     func(o *host.Options) { o.StateDir = "state" },
		"the control group \"/\"": func(o *host.Options) { o.CgroupParent = "/" },
		"the control group \"/..": func(o *host.Options) { o.CgroupParent = "/../x" },
		"must not be negative":    func(o *host.Options) { o.TotalMemoryMB = -1 },
		"something must start":    func(o *host.Options) { o.Starter = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := w.options("a")
			spoil(&o)
			_, err := host.New(o)
			if thermocline.KindOf(err) != thermocline.KindInvalidParameter || !strings.Contains(err.Error(), name) {
				t.Errorf("New = %v, want KindInvalidParameter with %q", err, name)
			}
		})
	}
}

func TestUnusableMachine(t *testing.T) {
	w := newWorld(t, cgrouptest.NewUnified("/cg", "cpu"))
	_, err := host.New(w.options("a"))
	if thermocline.KindOf(err) != thermocline.KindUnavailable || !strings.Contains(err.Error(), "memory is missing") {
		t.Errorf("New = %v, want KindUnavailable that says what is missing", err)
	}
}

func TestAccountsNeedMachinesOfTheirOwn(t *testing.T) {
	p := newWorld(t, unifiedModel()).provider("a")
	_, err := p.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: 128, Account: "123456789012"})
	if thermocline.KindOf(err) != thermocline.KindInvalidParameter {
		t.Errorf("Acquire = %v, want KindInvalidParameter", err)
	}
}

// The budget by default is three quarters of what this process may use.
func TestDefaultBudget(t *testing.T) {
	w := newWorld(t, unifiedModel())
	o := w.options("a")
	o.TotalMemoryMB = 0
	p, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	physical, _ := p.Capacity()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	want := int(info.Totalram * uint64(info.Unit) / 4 * 3 >> 20)
	if physical < want*99/100 || physical > want*101/100 {
		t.Errorf("the budget is %d MB, want about %d", physical, want)
	}

	limited := unifiedModel()
	o.Files = limitedRoot{limited}
	if p, err = host.New(o); err != nil {
		t.Fatal(err)
	}
	if total, _ := p.Capacity(); total != 768 {
		t.Errorf("in a container of 1 GB the budget is %d MB, want 768", total)
	}
}

// limitedRoot is a container's view: its root has a limit.
type limitedRoot struct{ *cgrouptest.Model }

func (l limitedRoot) Read(file string) ([]byte, error) {
	if file == "/cg/memory.max" {
		return []byte("1073741824\n"), nil
	}
	return l.Model.Read(file)
}

func TestAcquireThatFailsLeavesNothing(t *testing.T) {
	for name, file := range map[string]string{
		"the node's group": "/cg/thermocline-a",
		"its limits":       "/cg/thermocline-a/memory.max",
		"delegation":       "/cg/cgroup.subtree_control",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, unifiedModel())
			p := w.provider("a")
			w.model.Fail(file, unix.EIO)
			_, err := p.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: 256})
			if thermocline.KindOf(err) != thermocline.KindUnavailable || !errors.Is(err, unix.EIO) {
				t.Errorf("Acquire = %v, want KindUnavailable for EIO", err)
			}
			if total, free := p.Capacity(); total != free {
				t.Errorf("%d of %d MB are free", free, total)
			}
			if left := w.left(); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
			w.model.Fail(file, nil)
			acquire(t, p, 256)
			closed(t, p)
		})
	}
}

func TestCloseMayBeTriedAgain(t *testing.T) {
	w := newWorld(t, unifiedModel())
	p := w.provider("a")
	i := acquire(t, p, 256)
	group := "/cg/thermocline-a/" + i.ID()
	w.model.Put(group+"/box", "4000000")
	w.model.Stubborn(group+"/box", 1<<30)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.Close(ctx); err == nil {
		t.Fatal("Close = nil with a process left")
	}
	select {
	case <-i.Done():
		t.Error("an instance that is not gone is done")
	default:
	}
	if _, free := p.Capacity(); free != 2048-256 {
		t.Errorf("%d MB are free while the slice is there", free)
	}
	w.model.Stubborn(group+"/box", 0)
	if err := i.Close(t.Context()); err != nil {
		t.Fatalf("Close again: %v", err)
	}
	<-i.Done()
	closed(t, p)
}

func TestRecoverRefusesALivingPredecessor(t *testing.T) {
	w := newWorld(t, unifiedModel())
	p := w.provider("a")
	i := acquire(t, p, 256)
	// Another process made it: our parent, which lives.
	rewriteRecord(t, w, i.ID(), parentProcess(t))

	err := w.provider("a").Recover(t.Context())
	if thermocline.KindOf(err) != thermocline.KindConflict || !strings.Contains(err.Error(), "Another Thermocline") {
		t.Errorf("Recover = %v, want KindConflict", err)
	}
	if left := w.left(); len(left) != 2 {
		t.Errorf("left: %v, want the group and the record", left)
	}
	closed(t, p)
}

func TestRecoverTakesNoForeignRecord(t *testing.T) {
	for name, content := range map[string]string{
		"nonsense":               "{",
		"of another id":          `{"id":"i-000000000001","cgroup":"/thermocline-a/i-000000000001"}`,
		"of a group not ours":    `{"id":"i-000000000000","cgroup":"/system.slice"}`,
		"of another's group":     `{"id":"i-000000000000","cgroup":"/system.slice/ssh.service"}`,
		"of a group at the root": `{"id":"i-000000000000","cgroup":"/i-000000000000"}`,
		"with a way out":         `{"id":"i-000000000000","cgroup":"/a/../b/i-000000000000"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, unifiedModel())
			dir := filepath.Join(w.state, "a", "instances")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "i-000000000000.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			foreign := []string{"/cg/system.slice", "/cg/system.slice/ssh.service", "/cg/i-000000000000", "/cg/thermocline-a", "/cg/thermocline-a/i-000000000001"}
			for _, group := range foreign {
				if err := w.model.Mkdir(group); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.provider("a").Recover(t.Context()); thermocline.KindOf(err) != thermocline.KindInternal || err == nil {
				t.Errorf("Recover = %v, want KindInternal", err)
			}
			slices.Sort(foreign)
			if diff := cmp.Diff(foreign, w.model.Groups()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A predecessor that was configured with another parent is found all the same,
// and its parent goes too.
func TestRecoverAfterAChangeOfParent(t *testing.T) {
	w := newWorld(t, unifiedModel())
	o := w.options("a")
	o.CgroupParent = "/elsewhere"
	before, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	acquire(t, before, 256)
	p := w.provider("a")
	if err := p.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if groups := w.model.Groups(); len(groups) != 0 {
		t.Errorf("left: %v", groups)
	}
	closed(t, p)
}
