package manager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"thermocline"
	"thermocline/instance"
)

// acquireTimeout bounds how long a provider may take for an instance.
const acquireTimeout = 30 * time.Second

// canGrow reports whether the provider has memory for another instance that
// could hold mb. It needs the lock.
func (m *Manager) canGrow(mb int) bool {
	_, free := m.o.Provider.Capacity()
	return free >= max(mb, min(m.o.InstanceMB, free)) && free >= mb
}

// acquireInstance gets another instance that can hold a sandbox of mb. Where
// the provider has less than a whole instance left, it takes what there is.
func (m *Manager) acquireInstance(ctx context.Context, mb int) error {
	_, free := m.o.Provider.Capacity()
	if free < mb {
		return refused("the node has no memory left for another instance")
	}
	size := max(mb, min(m.o.InstanceMB, free))
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	in, err := m.o.Provider.Acquire(ctx, instance.Request{Owner: m.o.ID, MemoryMB: size})
	if err != nil {
		return asRefusal(err)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		_ = in.Close(context.WithoutCancel(ctx))
		return refused("the manager is closed")
	}
	m.instances[in.ID()] = in
	m.pool.AddInstance(in.ID(), in.MemoryMB(), time.Now())
	m.work.Add(1)
	m.mu.Unlock()
	go m.watchInstance(in)
	return nil
}

// watchInstance forgets an instance, with its sandboxes, when it is gone.
func (m *Manager) watchInstance(in instance.Instance) {
	defer m.work.Done()
	<-in.Done()
	m.mu.Lock()
	delete(m.instances, in.ID())
	delete(m.giving, in.ID())
	lost := m.takeHeld(m.pool.RemoveInstance(in.ID(), time.Now()))
	m.mu.Unlock()
	m.closeAll(lost)
}

// Run expires idle sandboxes, gives empty instances back, freezes what is idle
// and fills the warming pool, until ctx ends. Close does the rest.
func (m *Manager) Run(ctx context.Context) error {
	var background sync.WaitGroup
	background.Go(func() { m.freezer.run(ctx, m.cannotFreeze) })
	background.Go(func() { m.keepReady(ctx) })
	defer background.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := m.expire()
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-m.wake:
			// What was released may be due before the timer ends. Do not spin on a
			// busy manager: a quarter of a second is soon enough.
			timer.Reset(min(next, wakeEvery))
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		}
	}
}

// wakeEvery bounds how often a busy manager looks at what is due.
const wakeEvery = 250 * time.Millisecond

// expire closes what is over, has the background look at what is due, and returns how long to sleep.
func (m *Manager) expire() time.Duration {
	now := time.Now()
	m.mu.Lock()
	gone := m.takeHeld(m.pool.Expire(now))
	// More instances are acquired when they are needed; those that are too many
	// are left here.
	m.pool.Scale(now)
	var empty []instance.Instance
	for _, id := range m.pool.IdleInstances(now) {
		if in := m.instances[id]; in != nil {
			empty = append(empty, in)
		}
	}
	next := m.pool.Next()
	m.mu.Unlock()
	m.hasWork()
	m.closeAll(gone)
	for _, in := range empty {
		if err := in.Close(context.Background()); err != nil {
			m.log.Warn("an instance did not close cleanly", "instance", in.ID(), "error", err)
		}
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(time.Until(next), 10*time.Millisecond)
}

func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// cannotFreeze gives up a sandbox that would go on computing while idle.
func (m *Manager) cannotFreeze(h *held, err error) {
	m.log.Warn("a sandbox could not be frozen and is closed", "sandbox", h.id, "error", err)
	m.mu.Lock()
	if !m.pool.Evict(h.id, time.Now()) { // in use by now
		m.mu.Unlock()
		return
	}
	delete(m.held, h.id)
	m.mu.Unlock()
	m.closeAll([]*held{h})
}

// Drain makes the manager refuse everything new.
func (m *Manager) Drain() { m.draining.Store(true) }

// Close ends everything the manager holds: handlers that still run lose their
// sandbox. It returns when nothing is left, or with an error when ctx ends
// before; what is left then is the provider's to remove.
func (m *Manager) Close(ctx context.Context) error {
	m.Drain()
	m.mu.Lock()
	m.closed = true
	ins := make([]instance.Instance, 0, len(m.instances))
	for _, in := range m.instances {
		ins = append(ins, in)
	}
	m.mu.Unlock()
	var first error
	for _, in := range ins {
		if err := in.Close(ctx); err != nil && first == nil {
			first = err
		}
	}
	ended := make(chan struct{})
	go func() { m.work.Wait(); close(ended) }()
	select {
	case <-ended:
		return first
	case <-ctx.Done():
		return errors.Join(first, fmt.Errorf("manager %s: not all of its work ended: %w", m.o.ID, ctx.Err()))
	}
}

// Status shows the manager's insides.
func (m *Manager) Status() thermocline.ManagerStatus {
	info := m.Info() // takes the lock itself
	m.mu.Lock()
	defer m.mu.Unlock()
	s := thermocline.ManagerStatus{
		ManagerInfo: info,
		Instances:   m.pool.Instances(),
		Sandboxes:   m.pool.Counts(),
	}
	for i := range s.Instances {
		s.Instances[i].Provider = m.o.Provider.Name()
	}
	return s
}
