package manager

import (
	"context"
	"time"

	"thermocline/manager/pool"
	"thermocline/sandbox"
)

// bootTimeout bounds the boot of a sandbox of the warming pool.
const bootTimeout = 30 * time.Second

// keepWarm fills the warming pool whenever a cold start took from it, one
// sandbox at a time: invocations come first.
func (m *Manager) keepWarm(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.cold:
		}
		for ctx.Err() == nil && m.warmOne(ctx) {
		}
	}
}

// warmOne boots one sandbox that the pool wants, and reports whether it should
// be asked for another.
func (m *Manager) warmOne(ctx context.Context) bool {
	h, spare := m.reserveSpare()
	if h == nil {
		return false
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
	now := time.Now()
	m.mu.Lock()
	kept := false
	if err == nil && m.held[h.id] == h { // its instance is still there
		m.pool.Started(h.id, now.Sub(began))
		kept = !m.closed && m.pool.Release(h.id, 0, now)
	}
	if !kept {
		m.pool.Remove(h.id, now)
		delete(m.held, h.id)
	}
	m.mu.Unlock()
	if !kept {
		if err != nil && ctx.Err() == nil {
			m.log.Warn("a sandbox of the warming pool did not boot", "sandbox", h.id, "runtime", spare.Runtime, "error", err)
		}
		m.closeAll([]*held{h})
		return false
	}
	m.freezer.idle(h, now)
	return true
}

// reserveSpare sets memory aside for what the warming pool wants most, nil when
// it wants nothing.
func (m *Manager) reserveSpare() (*held, pool.Spare) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, pool.Spare{}
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
		return h, spare
	}
	return nil, pool.Spare{}
}

// wasCold wakes keepWarm.
func (m *Manager) wasCold() {
	select {
	case m.cold <- struct{}{}:
	default:
	}
}
