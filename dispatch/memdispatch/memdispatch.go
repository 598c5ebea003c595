package memdispatch

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

var (
	_ dispatch.Client = (*Bus)(nil)
	_ dispatch.Server = (*Bus)(nil)
)

// Options are the bounds and times of a Bus. The zero value of a field takes
// the default in its comment.
type Options struct {
	Logger *slog.Logger // discards
	Retry  dispatch.Retry
	// StartWithin is how long one choice may take to accept while there is
	// another (2 s), StartBy the start-by time from now of invocations without
	// one (10 s).
	StartWithin, StartBy time.Duration
	// MaxInFlightBytes bounds payloads in flight and ResultReserve for each
	// invocation (512 MB, 256 KB).
	MaxInFlightBytes, ResultReserve int64
	// MaxEvents bounds the events that are stored in all (1,000,000).
	MaxEvents int
	// DrainTimeout is how long a stopping manager's handlers may run (30 s).
	DrainTimeout time.Duration
}

// Bus carries invocations between clients and managers of one process. It is
// both sides; a manager serves with Serve. It has no Run: without a manager
// nothing runs.
type Bus struct {
	opts Options

	mu      sync.Mutex
	nodes   map[string]*node
	events  []*event
	recent  map[string]time.Time // request ids of events, for two minutes
	bytes   int64
	waiting map[string]int // requests that wait for a lessee, by fleet
	changed chan struct{}  // closed and replaced when anything changes
}

// New returns a bus without managers.
func New(o Options) *Bus {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Retry = o.Retry.Complete()
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.StartWithin, 2 * time.Second}, {&o.StartBy, 10 * time.Second}, {&o.DrainTimeout, 30 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if o.MaxInFlightBytes == 0 {
		o.MaxInFlightBytes = 512 << 20
	}
	if o.ResultReserve == 0 {
		o.ResultReserve = 256 << 10
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 1_000_000
	}
	return &Bus{
		opts: o, nodes: map[string]*node{}, recent: map[string]time.Time{},
		waiting: map[string]int{}, changed: make(chan struct{}),
	}
}

// node is a manager that serves.
type node struct {
	bus      *Bus
	h        dispatch.Handler
	id       string
	fleet    string
	stopping bool // no more requests; guarded by bus.mu
	crashed  bool // nothing of it counts any more; guarded by bus.mu
	tries    map[*try]bool
	gone     chan struct{} // closed by Crash
	handlers sync.WaitGroup
	handling context.Context

	running    int // events
	starting   int
	partitions map[int]int // running events by partition
}

// Serve implements dispatch.Server.
func (b *Bus) Serve(ctx context.Context, h dispatch.Handler) error {
	info := h.Info()
	handling, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	n := &node{
		bus: b, h: h, id: info.ID, fleet: info.Fleet, tries: map[*try]bool{},
		gone: make(chan struct{}), handling: handling, partitions: map[int]int{},
	}
	b.mu.Lock()
	if b.nodes[n.id] != nil {
		b.mu.Unlock()
		return thermocline.Errorf(thermocline.KindConflict, "manager %q serves already", n.id)
	}
	b.nodes[n.id] = n
	b.wake()
	b.mu.Unlock()

	n.pump(ctx)

	b.mu.Lock()
	n.stopping = true
	b.wake()
	b.mu.Unlock()
	n.drain(end)
	b.mu.Lock()
	if b.nodes[n.id] == n {
		delete(b.nodes, n.id)
		b.wake()
	}
	b.mu.Unlock()
	return nil
}

// drain waits for the handlers, and ends their context when they take long.
func (n *node) drain(end func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.handlers.Wait()
	}()
	t := time.NewTimer(n.bus.opts.DrainTimeout)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		end()
		<-done
	}
}

// Crash makes a manager vanish as kill -9 does: what it had accepted is lost
// (KindPossiblyStarted), its events run again elsewhere, and what its handlers
// still do or return counts for nothing. Its Serve ends when they return.
func (b *Bus) Crash(manager string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.nodes[manager]
	if n == nil {
		return
	}
	delete(b.nodes, manager)
	n.crashed, n.stopping = true, true
	close(n.gone)
	for t := range n.tries {
		if t.granted {
			t.finish(outcome{err: thermocline.Errorf(thermocline.KindPossiblyStarted, "the instance manager was lost while it ran the invocation")})
		} else {
			t.finish(outcome{again: true, err: thermocline.Errorf(thermocline.KindExpired, "the manager was lost")})
		}
	}
	for _, e := range b.events {
		if e.node == n {
			e.node = nil
		}
	}
	b.wake()
}

// wake needs b.mu.
func (b *Bus) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Managers implements dispatch.Client.
func (b *Bus) Managers() []thermocline.ManagerInfo {
	b.mu.Lock()
	nodes := make([]*node, 0, len(b.nodes))
	draining := map[*node]bool{}
	for _, n := range b.nodes {
		nodes = append(nodes, n)
		draining[n] = n.stopping
	}
	b.mu.Unlock()
	infos := make([]thermocline.ManagerInfo, 0, len(nodes))
	for _, n := range nodes {
		info := n.h.Info()
		info.Draining = info.Draining || draining[n]
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b thermocline.ManagerInfo) int { return strings.Compare(a.ID, b.ID) })
	lessees := map[string][dispatch.Partitions]string{}
	for i := range infos {
		m := &infos[i]
		if _, ok := lessees[m.Fleet]; !ok {
			lessees[m.Fleet] = dispatch.Lessees(infos, m.Fleet)
		}
		m.Partitions = nil
		for p, id := range lessees[m.Fleet] {
			if id == m.ID {
				m.Partitions = append(m.Partitions, p)
			}
		}
	}
	return infos
}

// lessee returns who leases a partition, nil when nobody. Needs b.mu.
func (b *Bus) lessee(fleet string, partition int) *node {
	infos := make([]thermocline.ManagerInfo, 0, len(b.nodes))
	for _, n := range b.nodes {
		infos = append(infos, thermocline.ManagerInfo{ID: n.id, Fleet: n.fleet, Draining: n.stopping})
	}
	return b.nodes[dispatch.Lessees(infos, fleet)[partition]]
}

// Queued implements dispatch.Client.
func (b *Bus) Queued(context.Context) (map[string]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	queued := map[string]int{}
	for _, e := range b.events {
		queued[e.route.Fleet]++
	}
	for fleet, n := range b.waiting {
		if n > 0 {
			queued[fleet] += n
		}
	}
	return queued, nil
}
