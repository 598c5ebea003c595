package simulate

import (
	"slices"
	"strconv"
	"time"

	"thermocline/manager/ledger"
)

// stock is the instances that no manager holds. Who may have one is the
// ledger's to say, as it is live; here all are of the same size.
type stock struct {
	book  *ledger.Ledger
	mb    int // of an instance
	total int // that there are
	free  []int32
	names []string // of the managers, in the book
}

// fill makes all instances free. Half of them, divided among the managers,
// is what each is sure of, one at least.
func (s *stock) fill(o *Options, managers int, now time.Time) {
	s.total, s.mb = o.Instances, o.MemoryMB
	for at := o.Instances - 1; at >= 0; at-- {
		s.free = append(s.free, int32(at))
	}
	s.book = ledger.New(s.total*s.mb, ledger.Config{})
	sure := max(s.total/(2*managers), min(1, s.total/managers))
	for i := range managers {
		s.names = append(s.names, strconv.Itoa(i))
		s.book.Join(s.names[i], sure*s.mb, now) // there is room
	}
}

// available is how many instances a manager could take.
func (s *stock) available(m *manager, now time.Time) int {
	if len(s.free) == 0 {
		return 0
	}
	return min(s.book.Available(s.names[m.index], now)/s.mb, len(s.free))
}

// take gives a manager an instance; there must be one available.
func (s *stock) take(m *manager, now time.Time) int32 {
	s.book.Take(s.names[m.index], s.mb, now)
	at := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return at
}

// put takes one back.
func (s *stock) put(m *manager, at int32, now time.Time) {
	s.book.Give(s.names[m.index], s.mb, now)
	s.free = append(s.free, at)
}

// bury takes an instance that is free out for good. The book does not know of
// it; available looks at what is really there.
func (s *stock) bury(at int32) {
	s.free = slices.DeleteFunc(s.free, func(f int32) bool { return f == at })
	s.total--
}

const (
	// askEvery is how long a manager that was told that nobody can spare
	// anything takes that for the state of things.
	askEvery = int64(50 * time.Millisecond)
	// leanEvery is how often a manager asks that could do without.
	leanEvery = int64(time.Second)
)

// ask has another manager give an instance back for m, if one can, and reports
// whether there is one for it now. Live, an invocation waits up to 400 ms for
// memory that is on its way; here it goes on to the second choice, and is asked
// for again when an instance has come back.
func (n *node) ask(m *manager, needed bool) bool {
	if m.asked > 0 && n.now-m.asked < askEvery || !needed && m.leaner > 0 && n.now-m.leaner < leanEvery {
		return false
	}
	if !needed {
		m.leaner = n.now
	}
	now := n.clock()
	for _, o := range n.managers {
		if o != m {
			n.stock.book.Report(n.stock.names[o.index], n.offer(o))
		}
	}
	reclaim, answer := n.stock.book.Ask(n.stock.names[m.index], n.stock.mb, needed, now)
	switch answer {
	case ledger.None:
		m.asked = n.now
	case ledger.Asked:
		from, _ := strconv.Atoi(reclaim.From) // fill named it
		if !n.vacate(n.managers[from]) {
			n.stock.book.Cancel(reclaim.From)
		}
	}
	return n.stock.available(m, now) > 0
}

func (n *node) offer(m *manager) ledger.Offer {
	o, ok := m.pool.Offer()
	if !ok {
		return ledger.Offer{}
	}
	return ledger.Offer{MemoryMB: o.MemoryMB, BusyMB: o.BusyMB, Value: o.Value, Used: o.Used}
}

// vacate has a manager give the instance back that it offered: what waits there
// goes at once, the instance when the last busy sandbox is done.
func (n *node) vacate(m *manager) bool {
	o, ok := m.pool.Offer()
	if !ok {
		return false
	}
	m.giving[o.Instance] = true
	n.drain(m, o.Instance)
	return true
}

func (n *node) drain(m *manager, name string) {
	n.evicted(m.pool.DrainInstance(name, n.clock()))
	for _, s := range m.pool.Instances() {
		if s.ID == name && s.Sandboxes == 0 {
			n.giveBack(m, name)
		}
	}
}

// left is told of each sandbox that is not busy any more.
func (n *node) left(m *manager, instance int32) {
	if len(m.giving) > 0 && m.giving[instanceName(instance)] {
		n.drain(m, instanceName(instance))
	}
}
