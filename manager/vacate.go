package manager

import (
	"context"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/manager/ledger"
	"thermocline/manager/pool"
)

// moveWait bounds how long an invocation waits for memory that another manager
// gives back: what closing an instance whose sandboxes are idle takes (0.1 to
// 0.3 s, more where the processors are busy). It waits only when such memory is
// on its way; then trying another manager, which finds none free either, would
// gain nothing. Who is refused after that goes on to the second choice, and the
// memory comes for the next.
const moveWait = time.Second

// reserve finds a sandbox or room for one. Where there is none it may wait for
// memory that comes from another manager, for moveWait in all.
//
// An invocation of another fleet, whose managers have no room, gets only what
// is there and idle.
func (m *Manager) reserve(ctx context.Context, f *thermocline.Function, fleet string) (*reservation, error) {
	n := needOf(f)
	if n.Guest = fleet != "" && fleet != m.o.Fleet; n.Guest {
		if r, ok := m.tryReserve(n); ok {
			return r, nil
		}
		return nil, refused("the manager has nothing to spare for another fleet")
	}
	r, err := m.reserveNow(ctx, n)
	if err == nil {
		if len(r.evict) > 0 && m.share != nil {
			m.share.ask(n.MemoryMB, false) // the next one need not cost a warm sandbox
		}
		return r, nil
	}
	if m.share == nil {
		return nil, err
	}
	t := time.NewTimer(moveWait)
	defer t.Stop()
	for thermocline.KindOf(err) == thermocline.KindRefused && !m.draining.Load() {
		moved := m.share.ask(n.MemoryMB, true)
		if moved == nil {
			// What came for another invocation meanwhile may have room for this.
			if r, ok := m.tryReserve(n); ok {
				return r, nil
			}
			return nil, err
		}
		select {
		case <-moved:
		case <-t.C:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
		if r, err = m.reserveNow(ctx, n); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// reserveNow decides, without I/O except where a new instance is needed.
func (m *Manager) reserveNow(ctx context.Context, n pool.Need) (*reservation, error) {
	if r, ok := m.tryReserve(n); ok {
		return r, nil
	}
	// One at a time: who comes second may find room in what the first acquired.
	m.growing.Lock()
	defer m.growing.Unlock()
	if r, ok := m.tryReserve(n); ok {
		return r, nil
	}
	if err := m.acquireInstance(ctx, n.MemoryMB); err != nil {
		return nil, err
	}
	if r, ok := m.tryReserve(n); ok {
		return r, nil
	}
	return nil, refused("the manager has no memory left for the function")
}

var _ giver = (*Manager)(nil)

// offer implements giver.
func (m *Manager) offer() ledger.Offer {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.pool.Offer()
	if !ok || m.closed {
		return ledger.Offer{}
	}
	return ledger.Offer{MemoryMB: o.MemoryMB, BusyMB: o.BusyMB, Value: o.Value, Used: o.Used}
}

// vacate implements giver. The instance takes nothing new from now on; its
// idle sandboxes go at once, and it goes when the last busy one is done.
func (m *Manager) vacate(mb int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.pool.Offer()
	if !ok || m.closed || o.MemoryMB != mb {
		return false
	}
	m.giving[o.Instance] = true
	m.log.Info("an instance is given back for another manager", "instance", o.Instance, "memory_mb", mb, "busy_mb", o.BusyMB)
	m.drain(o.Instance)
	return true
}

// drain closes what waits in an instance that is given back, and the instance
// when nothing else is in it. It needs the lock, and leaves the I/O to a
// goroutine of the manager's.
func (m *Manager) drain(id string) {
	gone := m.takeHeld(m.pool.DrainInstance(id, time.Now()))
	var empty instance.Instance
	for _, s := range m.pool.Instances() {
		if s.ID == id && s.Sandboxes == 0 {
			empty = m.instances[id]
			delete(m.giving, id)
		}
	}
	if len(gone) == 0 && empty == nil {
		return
	}
	m.work.Add(1)
	go func() {
		defer m.work.Done()
		m.closeAll(gone)
		if empty == nil {
			return
		}
		if err := empty.Close(context.Background()); err != nil {
			m.log.Warn("an instance did not close cleanly", "instance", empty.ID(), "error", err)
		}
	}()
}

// left is told of each sandbox that is not busy any more. It needs the lock.
func (m *Manager) left(h *held) {
	if !m.closed && len(m.giving) > 0 && m.giving[h.instance.ID()] {
		m.drain(h.instance.ID())
	}
}
