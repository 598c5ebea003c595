package ledger

import (
	"cmp"
	"slices"
	"time"
)

// Config tunes a ledger. The zero value of a field means its default.
type Config struct {
	// Dwell is how long a member that was given memory is not asked for any.
	// Default 5 s.
	Dwell time.Duration
	// Hold is how long memory that was given back for a member is kept for it.
	// Default 5 s.
	Hold time.Duration
	// Patience is how long memory has to lie idle before it moves to somebody
	// who could do without it (see Ask). Default 1 minute.
	Patience time.Duration
	// GiveWithin is how long a member may take to give back before somebody
	// else is asked. Default 30 s.
	GiveWithin time.Duration
}

// Defaults returns c with its zero fields filled in.
func (c Config) Defaults() Config {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Dwell, 5 * time.Second}, {&c.Hold, 5 * time.Second},
		{&c.Patience, time.Minute}, {&c.GiveWithin, 30 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	return c
}

// Offer is the instance that a member could give back with the least harm.
type Offer struct {
	MemoryMB int // of the instance; 0: it has nothing to give
	BusyMB   int // of these, in use by invocations: giving waits for them
	// Value is what its idle sandboxes are worth: the sum of their Greedy-Dual
	// priorities above the member's clock.
	Value float64
	Used  time.Time // when an invocation last ended there, zero: never
}

// Reclaim asks a member to give an instance back.
type Reclaim struct {
	From, For string
	MB        int // of the instance that From offered
}

// Answer is what Ask found.
type Answer int

// The answers.
const (
	None   Answer = iota // nobody can spare anything
	Free                 // there is memory: Take it
	Moving               // somebody gives back already, for this member
	Asked                // the Reclaim that comes with it is to be carried out
)

// Ledger is who has how much of a shared memory.
type Ledger struct {
	c       Config
	total   int // MB
	used    int
	members map[string]*member
	order   []*member // by id, so that answers repeat
}

// member is one that shares. Sizes are in MB.
type member struct {
	id        string
	guarantee int
	used      int

	held      int // given back for it and not taken yet
	heldUntil time.Time

	giving      int // asked of it, 0: nothing
	givingFor   string
	givingUntil time.Time

	gained time.Time // when it last got something that another gave
	wanted time.Time // when it last asked for want of room
	offer  Offer
}

// New returns a ledger over totalMB without members.
func New(totalMB int, c Config) *Ledger {
	return &Ledger{c: c.Defaults(), total: max(0, totalMB), members: map[string]*member{}}
}

// Join adds a member. It reports whether it could: not twice, and not where the
// guarantees would exceed the total or what is free.
func (l *Ledger) Join(id string, guaranteeMB int, now time.Time) bool {
	if l.members[id] != nil || guaranteeMB < 0 || guaranteeMB > l.unreserved(nil, now) {
		return false
	}
	m := &member{id: id, guarantee: guaranteeMB}
	l.members[id] = m
	at, _ := slices.BinarySearchFunc(l.order, id, func(m *member, id string) int { return cmp.Compare(m.id, id) })
	l.order = slices.Insert(l.order, at, m)
	return true
}

// Leave removes a member with all that it has.
func (l *Ledger) Leave(id string) {
	m := l.members[id]
	if m == nil {
		return
	}
	l.used -= m.used
	delete(l.members, id)
	l.order = slices.DeleteFunc(l.order, func(o *member) bool { return o == m })
	for _, o := range l.order {
		if o.givingFor == id {
			o.givingFor = "" // what it gives is everybody's
		}
	}
}

// Total is the memory that is shared, in MB.
func (l *Ledger) Total() int { return l.total }

// Used is what a member has taken, in MB.
func (l *Ledger) Used(id string) int {
	if m := l.members[id]; m != nil {
		return m.used
	}
	return 0
}

// Available is what a member could take now, in MB.
func (l *Ledger) Available(id string, now time.Time) int {
	m := l.members[id]
	if m == nil {
		return 0
	}
	return max(0, l.unreserved(m, now))
}

// Take takes memory for a member and reports whether it could.
func (l *Ledger) Take(id string, mb int, now time.Time) bool {
	m := l.members[id]
	if m == nil || mb < 0 || mb > l.unreserved(m, now) {
		return false
	}
	m.used += mb
	l.used += mb
	m.held = max(0, m.holds(now)-mb)
	return true
}

