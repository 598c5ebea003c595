package frontend_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/frontend"
	"thermocline/store"
)

// memory is a store that forgets everything with the test.
type memory struct {
	mu        sync.Mutex
	functions map[thermocline.FunctionID]*thermocline.Function
	code      map[string][]byte
	accounts  []store.Account
	keys      map[string]store.Key
	lines     []thermocline.LogLine
	broken    error // returned by every change
}

var _ frontend.Store = (*memory)(nil)

func newMemory() *memory {
	return &memory{functions: map[thermocline.FunctionID]*thermocline.Function{}, code: map[string][]byte{}, keys: map[string]store.Key{}}
}

func errMissing() error { return thermocline.Errorf(thermocline.KindNotFound, "not there") }

func (m *memory) Create(_ context.Context, f *thermocline.Function) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	if m.functions[f.FunctionID] != nil {
		return thermocline.Errorf(thermocline.KindConflict, "exists")
	}
	m.functions[f.FunctionID] = f.Clone()
	return nil
}

func (m *memory) Publish(ctx context.Context, f *thermocline.Function) error { return m.Create(ctx, f) }

func (m *memory) Get(_ context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.functions[id]; f != nil {
		return f, nil
	}
	return nil, errMissing()
}

func (m *memory) Fresh(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	return m.Get(ctx, id)
}

func (m *memory) Update(_ context.Context, id thermocline.FunctionID, change func(*thermocline.Function) error) (*thermocline.Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.functions[id]
	if f == nil {
		return nil, errMissing()
	}
	if m.broken != nil {
		return nil, m.broken
	}
	c := f.Clone()
	if err := change(c); err != nil {
		return nil, err
	}
	m.functions[id] = c
	return c, nil
}

func (m *memory) Delete(_ context.Context, id thermocline.FunctionID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := false
	for have := range m.functions {
		if have.Account == id.Account && have.Name == id.Name && (id.Version == "" || have.Version == id.Version) {
			delete(m.functions, have)
			found = true
		}
	}
	if !found {
		return errMissing()
	}
	return nil
}

func (m *memory) List(_ context.Context, account, marker string, max int) (fs []*thermocline.Function, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, f := range m.functions {
		if id.Account == account && id.Version == thermocline.Latest && id.Name > marker {
			fs = append(fs, f)
		}
	}
	slices.SortFunc(fs, func(a, b *thermocline.Function) int { return strings.Compare(a.Name, b.Name) })
	if len(fs) > max {
		fs = fs[:max]
		next = fs[max-1].Name
	}
	return fs, next, nil
}

func (m *memory) Versions(_ context.Context, account, name string) (fs []*thermocline.Function, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, f := range m.functions {
		if id.Account == account && id.Name == name {
			fs = append(fs, f)
		}
	}
	if len(fs) == 0 {
		return nil, errMissing()
	}
	number := func(f *thermocline.Function) int { n, _ := strconv.Atoi(f.Version); return n }
	slices.SortFunc(fs, func(a, b *thermocline.Function) int { return number(a) - number(b) })
	return fs, nil
}

func (m *memory) Put(_ context.Context, sha string, zip []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	m.code[sha] = bytes.Clone(zip)
	return nil
}

func (m *memory) Open(_ context.Context, sha string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	zip, ok := m.code[sha]
	if !ok {
		return nil, errMissing()
	}
	return io.NopCloser(bytes.NewReader(zip)), nil
}

func (m *memory) Collect(context.Context, time.Duration, func(string) bool) (int, error) {
	return 0, nil
}

func (m *memory) CreateAccount(_ context.Context, a store.Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts = append(m.accounts, a)
	return nil
}

func (m *memory) Accounts(context.Context) ([]store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.accounts), nil
}

func (m *memory) DeleteAccount(context.Context, string) error { return errMissing() }

func (m *memory) PutKey(_ context.Context, k store.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[k.ID] = k
	return nil
}

func (m *memory) Key(_ context.Context, id string) (store.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.keys[id]; ok {
		return k, nil
	}
	return store.Key{}, errMissing()
}

func (m *memory) Keys(context.Context, string) ([]store.Key, error) { return nil, nil }

func (m *memory) Append(_ context.Context, lines []thermocline.LogLine) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, lines...)
	return nil
}

func (m *memory) Read(ctx context.Context, q store.LogQuery, each func(thermocline.LogLine) error) error {
	m.mu.Lock()
	lines := slices.Clone(m.lines)
	m.mu.Unlock()
	lines = slices.DeleteFunc(lines, func(l thermocline.LogLine) bool {
		return l.Account != q.Account || l.Function != q.Function || l.Time.Before(q.Since)
	})
	if q.Limit > 0 && len(lines) > q.Limit {
		lines = lines[len(lines)-q.Limit:]
	}
	for _, l := range lines {
		if err := each(l); err != nil {
			return err
		}
	}
	if q.Follow {
		<-ctx.Done()
	}
	return nil
}

func (m *memory) DeleteLogs(context.Context, string, string) error { return nil }

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

func (w *worker) Invoke(ctx context.Context, _ dispatch.Route, inv *thermocline.Invocation) (*thermocline.Result, error) {
	w.mu.Lock()
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
