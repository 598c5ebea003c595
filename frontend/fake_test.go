package frontend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/frontend"
	"thermocline/store/storetest"
)

// memory is a store that can break and whose log readers can be made to wait.
type memory struct {
	*storetest.Memory
	broken atomic.Pointer[thermocline.Error] // returned by every change
}

var _ frontend.Store = (*memory)(nil)

func (m *memory) fault() error {
	if e := m.broken.Load(); e != nil {
		return e
	}
	return nil
}

func (m *memory) Create(ctx context.Context, f *thermocline.Function) error {
	if err := m.fault(); err != nil {
		return err
	}
	return m.Memory.Create(ctx, f)
}

func (m *memory) Update(ctx context.Context, id thermocline.FunctionID, change func(*thermocline.Function) error) (*thermocline.Function, error) {
	if err := m.fault(); err != nil {
		return nil, err
	}
	return m.Memory.Update(ctx, id, change)
}

func (m *memory) Put(ctx context.Context, sha string, zip []byte) error {
	if err := m.fault(); err != nil {
		return err
	}
	return m.Memory.Put(ctx, sha, zip)
}

// packages counts the code packages, by removing none of them.
func (m *memory) packages(t testing.TB) (n int) {
	t.Helper()
	if _, err := m.Collect(t.Context(), -time.Hour, func(string) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// names lists the functions.
func (m *memory) names(t testing.TB) (names []string) {
	t.Helper()
	fs, _, err := m.List(t.Context(), account, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		names = append(names, f.Name)
	}
	return names
}

func (m *memory) latest(t testing.TB, name string) thermocline.Function {
	t.Helper()
	f, err := m.Get(t.Context(), thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest})
	if err != nil {
		t.Fatal(err)
	}
	return *f
}

// counts is a history that only counts.
type counts struct {
	mu                           sync.Mutex
	started, finished, cancelled int
	forgotten                    []thermocline.FunctionID
}

func (c *counts) Started(thermocline.FunctionID, time.Time) {
	c.mu.Lock()
	c.started++
	c.mu.Unlock()
}

func (c *counts) Finished(thermocline.FunctionID, time.Duration, time.Time) {
	c.mu.Lock()
	c.finished++
	c.mu.Unlock()
}

func (c *counts) Cancelled(thermocline.FunctionID) {
	c.mu.Lock()
	c.cancelled++
	c.mu.Unlock()
}

func (c *counts) Usage(thermocline.FunctionID, time.Time) thermocline.Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return thermocline.Usage{Total: int64(c.started)}
}

func (c *counts) Each(_ time.Time, f func(thermocline.FunctionID, thermocline.Usage) bool) {
	f(thermocline.FunctionID{Account: account, Name: "f", Version: thermocline.Latest}, thermocline.Usage{RateMinute: 0.125})
}

func (c *counts) Forget(id thermocline.FunctionID) {
	c.mu.Lock()
	c.forgotten = append(c.forgotten, id)
	c.mu.Unlock()
}

func (c *counts) get() (started, finished, cancelled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started, c.finished, c.cancelled
}

// worker stands for everything behind the frontend: it runs the function that
// the test gives it.
type worker struct {
	mu     sync.Mutex
	run    func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error)
	events []*thermocline.Invocation
	seen   []*thermocline.Invocation
	routed func(partition int) // told of each invocation, if not nil
}

var _ dispatch.Client = (*worker)(nil)

func echo(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
	return &thermocline.Result{
		RequestID: inv.RequestID, Payload: inv.Payload, ExecutedVersion: inv.Function.Version,
		LogTail: fmt.Appendf(nil, "START RequestId: %s Version: %s\n", inv.RequestID, inv.Function.Version),
	}, nil
}

func (w *worker) does(run func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run = run
}

func (w *worker) Invoke(ctx context.Context, r dispatch.Route, inv *thermocline.Invocation) (*thermocline.Result, error) {
	w.mu.Lock()
	if w.routed != nil {
		w.routed(r.Partition)
	}
	run := w.run
	w.seen = append(w.seen, inv)
	w.mu.Unlock()
	return run(ctx, inv)
}

func (w *worker) last() *thermocline.Invocation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1]
}

func (w *worker) Enqueue(_ context.Context, _ dispatch.Route, inv *thermocline.Invocation) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, inv)
	return nil
}

func (w *worker) Managers() []thermocline.ManagerInfo {
	return []thermocline.ManagerInfo{{ID: "m1", Fleet: "low-volume", Slots: 4}}
}

func (w *worker) Queued(context.Context) (map[string]int, error) {
	return map[string]int{"low-volume": 3}, nil
}

// interpreters are those of a machine that lacks Ruby, Java and .NET.
type interpreters struct{}

func (interpreters) Check(_ context.Context, name string) error {
	if strings.HasPrefix(name, "ruby") || strings.HasPrefix(name, "java") || strings.HasPrefix(name, "dotnet") {
		return fmt.Errorf("no interpreter for %s is installed", name)
	}
	return nil
}

func (interpreters) List(context.Context) ([]frontend.Runtime, error) {
	return []frontend.Runtime{{Name: "python3.12", Available: true, Path: "/usr/bin/python3"}, {Name: "nodejs22.x", Missing: "no Node.js"}}, nil
}

type statuses struct{}

func (statuses) Status(context.Context) ([]thermocline.ManagerStatus, error) {
	return []thermocline.ManagerStatus{{ManagerInfo: thermocline.ManagerInfo{ID: "m1", Fleet: "low-volume"}}}, nil
}