// Give gives memory of a member back. If it was asked for, it is kept for who
// needs it.
func (l *Ledger) Give(id string, mb int, now time.Time) {
	m := l.members[id]
	if m == nil {
		return
	}
	mb = min(max(0, mb), m.used)
	m.used -= mb
	l.used -= mb
	if m.giving == 0 {
		return
	}
	moved := min(mb, m.giving)
	to := l.members[m.givingFor]
	m.giving = max(0, m.giving-mb)
	if m.giving == 0 {
		m.givingFor = ""
	}
	if to == nil {
		return
	}
	// What the giver is guaranteed is not to be given away.
	to.held = to.holds(now) + moved
	to.heldUntil, to.gained = now.Add(l.c.Hold), now
	if over := -l.unreserved(nil, now); over > 0 {
		to.held = max(0, to.held-over)
	}
}

// Report says what a member could give back with the least harm.
func (l *Ledger) Report(id string, o Offer) {
	if m := l.members[id]; m != nil {
		m.offer = o
	}
}

// Ask looks for mb for a member that finds too little free, from what the
// others reported last. Needed says that an invocation has nowhere to run: then
// idle memory moves at once, and memory in use as soon as it is idle if the
// giver has more than its share of it. Without needed only what has lain idle
// for Patience moves: the member could evict idle sandboxes of its own.
//
// When the answer is Asked the Reclaim is to be carried out: From gives the
// instance that it offered, when nothing runs there any more, and Give moves
// the memory. If it cannot, call Cancel.
func (l *Ledger) Ask(id string, mb int, needed bool, now time.Time) (Reclaim, Answer) {
	m := l.members[id]
	if m == nil || mb <= 0 || mb > l.total {
		return Reclaim{}, None
	}
	if needed {
		m.wanted = now
	}
	if mb <= l.unreserved(m, now) {
		return Reclaim{}, Free
	}
	moving := 0
	for _, o := range l.order {
		if o.gives(now) && o.givingFor == id {
			moving += o.giving
		}
	}
	if moving > 0 && mb <= l.unreserved(m, now)+moving {
		return Reclaim{}, Moving
	}
	var from *member
	for _, o := range l.order {
		if l.mayGive(o, m, needed, now) && (from == nil || l.before(o, from)) {
			from = o
		}
	}
	switch {
	case from != nil:
	case moving > 0:
		return Reclaim{}, Moving
	default:
		return Reclaim{}, None
	}
	from.giving, from.givingFor, from.givingUntil = from.offer.MemoryMB, id, now.Add(l.c.GiveWithin)
	from.offer = Offer{}
	return Reclaim{From: from.id, For: id, MB: from.giving}, Asked
}

// Cancel says that a member does not give what it was asked for.
func (l *Ledger) Cancel(from string) {
	if m := l.members[from]; m != nil {
		m.giving, m.givingFor = 0, ""
	}
}

// mayGive reports whether o should give its offer to m.
func (l *Ledger) mayGive(o, m *member, needed bool, now time.Time) bool {
	mb := o.offer.MemoryMB
	switch {
	case o == m, mb <= 0, o.gives(now), o.used-mb < o.guarantee:
		return false
	case !o.gained.IsZero() && now.Sub(o.gained) < l.c.Dwell:
		return false
	case !needed:
		return o.offer.BusyMB == 0 && now.Sub(o.offer.Used) >= l.c.Patience
	}
	waits := !o.wanted.IsZero() && now.Sub(o.wanted) < l.c.Dwell
	if o.offer.BusyMB == 0 && !waits {
		return true
	}
	// Both could use it: who has more than its share gives. Each such move
	// makes the shares more equal, so they end.
	return o.excess()-mb >= m.excess()+m.holds(now)+mb
}

// before reports whether a is the better one to ask: idle memory first, then
// the most above the guarantee, then the least valuable.
func (l *Ledger) before(a, b *member) bool {
	if idle := a.offer.BusyMB == 0; idle != (b.offer.BusyMB == 0) {
		return idle
	}
	if c := cmp.Compare(a.excess(), b.excess()); c != 0 {
		return c > 0
	}
	return a.offer.Value < b.offer.Value
}

// unreserved is what is free and not reserved for others than m.
func (l *Ledger) unreserved(m *member, now time.Time) int {
	free := l.total - l.used
	for _, o := range l.order {
		if o != m {
			free -= max(o.guarantee-o.used, o.holds(now))
		}
	}
	return free
}

// excess is what a member has above its guarantee.
func (m *member) excess() int { return m.used - m.guarantee }

// holds is what is kept for a member.
func (m *member) holds(now time.Time) int {
	if m.held > 0 && now.Before(m.heldUntil) {
		return m.held
	}
	return 0
}

// gives reports whether something is asked of a member and still expected.
func (m *member) gives(now time.Time) bool { return m.giving > 0 && now.Before(m.givingUntil) }
