package manager

import (
	"context"
	"time"

	"thermocline"
	"thermocline/manager/pool"
)

// aheadTimeout bounds the preparation of a sandbox, its initialisation included.
const aheadTimeout = 30 * time.Second

// nextAhead returns the next sandbox that should wait although nobody calls.
// Only keepReady calls it.
func (m *Manager) nextAhead() (pool.Need, bool) {
	if len(m.ahead) == 0 {
		m.mu.Lock()
		m.ahead = m.pool.Ahead(time.Now())
		m.mu.Unlock()
	}
	if len(m.ahead) == 0 {
		return pool.Need{}, false
	}
	n := m.ahead[0]
	m.ahead = m.ahead[1:]
	return n, true
}

// prepare makes a sandbox ready for the next call of n's function and lets it
// wait: initialised, so that the call finds it as any other warm one. What
// cannot be done is left to the call.
func (m *Manager) prepare(ctx context.Context, n pool.Need) {
	ctx, cancel := context.WithTimeout(ctx, aheadTimeout)
	defer cancel()
	f, err := m.current(ctx, n)
	switch {
	case err != nil && thermocline.KindOf(err) == thermocline.KindNotFound:
		m.forget(n.Function)
		return
	case err != nil:
		if ctx.Err() == nil {
			m.log.Warn("a function to be prepared could not be read", "function", n.Function.Name, "error", err)
		}
		return
	}
	n = needOf(f)
	n.Ahead = true
	r, ok := m.reserveAhead(ctx, n)
	if !ok {
		return
	}
	began := time.Now()
	h, err := m.obtain(ctx, r, f)
	if err == nil {
		err = h.initialise(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			m.log.Warn("a sandbox could not be prepared", "function", f.Name, "version", f.Version, "sandbox", r.id, "error", err)
		}
		m.giveUp(r)
		return
	}
	if m.settle(h, true, time.Since(began)) {
		m.freezer.idle(h, time.Now())
		m.nudge()
	}
}

// current reads the function, in no older generation than the need's.
func (m *Manager) current(ctx context.Context, n pool.Need) (*thermocline.Function, error) {
	f, err := m.o.Functions.Get(ctx, n.Function)
	if err == nil && f.Generation < n.Generation {
		return m.o.Functions.Fresh(ctx, n.Function)
	}
	return f, err
}

// forget closes what waits for a function that is no more.
func (m *Manager) forget(id thermocline.FunctionID) {
	m.mu.Lock()
	gone := m.takeHeld(m.pool.Forget(id, time.Now()))
	m.mu.Unlock()
	m.closeAll(gone)
}

// reserveAhead finds a place, in another instance if there is memory for one:
// nothing is evicted for what nobody has asked for yet.
func (m *Manager) reserveAhead(ctx context.Context, n pool.Need) (*reservation, bool) {
	if r, ok := m.askAhead(n); ok {
		return r, true
	}
	m.growing.Lock()
	defer m.growing.Unlock()
	if r, ok := m.askAhead(n); ok {
		return r, true
	}
	if !m.canGrow(n.MemoryMB) || m.acquireInstance(ctx, n.MemoryMB) != nil {
		return nil, false
	}
	return m.askAhead(n)
}

func (m *Manager) askAhead(n pool.Need) (*reservation, bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false
	}
	return m.book(n, m.pool.Prepare(n, now), now)
}

// takeHeld removes sandboxes that the pool has dropped from the table. It needs
// the lock.
func (m *Manager) takeHeld(ids []string) []*held {
	var gone []*held
	for _, id := range ids {
		if h := m.held[id]; h != nil {
			delete(m.held, id)
			gone = append(gone, h)
		}
	}
	return gone
}
