package manager

import (
	"context"
	"time"

	"thermocline/manager/pool"
	"thermocline/sandbox"
)

const (
	// bootTimeout bounds the boot of a sandbox of the warming pool.
	bootTimeout = 30 * time.Second
	// yieldFor is how long the work in the background gives way to cold starts
	// that are served: they want the processors for a few ms, and a boot takes
	// tens.
	yieldFor = 100 * time.Millisecond
	// sparesAfter is how long after the manager's start its first spares boot.
	sparesAfter = 300 * time.Millisecond
)

// keepReady prepares what the pool wants ahead of calls, and fills the warming
// pool, one sandbox at a time: invocations come first.
func (m *Manager) keepReady(ctx context.Context) {
	m.haveSpares(ctx)
	for ctx.Err() == nil {
		for ctx.Err() == nil && m.readyOne(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-m.todo:
		}
	}
}

// readyOne does one thing and reports whether there may be more to do.
func (m *Manager) readyOne(ctx context.Context) bool {
	waited := m.yield(ctx)
	if n, ok := m.nextAhead(); ok {
		m.prepare(ctx, n)
		return true
	}
	return m.warmOne(ctx, waited)
}

// yield waits until no cold start is served, for a while; it reports whether it
// has waited for as long as it may.
func (m *Manager) yield(ctx context.Context) bool {
	if m.colds.Load() == 0 {
		return false
	}
	t := time.NewTimer(yieldFor)
	defer t.Stop()
	for m.colds.Load() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-m.quiet:
		}
	}
	return false
}

// coldBegins and coldEnds frame an invocation that found no warm sandbox.
func (m *Manager) coldBegins(r *reservation) {
	r.cold = true
	m.colds.Add(1)
}

func (m *Manager) coldEnds(r *reservation) {
	if !r.cold {
		return
	}
	if m.colds.Add(-1) == 0 {
		select {
		case m.quiet <- struct{}{}:
		default:
		}
	}
	m.hasWork()
}

// hasWork wakes keepReady.
func (m *Manager) hasWork() {
	select {
	case m.todo <- struct{}{}:
	default:
	}
}

// haveSpares has the pool keep what is to wait from the beginning, and acquires
// an instance for it.
func (m *Manager) haveSpares(ctx context.Context) {
	if m.o.Spares == nil || m.o.Pool.WarmMB < 0 {
		return
	}
	// The process has better to do while it starts.
	t := time.NewTimer(sparesAfter)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-t.C:
	}
	spares, err := m.o.Spares(ctx)
	if err == nil && len(spares) > 0 {
		m.mu.Lock()
		m.pool.SetSpares(spares)
		m.mu.Unlock()
		err = m.firstInstance(ctx, spares[0].MemoryMB)
	}
	if err != nil && ctx.Err() == nil {
		m.log.Warn("no spare sandboxes from the start", "error", err)
	}
}

// firstInstance acquires an instance unless there is one.
func (m *Manager) firstInstance(ctx context.Context, mb int) error {
	m.growing.Lock()
	defer m.growing.Unlock()
	m.mu.Lock()
	some := len(m.instances) > 0
	m.mu.Unlock()
	if some {
		return nil
	}
	return m.acquireInstance(ctx, mb)
}

// warmOne boots one sandbox that the pool wants, and reports whether it should
// be asked for another. Unless it has waited it gives way to a cold start that
// has begun meanwhile.
func (m *Manager) warmOne(ctx context.Context, waited bool) bool {
	h, spare, later := m.reserveSpare(waited)
	if h == nil {
		return later
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	began := time.Now()
	h.mu.Lock()
	box, err := h.instance.Start(ctx, sandbox.Spec{
		ID: h.id, Runtime: spare.Runtime, MemoryMB: spare.MemoryMB, Output: h.output,
	})
	h.sandbox = box
	h.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		m.log.Warn("a sandbox of the warming pool did not boot", "sandbox", h.id, "runtime", spare.Runtime, "error", err)
	}
	// It is not frozen: what waits in it is ours, and thawing takes time.
	return m.settle(h, err == nil, time.Since(began))
}

// settle puts a sandbox that was made ready in the background among those that
// wait, or closes it. It reports whether it waits.
func (m *Manager) settle(h *held, ok bool, took time.Duration) bool {
	now := time.Now()
	m.mu.Lock()
	kept := false
	if ok && m.held[h.id] == h { // its instance is still there
		m.pool.Started(h.id, took)
		kept = !m.closed && m.pool.Release(h.id, 0, now)
	}
	if !kept {
		m.pool.Remove(h.id, now)
		delete(m.held, h.id)
	}
	m.left(h)
	waits := kept && m.held[h.id] == h // and its instance is not given back
	m.mu.Unlock()
	if !kept {
		m.closeAll([]*held{h})
	}
	return waits
}

// reserveSpare sets memory aside for what the warming pool wants most, nil when
// it wants nothing, or when a cold start is served that it has not waited for:
// then it is to be asked again later.
func (m *Manager) reserveSpare(waited bool) (h *held, s pool.Spare, later bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, pool.Spare{}, false
	}
	// Under the lock, under which cold starts begin.
	if !waited && m.colds.Load() > 0 {
		return nil, pool.Spare{}, true
	}
	for _, spare := range m.pool.Refill(now) {
		at := m.pool.Room(spare.MemoryMB)
		in := m.instances[at]
		if in == nil {
			continue
		}
		id := m.nameSandbox()
		if !m.pool.Add(id, at, pool.Need{Runtime: spare.Runtime, MemoryMB: spare.MemoryMB}, now) {
			continue
		}
		h := &held{id: id, instance: in}
		m.held[id] = h
		return h, spare, false
	}
	return nil, pool.Spare{}, false
}
