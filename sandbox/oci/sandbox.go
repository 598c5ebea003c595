package oci

import (
	"context"
	"errors"
	"os"
	"path"
	"sync"
	"time"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/runtimeapi"
)

// box is one sandbox.
type box struct {
	rt     *Runtime
	host   *host
	spec   sandbox.Spec
	hostID uint32 // of the container's root; the user has the next
	group  group
	slot   string // in the space
	// closing ends with the first Close, by end.
	closing context.Context
	end     context.CancelFunc
	api     *runtimeapi.Server
	out     *output

	// work is held by Start, Specialise, Invoke, Freeze, Thaw and the end of
	// Close. What follows is guarded by it, except where Close looks at the
	// process to kill it.
	work     sync.Mutex
	gauges   gauges // of the group
	endpoint *endpoint
	serving  chan struct{} // closed when the Runtime API's server has ended
	binding  *sandbox.Binding
	orders   *os.File // to the shell of a provided runtime that waits for its program, or nil
	tmp      *mounted // its /tmp, ready before anybody sees it; nil once attached
	frozen   bool
	began    time.Time // when initialisation began, of this process and binding
	used     bool      // the process has initialised: if it is gone, it went after an answer
	started  bool      // a container may be there that has not been adopted
	cleared  bool      // nothing is left

	mu      sync.Mutex
	shut    bool
	proc    *process // nil before the first and after a discarded one
	dormant bool     // it waits for a function without a process
}

var _ sandbox.Sandbox = (*box)(nil)

var (
	errClosed  = thermocline.Errorf(thermocline.KindInternal, "the sandbox is closed")
	errUnbound = thermocline.Errorf(thermocline.KindInternal, "the sandbox is not bound to a function")
	errBound   = thermocline.Errorf(thermocline.KindInternal, "the sandbox is bound to a function already")
)

func newBox(r *Runtime, h *host, spec sandbox.Spec, parent string, id uint32) *box {
	closing, end := context.WithCancel(context.Background())
	group := group{r.hierarchy, path.Join(parent, spec.ID)}
	return &box{
		rt: r, host: h, spec: spec, hostID: id,
		group:   group,
		gauges:  gauges{group: group},
		slot:    h.space.path(spec.ID),
		api:     runtimeapi.New(runtimeapi.Options{Logger: r.log, MaxResult: r.cfg.MaxResult}),
		out:     newOutput(spec.Output),
		closing: closing,
		end:     end,
	}
}

// ID implements sandbox.Sandbox.
func (b *box) ID() string { return b.spec.ID }

// enter begins an operation: it waits for others and gives a context that ends
// with Close. The caller calls leave.
func (b *box) enter(ctx context.Context) (inner context.Context, leave func(), err error) {
	b.work.Lock()
	if b.closing.Err() != nil {
		b.work.Unlock()
		return nil, nil, errClosed
	}
	inner, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.closing, func() { cancel(errClosed) })
	return inner, func() {
		stop()
		cancel(nil)
		b.work.Unlock()
	}, nil
}

// process returns the sandbox's process, nil if there is none.
func (b *box) process() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proc
}

// Specialise implements sandbox.Sandbox. A function whose environment an
// interpreter reads when it starts gets a new process.
func (b *box) Specialise(ctx context.Context, binding sandbox.Binding) error {
	if err := checkBinding(binding); err != nil {
		return err
	}
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if b.binding != nil {
		return errBound
	}
	if err := b.thaw(ctx); err != nil {
		return err
	}
	if err := b.attach(ctx, binding); err != nil {
		return platform(err, "the sandbox could not be specialised")
	}
	b.setDormant(false)
	p := b.process()
	if b.orders != nil && p != nil && !p.ended() {
		if err := b.order(binding); err != nil {
			return platform(err, "the sandbox could not be started")
		}
		return nil
	}
	if p == nil || p.ended() || len(sandbox.ReadAtStart(binding.Function.Environment)) > 0 {
		if err := b.startProcess(ctx); err != nil && !errors.Is(err, errNoEntrypoint) {
			return platform(err, "the sandbox could not be started")
		}
		return nil
	}
	b.began = time.Now()
	return b.api.Specialise(runtimeapi.BindMessage{
		Env: environment(b.spec.Runtime, binding), Handler: handlerOf(b.spec.Runtime, binding),
	})
}

// Freeze implements sandbox.Sandbox.
func (b *box) Freeze(ctx context.Context) error {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	p := b.process()
	if b.frozen || p == nil || p.ended() {
		return nil
	}
	b.frozen = true // also when it fails half-way: thaw must undo it
	if err := b.group.freeze(ctx); err != nil && !p.ended() {
		return platform(err, "the sandbox could not be frozen")
	}
	return nil
}

// Thaw implements sandbox.Sandbox.
func (b *box) Thaw(ctx context.Context) error {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return b.thaw(ctx)
}

func (b *box) thaw(ctx context.Context) error {
	if !b.frozen {
		return nil
	}
	if err := b.group.thaw(ctx); err != nil {
		if p := b.process(); p == nil || p.ended() {
			b.frozen = false
			return nil
		}
		return platform(err, "the sandbox could not be thawed")
	}
	b.frozen = false
	return nil
}

// Memory implements sandbox.Sandbox.
func (b *box) Memory() (int64, error) {
	if p := b.process(); p == nil || p.ended() {
		return 0, nil
	}
	n, err := b.group.usage()
	if p := b.process(); err != nil && (p == nil || p.ended()) {
		return 0, nil // it has just ended
	}
	return n, err
}

// Alive implements sandbox.Sandbox. A sandbox of a provided runtime that waits
// for its function needs no process to be fit for it.
func (b *box) Alive() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc == nil {
		return b.dormant && !b.shut
	}
	return !b.proc.ended()
}

// Close implements sandbox.Sandbox. If something could not be removed, the next
// Close tries again.
func (b *box) Close() error {
	b.mu.Lock()
	if !b.shut {
		b.shut = true
		b.end() // ends what runs
	}
	b.mu.Unlock()
	b.work.Lock()
	defer b.work.Unlock()
	if b.cleared {
		return nil
	}
	if err := b.clear(); err != nil {
		return platform(err, "the sandbox could not be removed")
	}
	b.cleared = true
	b.rt.unregister(b)
	return nil
}
