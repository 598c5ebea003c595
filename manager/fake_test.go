package manager_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/sandbox"
)

// node is a provider whose sandboxes run Go functions; it counts what a
// manager must not get wrong.
type node struct {
	handler func(b sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome

	mu       sync.Mutex
	free     int
	open     map[string]*box
	next     int
	overlaps atomic.Int64 // invocations that overlapped in one sandbox
	mixed    atomic.Int64 // sandboxes that saw a second function
	frozen   atomic.Int64 // Freeze calls
	started  atomic.Int64
	startErr error
	initTime time.Duration

	initialised atomic.Int64 // Initialise calls
	early       atomic.Int64 // sandboxes frozen while they initialised
}

func newNode(memoryMB int) *node {
	return &node{free: memoryMB, open: map[string]*box{}}
}

func (n *node) Name() string                  { return "fake" }
func (n *node) Recover(context.Context) error { return nil }
func (n *node) Close(context.Context) error   { return nil }

func (n *node) Capacity() (int, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return 1 << 20, n.free
}

func (n *node) Acquire(_ context.Context, r instance.Request) (instance.Instance, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.MemoryMB > n.free {
		return nil, thermocline.Errorf(thermocline.KindRefused, "full")
	}
	n.free -= r.MemoryMB
	n.next++
	return &slice{node: n, id: fmt.Sprint("i", n.next), r: r, done: make(chan struct{}), boxes: map[*box]bool{}}, nil
}

func (n *node) sandboxes() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open)
}

type slice struct {
	node  *node
	id    string
	r     instance.Request
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	boxes map[*box]bool
}

func (s *slice) ID() string            { return s.id }
func (s *slice) Provider() string      { return "fake" }
func (s *slice) Owner() string         { return s.r.Owner }
func (s *slice) MemoryMB() int         { return s.r.MemoryMB }
func (s *slice) Done() <-chan struct{} { return s.done }

func (s *slice) Start(_ context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	s.node.started.Add(1)
	if s.node.startErr != nil {
		return nil, s.node.startErr
	}
	b := &box{slice: s, spec: spec, closed: make(chan struct{})}
	if spec.Binding != nil {
		b.binding = *spec.Binding
	}
	s.mu.Lock()
	s.boxes[b] = true
	s.mu.Unlock()
	s.node.mu.Lock()
	s.node.open[spec.ID] = b
	s.node.mu.Unlock()
	return b, nil
}

func (s *slice) Close(context.Context) error {
	s.once.Do(func() {
		s.mu.Lock()
		boxes := s.boxes
		s.boxes = nil
		s.mu.Unlock()
		for b := range boxes {
			_ = b.Close()
		}
		s.node.mu.Lock()
		s.node.free += s.r.MemoryMB
		s.node.mu.Unlock()
		close(s.done)
	})
	return nil
}

type box struct {
	slice   *slice
	spec    sandbox.Spec
	binding sandbox.Binding
	busy    atomic.Bool

	initialising atomic.Bool
	ice          atomic.Bool
	once         sync.Once
	closed       chan struct{}
}

func (b *box) ID() string             { return b.spec.ID }
func (b *box) Alive() bool            { return true }
func (b *box) Memory() (int64, error) { return 1 << 20, nil }

// Initialise takes the node's initTime.
func (b *box) Initialise(ctx context.Context) error {
	b.slice.node.initialised.Add(1)
	b.initialising.Store(true)
	defer b.initialising.Store(false)
	b.spec.Output(sandbox.Line{Time: time.Now(), Text: "made ready"})
	t := time.NewTimer(b.slice.node.initTime)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-b.closed:
		return fmt.Errorf("closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *box) Specialise(_ context.Context, bind sandbox.Binding) error {
	if b.binding.Function != nil {
		b.slice.node.mixed.Add(1)
	}
	b.binding = bind
	return nil
}

func (b *box) Freeze(context.Context) error {
	b.slice.node.frozen.Add(1)
	if b.initialising.Load() {
		b.slice.node.early.Add(1)
	}
	b.ice.Store(true)
	return nil
}

func (b *box) Thaw(context.Context) error { b.ice.Store(false); return nil }

func (b *box) Invoke(ctx context.Context, inv sandbox.Invocation) (sandbox.Outcome, error) {
	if !b.busy.CompareAndSwap(false, true) || b.ice.Load() {
		b.slice.node.overlaps.Add(1)
	}
	defer b.busy.Store(false)
	b.spec.Output(sandbox.Line{Time: time.Now(), RequestID: inv.RequestID, Text: "hello from " + b.spec.ID})
	done := make(chan sandbox.Outcome, 1)
	go func() { done <- b.slice.node.handler(b.binding, inv) }()
	select {
	case o := <-done:
		return o, nil
	case <-b.closed:
		return sandbox.Outcome{}, fmt.Errorf("closed")
	case <-ctx.Done():
		return sandbox.Outcome{}, ctx.Err()
	}
}

func (b *box) Close() error {
	b.once.Do(func() {
		close(b.closed)
		b.slice.node.mu.Lock()
		delete(b.slice.node.open, b.spec.ID)
		b.slice.node.mu.Unlock()
	})
	return nil
}

// shelf is functions, code and logs in memory.
type shelf struct {
	mu      sync.Mutex
	fs      map[thermocline.FunctionID]*thermocline.Function
	lines   []thermocline.LogLine
	settled atomic.Int64
	held    atomic.Int64 // code directories not released
}

func (s *shelf) put(f *thermocline.Function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fs == nil {
		s.fs = map[thermocline.FunctionID]*thermocline.Function{}
	}
	s.fs[f.FunctionID] = f
}

func (s *shelf) remove(id thermocline.FunctionID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fs, id)
}

func (s *shelf) Get(_ context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fs[id]; f != nil {
		return f, nil
	}
	return nil, thermocline.Errorf(thermocline.KindNotFound, "no such function")
}

func (s *shelf) Fresh(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	return s.Get(ctx, id)
}

func (s *shelf) Dir(context.Context, string) (string, func(), error) {
	s.held.Add(1)
	return "/code", func() { s.held.Add(-1) }, nil
}

func (s *shelf) Settle(context.Context) error { s.settled.Add(1); return nil }

func (s *shelf) Append(_ context.Context, lines []thermocline.LogLine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, lines...)
	return nil
}
