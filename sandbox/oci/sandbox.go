package oci

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/bootstrap"
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
	api    *runtimeapi.Server
	out    *output

	closing chan struct{} // closed by the first Close
	// work is held by Start, Specialise, Invoke, Freeze, Thaw and the end of
	// Close. What follows is guarded by it, except where Close looks at the
	// process to kill it.
	work     sync.Mutex
	endpoint *endpoint
	serving  chan struct{} // closed when the Runtime API's server has ended
	binding  *sandbox.Binding
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
	return &box{
		rt: r, host: h, spec: spec, hostID: id,
		group:   group{r.hierarchy, path.Join(parent, spec.ID)},
		slot:    h.space.path(spec.ID),
		api:     runtimeapi.New(runtimeapi.Options{Logger: r.log, MaxResult: r.cfg.MaxResult}),
		out:     newOutput(spec.Output),
		closing: make(chan struct{}),
	}
}

// ID implements sandbox.Sandbox.
func (b *box) ID() string { return b.spec.ID }

// enter begins an operation: it waits for others and gives a context that ends
// with Close. The caller calls leave.
func (b *box) enter(ctx context.Context) (inner context.Context, leave func(), err error) {
	b.work.Lock()
	select {
	case <-b.closing:
		b.work.Unlock()
		return nil, nil, errClosed
	default:
	}
	inner, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-b.closing:
			cancel(errClosed)
		case <-done:
		}
	})
	return inner, func() {
		close(done)
		watcher.Wait()
		cancel(nil)
		b.work.Unlock()
	}, nil
}

// start makes the sandbox and its process.
func (b *box) start(ctx context.Context) error {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.rt.writeRecord(record{ID: b.spec.ID, Cgroup: b.group.path}); err != nil {
		return fmt.Errorf("record the sandbox: %w", err)
	}
	if b.endpoint, err = b.host.spares.take(); err != nil {
		return err
	}
	b.serve()
	if err := b.host.space.do(func() error { return makeSlot(b.slot) }); err != nil {
		return fmt.Errorf("make a slot: %w", err)
	}
	if b.spec.Binding != nil {
		return b.startBound(ctx)
	}
	if isProvided(b.spec.Runtime) {
		b.setDormant(true) // its program comes with the binding
		return nil
	}
	if err := b.startProcess(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.rt.cfg.InitTimeout)
	defer cancel()
	if err := b.api.Booted(ctx); err != nil {
		return fmt.Errorf("the runtime did not get ready for a function: %w", err)
	}
	return nil
}

func (b *box) setDormant(to bool) {
	b.mu.Lock()
	b.dormant = to
	b.mu.Unlock()
}

// startBound attaches the code and starts the process. A package that has no
// program in it is the function's fault, and Invoke says so.
func (b *box) startBound(ctx context.Context) error {
	if err := b.attach(ctx, *b.spec.Binding); err != nil {
		return err
	}
	if err := b.startProcess(ctx); err != nil && !errors.Is(err, errNoEntrypoint) {
		return err
	}
	return nil
}

// serve starts the Runtime API; it ends with b.api.Close.
func (b *box) serve() {
	listener := b.endpoint.listener
	b.serving = make(chan struct{})
	go func() {
		defer close(b.serving)
		if err := b.api.Serve(listener); err != nil {
			b.rt.log.Error("the Runtime API of a sandbox ended", "sandbox", b.spec.ID, "error", err)
		}
	}()
}

// attach shows the binding's code, layers and a scratch file system inside.
func (b *box) attach(ctx context.Context, binding sandbox.Binding) error {
	size := binding.Function.TmpMB
	if size < 16 || size > 10<<10 {
		return thermocline.Errorf(thermocline.KindInternal, "/tmp cannot have %d MB", size)
	}
	if err := b.rt.scratch.create(ctx, b.spec.ID, size); err != nil {
		return fmt.Errorf("make /tmp: %w", err)
	}
	err := b.host.space.do(func() error {
		if err := attachDir(binding.CodeDir, path.Join(b.slot, slotTask)); err != nil {
			return err
		}
		if err := attachLayers(binding.LayerDirs, path.Join(b.slot, slotLayers)); err != nil {
			return err
		}
		user := int(b.hostID) + 1
		return b.rt.scratch.attach(b.spec.ID, path.Join(b.slot, slotScratch), user, user)
	})
	if err != nil {
		return err
	}
	b.binding = &binding
	return nil
}

