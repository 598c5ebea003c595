package dispatchtest

import (
	"context"
	"sync"

	"thermocline"
	"thermocline/dispatch"
)

var _ dispatch.Handler = (*Manager)(nil)

// Manager is a manager whose behaviour a test sets. Set the fields before it
// serves.
type Manager struct {
	ID, Fleet string
	Slots     int
	// Offered, if set, is called first: its error is Handle's. It may block.
	Offered func(ctx context.Context, inv *thermocline.Invocation) error
	// Run, if set, is the function's run, after acceptance; otherwise the
	// payload comes back.
	Run func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error)
	// Started, if set, is called for each run at its start.
	Started func(inv *thermocline.Invocation)

	mu          sync.Mutex
	outstanding int
	ran         []thermocline.Invocation
	handling    int
}

// Info implements dispatch.Handler.
func (m *Manager) Info() thermocline.ManagerInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return thermocline.ManagerInfo{ID: m.ID, Fleet: m.Fleet, Node: "test", Outstanding: m.outstanding, Slots: m.Slots}
}

// Handle implements dispatch.Handler.
func (m *Manager) Handle(ctx context.Context, inv *thermocline.Invocation, accepted func() error) (*thermocline.Result, error) {
	m.count(&m.handling, 1)
	defer m.count(&m.handling, -1)
	if m.Offered != nil {
		if err := m.Offered(ctx, inv); err != nil {
			return nil, err
		}
	}
	if !m.claim() {
		return nil, thermocline.Errorf(thermocline.KindRefused, "no slot is free")
	}
	defer m.count(&m.outstanding, -1)
	if err := accepted(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.ran = append(m.ran, *inv)
	m.mu.Unlock()
	if m.Started != nil {
		m.Started(inv)
	}
	if m.Run != nil {
		return m.Run(ctx, inv)
	}
	return &thermocline.Result{RequestID: inv.RequestID, Payload: inv.Payload, Report: thermocline.Report{Manager: m.ID}}, nil
}

func (m *Manager) claim() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.outstanding >= m.Slots {
		return false
	}
	m.outstanding++
	return true
}

func (m *Manager) count(n *int, d int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*n += d
}

// Ran returns the invocations that were run, in order.
func (m *Manager) Ran() []thermocline.Invocation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]thermocline.Invocation(nil), m.ran...)
}

// Handling returns how many calls of Handle have not returned.
func (m *Manager) Handling() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handling
}
