package sandboxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"thermocline"
	"thermocline/sandbox"
)

// Code is a function's code in a Fake: it is run when the process starts, and
// returns what handles invocations. An error fails the initialisation.
// Handlers must return when their context ends, which is how they are killed.
type Code func(ctx context.Context, p *Process) (Handler, error)

// Handler handles one invocation. An error is the function's; Exit and
// ErrOutOfMemory end the process instead.
type Handler func(ctx context.Context, inv sandbox.Invocation) ([]byte, error)

// Exit as a handler's error ends the process with a status.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// ErrOutOfMemory as a handler's error makes the kernel kill the process.
var ErrOutOfMemory error = errors.New("out of memory")

// Fake makes sandboxes that run Go functions in this process. It keeps the
// contract as the real ones do. It is safe for concurrent use and works in a
// synctest bubble.
type Fake struct {
	// Code finds the code of a function; required.
	Code func(*thermocline.Function) Code
	// StartDelay and InitDelay are how long Start and initialisation take.
	StartDelay, InitDelay time.Duration
	// StartError, when it returns an error, fails a Start.
	StartError func(sandbox.Spec) error
	// InitTimeout is 10 s if 0.
	InitTimeout time.Duration

	mu   sync.Mutex
	open map[string]*fakeSandbox
}

// NewFake returns a Fake in which every function runs the code that code
// returns for it.
func NewFake(code func(*thermocline.Function) Code) *Fake { return &Fake{Code: code} }

func (f *Fake) initLimit() time.Duration {
	if f.InitTimeout == 0 {
		return 10 * time.Second
	}
	return f.InitTimeout
}

// Open returns the ids of the sandboxes that are not closed.
func (f *Fake) Open() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := make([]string, 0, len(f.open))
	for id := range f.open {
		ids = append(ids, id)
	}
	return ids
}

// State returns the state of an open sandbox, StateClosed of any other.
func (f *Fake) State(id string) sandbox.State {
	f.mu.Lock()
	s := f.open[id]
	f.mu.Unlock()
	if s == nil {
		return sandbox.StateClosed
	}
	return s.state()
}

// Start starts a sandbox.
func (f *Fake) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if f.StartError != nil {
		if err := f.StartError(spec); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, f.StartDelay); err != nil {
		return nil, err
	}
	s := &fakeSandbox{fake: f, spec: spec, files: map[string]string{}, closing: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[spec.ID] != nil {
		return nil, thermocline.Errorf(thermocline.KindInternal, "there is a sandbox %s already", spec.ID)
	}
	if f.open == nil {
		f.open = map[string]*fakeSandbox{}
	}
	f.open[spec.ID] = s
	if spec.Binding != nil {
		s.binding = spec.Binding
		s.proc = s.boot(f.InitDelay)
	}
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fakeSandbox is a sandbox of a Fake.
type fakeSandbox struct {
	fake    *Fake
	spec    sandbox.Spec
	closing chan struct{}
	work    sync.Mutex // held by operations

	mu      sync.Mutex
	binding *sandbox.Binding
	proc    *Process
	files   map[string]string // /tmp
	busy    bool
	frozen  bool
	closed  bool
}

var _ sandbox.Sandbox = (*fakeSandbox)(nil)

func (s *fakeSandbox) ID() string { return s.spec.ID }

func (s *fakeSandbox) state() sandbox.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return sandbox.StateClosed
	case s.frozen:
		return sandbox.StateFrozen
	case s.busy:
		return sandbox.StateBusy
	case s.binding == nil:
		return sandbox.StateUnbound
	}
	return sandbox.StateIdle
}

// enter begins an operation, as the only one.
func (s *fakeSandbox) enter() error {
	s.work.Lock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.work.Unlock()
		return thermocline.Errorf(thermocline.KindInternal, "the sandbox is closed")
	}
	return nil
}

// boot starts a process.
func (s *fakeSandbox) boot(delay time.Duration) *Process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &Process{sandbox: s, cancel: cancel, ready: make(chan struct{}), since: time.Now(), began: time.Now()}
	code := s.fake.Code(s.binding.Function)
	p.wait.Go(func() {
		defer close(p.ready)
		begin := time.Now()
		if p.failure = sleep(ctx, delay); p.failure == nil {
			p.handler, p.failure = code(ctx, p)
		}
		p.init = time.Since(begin)
	})
	return p
}

// process returns the running process.
func (s *fakeSandbox) process() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// end kills the process.
func (s *fakeSandbox) end() {
	s.mu.Lock()
	p := s.proc
	s.proc, s.frozen = nil, false
	s.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

func (s *fakeSandbox) Specialise(_ context.Context, b sandbox.Binding) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.work.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.binding != nil {
		return thermocline.Errorf(thermocline.KindInternal, "the sandbox is bound to a function already")
	}
	s.frozen = false
	s.binding = &b
	s.proc = s.boot(0) // it is warm
	return nil
}

func (s *fakeSandbox) Freeze(context.Context) error {
	return s.setFrozen(true)
}

func (s *fakeSandbox) Thaw(context.Context) error {
	return s.setFrozen(false)
}

func (s *fakeSandbox) setFrozen(to bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.work.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != to {
		s.frozen = to
		if s.proc != nil {
			s.proc.clock(!to)
		}
	}
	return nil
}

func (s *fakeSandbox) Memory() (int64, error) {
	if !s.Alive() {
		return 0, nil
	}
	return fakeMemory, nil
}

const fakeMemory = 30 << 20

func (s *fakeSandbox) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && (s.proc != nil || s.binding == nil)
}

func (s *fakeSandbox) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.work.Lock() // an operation that runs has seen closing
	defer s.work.Unlock()
	s.end()
	s.fake.mu.Lock()
	delete(s.fake.open, s.spec.ID)
	s.fake.mu.Unlock()
	return nil
}

// errorPayload is the JSON of an error.
func errorPayload(kind, message string) []byte {
	data, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil { // strings always encode
		return nil
	}
	return data
}
