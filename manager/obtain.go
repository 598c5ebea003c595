package manager

import (
	"context"
	"time"

	"thermocline"
	"thermocline/manager/pool"
	"thermocline/sandbox"
)

// reservation is a sandbox that an invocation will have: found, or room for it
// set aside. It is held from the decision until the sandbox is released.
type reservation struct {
	need   pool.Need
	start  thermocline.StartKind
	id     string
	at     string  // the instance
	held   *held   // nil when the sandbox must be started
	evict  []*held // to be closed before the start
	reused bool    // bound already: giving it back is a release
	cold   bool    // counted in Manager.colds
}

func needOf(f *thermocline.Function) pool.Need {
	return pool.Need{
		Function: f.FunctionID, Generation: f.Generation,
		Runtime: f.Runtime, MemoryMB: f.MemoryMB, Late: len(sandbox.ReadAtStart(f.Environment)) == 0,
	}
}

// tryReserve asks the pool.
func (m *Manager) tryReserve(n pool.Need) (*reservation, bool) {
	r, ok := m.askPool(n)
	if !ok {
		m.closeAll(r.evict)
	}
	return r, ok
}

func (m *Manager) askPool(n pool.Need) (*reservation, bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return &reservation{}, false
	}
	// Evicting a warm sandbox costs its function a cold start; another
	// instance, while the provider has memory, costs nothing. So the pool may
	// evict only when no instance can be had.
	n.NoEvict = m.canGrow(n.MemoryMB)
	r, ok := m.book(n, m.pool.Acquire(n, now), now)
	if ok && r.start != thermocline.StartWarm {
		// Under the lock, so that the pool's wish for another is not carried out
		// before this one is served.
		m.coldBegins(r)
	}
	return r, ok
}

// book carries a decision into the table. It needs the lock.
func (m *Manager) book(n pool.Need, d pool.Decision, now time.Time) (*reservation, bool) {
	r := &reservation{need: n, id: d.Sandbox, at: d.Instance, evict: m.takeHeld(d.Evict)}
	switch d.Action {
	case pool.Warm:
		r.start, r.held, r.reused = thermocline.StartWarm, m.held[r.id], true
	case pool.Specialise:
		r.start, r.held = thermocline.StartPooled, m.held[r.id]
	case pool.Start:
		r.start = thermocline.StartFull
		r.id = m.nameSandbox()
		m.pool.Add(r.id, d.Instance, n, now)
		m.held[r.id] = &held{id: r.id, instance: m.instances[d.Instance]}
	default:
		return r, false
	}
	return r, true
}

// obtain makes the reserved sandbox ready: starts or specialises it.
func (m *Manager) obtain(ctx context.Context, r *reservation, f *thermocline.Function) (*held, error) {
	m.closeAll(r.evict)
	if r.start == thermocline.StartWarm {
		return r.held, nil
	}
	dir, release, err := m.o.Code.Dir(ctx, f.CodeSHA256)
	if err != nil {
		return nil, err
	}
	return m.bind(ctx, r, f, sandbox.Binding{Function: f, CodeDir: dir, LogStream: logStream(f.Version, r.id, time.Now())}, release)
}

// bind starts or specialises the reserved sandbox with the code, which release
// gives back.
func (m *Manager) bind(ctx context.Context, r *reservation, f *thermocline.Function, binding sandbox.Binding, release func()) (*held, error) {
	began := time.Now()
	m.mu.Lock()
	h := m.held[r.id]
	m.mu.Unlock()
	if h == nil { // its instance died meanwhile
		release()
		return nil, errLost()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release = release
	if r.need.Ahead {
		h.early.collect()
	}
	var err error
	if r.start == thermocline.StartPooled {
		err = m.specialise(ctx, h, binding)
	} else {
		h.sandbox, err = h.instance.Start(ctx, sandbox.Spec{
			ID: r.id, Runtime: f.Runtime, MemoryMB: f.MemoryMB, Output: h.output, Binding: &binding,
		})
	}
	if err != nil {
		return nil, platformError(err)
	}
	m.mu.Lock()
	m.pool.Started(r.id, time.Since(began))
	m.mu.Unlock()
	return h, nil
}

func errLost() error {
	return thermocline.Errorf(thermocline.KindUnavailable, "The instance was lost before the function started.")
}

func (m *Manager) specialise(ctx context.Context, h *held, b sandbox.Binding) error {
	if h.frozen {
		if err := h.sandbox.Thaw(ctx); err != nil {
			return err
		}
		h.frozen = false
	}
	return h.sandbox.Specialise(ctx, b)
}

// logStream names the log stream of one sandbox as Lambda does.
func logStream(version, id string, now time.Time) string {
	return now.UTC().Format("2006/01/02") + "/[" + version + "]" + id
}

// giveBack returns a reservation of which nothing was used.
func (m *Manager) giveBack(r *reservation) {
	m.closeAll(r.evict)
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.held[r.id]; h != nil {
		defer m.left(h)
	}
	switch {
	case r.reused:
		m.pool.Release(r.id, r.need.Generation, now)
	case r.held != nil: // unbound: nothing of a function is in it
		m.pool.Unbind(r.id, now)
	default:
		m.pool.Remove(r.id, now)
		delete(m.held, r.id)
	}
}

// giveUp removes a reservation whose sandbox could not be made ready.
func (m *Manager) giveUp(r *reservation) {
	m.mu.Lock()
	h := m.held[r.id]
	delete(m.held, r.id)
	m.pool.Remove(r.id, time.Now())
	if h != nil {
		m.left(h)
	}
	m.mu.Unlock()
	if h != nil {
		m.closeAll([]*held{h})
	}
}

// release makes a sandbox idle after its invocation.
func (m *Manager) release(h *held, f *thermocline.Function) {
	now := time.Now()
	m.mu.Lock()
	kept := !m.closed && m.pool.Release(h.id, f.Generation, now)
	if !kept {
		m.pool.Remove(h.id, now)
		delete(m.held, h.id)
	}
	m.left(h)
	waits := m.held[h.id] == h
	m.mu.Unlock()
	switch {
	case !kept:
		m.closeAll([]*held{h})
		return
	case !waits: // its instance is given back
		return
	}
	m.freezer.idle(h, now)
	m.nudge()
}

// closeAll closes sandboxes that are no longer in the pool, side by side, and
// waits.
func (m *Manager) closeAll(hs []*held) {
	if len(hs) == 0 {
		return
	}
	done := make(chan struct{}, len(hs))
	for _, h := range hs {
		go func() {
			defer func() { done <- struct{}{} }()
			if err := h.close(); err != nil {
				m.log.Warn("a sandbox did not close cleanly", "sandbox", h.id, "error", err)
			}
		}()
	}
	for range hs {
		<-done
	}
}