// startProcess starts the container with what the sandbox is bound to now.
func (b *box) startProcess(ctx context.Context) error {
	if err := errors.Join(b.discard(), b.discardOrphan()); err != nil {
		return err
	}
	env := baseEnvironment(b.spec.Runtime, b.spec.MemoryMB)
	env[bootstrap.WaitVariable] = "1"
	if b.binding != nil {
		env = environment(b.spec.Runtime, *b.binding)
	}
	args, mounts, err := b.rt.command(ctx, b.spec.Runtime, b.spec.MemoryMB, b.binding, env)
	if err != nil {
		return err
	}
	spec := bundle{
		root: b.host.root, slot: b.slot, hostID: b.hostID, netns: b.endpoint.path(), cgroup: b.group.path,
		memoryMB: b.spec.MemoryMB, swap: b.rt.swap, args: args, env: list(env), mounts: mounts,
	}
	user := int(b.hostID) + 1
	stream, w, err := b.out.connect(user, user)
	if err != nil {
		return err
	}
	var pid int
	b.began, b.used, b.started = time.Now(), false, true
	b.api.Booting()
	err = b.host.space.do(func() error {
		if err := spec.write(); err != nil {
			return err
		}
		var err error
		pid, err = b.rt.runContainer(ctx, b.spec.ID, b.slot, w)
		return err
	})
	w.Close() // the container has its own
	stream.run()
	if err != nil {
		stream.close()
		return err
	}
	return b.adopt(pid, stream)
}

// adopt makes the container's process the sandbox's.
func (b *box) adopt(pid int, s *stream) error {
	p, err := watch(pid, s, b.api.Reset)
	if err != nil {
		s.close()
		return err
	}
	b.mu.Lock()
	b.proc = p
	b.mu.Unlock()
	b.started = false
	return nil
}

// process returns the sandbox's process, nil if there is none.
func (b *box) process() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.proc
}

// discard kills what is left of the process and removes its container; the
// next one gets everything but its memory.
func (b *box) discard() error {
	p := b.process()
	if p == nil {
		return nil
	}
	if err := p.kill(b.group); err != nil {
		return err
	}
	b.frozen = false
	p.out.close()
	p.file.Close()
	if err := b.rt.deleteContainer(context.Background(), b.spec.ID); err != nil {
		return err
	}
	if err := b.group.remove(); err != nil {
		return fmt.Errorf("remove the cgroup: %w", err)
	}
	b.mu.Lock()
	b.proc = nil
	b.mu.Unlock()
	return nil
}

// discardOrphan removes a container whose start was cut off, so that nobody has
// adopted its process.
func (b *box) discardOrphan() error {
	if b.process() != nil || !b.started {
		return nil
	}
	found, err := killGroup(context.Background(), b.group)
	if err != nil {
		return err
	}
	if err := b.rt.deleteContainer(context.Background(), b.spec.ID); err != nil {
		return err
	}
	reapOrphans(found)
	if err := b.group.remove(); err != nil {
		return fmt.Errorf("remove the cgroup: %w", err)
	}
	b.started = false
	return nil
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
	if p == nil || p.ended() || len(sandbox.ReadAtStart(binding.Function.Environment)) > 0 {
		if err := b.startProcess(ctx); err != nil && !errors.Is(err, errNoEntrypoint) {
			return platform(err, "the sandbox could not be started")
		}
		return nil
	}
	b.began = time.Now()
	return b.api.Specialise(runtimeapi.BindMessage{
		Env: environment(b.spec.Runtime, binding), Handler: binding.Function.Handler,
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
		close(b.closing) // ends what runs
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

// clear removes everything, in the opposite order. It may be called again
// after an error. Callers hold work.
func (b *box) clear() error {
	if err := b.discard(); err != nil {
		return err
	}
	// A start that was cut off leaves a container that nobody has adopted.
	if err := b.discardOrphan(); err != nil {
		return err
	}
	if err := b.api.Close(); err != nil {
		return err
	}
	if b.serving != nil {
		<-b.serving
	}
	if b.endpoint != nil {
		if err := b.endpoint.close(); err != nil {
			return err
		}
		b.endpoint = nil
	}
	if err := b.host.space.do(func() error { return removeSlot(b.slot) }); err != nil {
		return err
	}
	return errors.Join(b.rt.scratch.remove(b.spec.ID), b.rt.removeRecord(b.spec.ID))
}
