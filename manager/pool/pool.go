package pool

import (
	"time"

	"thermocline"
)

// Action is what a decision tells the manager to do.
type Action int

// The actions.
const (
	Refuse     Action = iota // no room, and nothing to evict for it
	Warm                     // use Sandbox, which is bound already
	Specialise               // bind Sandbox, then use it
	Start                    // start Sandbox on Instance, bound from the start
	Wait                     // a warm one waits on Instance, which has no slot free
)

// Decision is the answer to a need. A chosen sandbox is busy from then on. For
// Start, the manager names the new one and calls Add before it asks for
// anything else.
type Decision struct {
	Action   Action
	Sandbox  string   // Warm and Specialise
	Instance string   // all but Refuse
	Evict    []string // sandboxes to close first; they are gone from the pool
}

// Pool is the state of one manager's sandboxes and instances.
type Pool struct {
	c         Config
	boxes     map[string]*box
	functions map[thermocline.FunctionID]*function
	classes   map[class]*warming
	warmOrder []*warming // in order of their first use, so that answers repeat
	instances map[string]*place
	order     []*place // by age, so that old instances fill up first

	evictable queue[box]      // waiting sandboxes by priority
	expiring  queue[box]      // the warming pool by the end of its keep-alive
	due       queue[function] // functions by when their levels must be looked at
	dormant   list[function]
	numbered  int    // functions seen
	ahead     []Need // what Ahead will return
	first     *prior // what is thought of functions, see plan.go
	crowd     *prior
	peaks     peaks
	serving   int   // invocations that run
	scaleAt   int64 // when Scale looks again, Unix ns
	spacious  int64 // since when there are too many instances, 0: not

	clock     float64 // Greedy-Dual's
	counts    thermocline.SandboxCounts
	usedMB    int // promised to sandboxes
	waitingMB int // of these, to sandboxes that wait
}

// New returns an empty pool.
func New(c Config) *Pool {
	p := &Pool{
		c:         c.Defaults(),
		boxes:     map[string]*box{},
		functions: map[thermocline.FunctionID]*function{},
		classes:   map[class]*warming{},
		instances: map[string]*place{},
		evictable: queue[box]{less: lessPriority, place: func(b *box) *int { return &b.heap[byPriority] }},
		expiring:  queue[box]{less: lessExpiry, place: func(b *box) *int { return &b.heap[byExpiry] }},
		due:       queue[function]{less: lessDue, place: func(f *function) *int { return &f.heap }},
	}
	p.first, p.crowd = newPriors()
	for _, w := range p.c.Spares {
		p.class(w.Runtime, w.MemoryMB).floor += max(0, w.N)
	}
	return p
}

// Acquire finds a sandbox for n: the most recently used warm one of its
// function and generation, else one of the warming pool, else room for a new
// one, evicting waiting sandboxes with the least Greedy-Dual priority where
// that makes the room. Sandboxes of older generations go at once.
func (p *Pool) Acquire(n Need, now time.Time) Decision {
	ns := now.UnixNano()
	f := p.function(n.Function)
	stale := p.retire(f, n.Generation, ns)
	if b := p.pick(f, n.Generation); b != nil && (!n.Guest || p.idles(b.instance, 0)) {
		p.take(b)
		f.need.Guest = n.Guest
		p.serve(b, ns)
		return Decision{Action: Warm, Sandbox: b.id, Instance: b.instance.id, Evict: stale}
	}
	if at := p.crowded(f, &n); at != nil {
		return Decision{Action: Wait, Instance: at.id, Evict: stale}
	}
	if b := p.spare(&n); b != nil && (!n.Guest || p.idles(b.instance, 0)) {
		b.class.cold(ns)
		p.take(b)
		p.bind(b, f, n, ns)
		p.staff(f, now)
		return Decision{Action: Specialise, Sandbox: b.id, Instance: b.instance.id, Evict: stale}
	}
	at := p.room(n.MemoryMB)
	if n.Guest && !p.idles(at, n.MemoryMB) {
		p.rest(f)
		return Decision{Action: Refuse, Evict: stale}
	}
	if at == nil {
		at = p.comeBack(n.MemoryMB)
	}
	if at == nil && !n.NoEvict {
		var victims []string
		at, victims = p.makeRoom(n.MemoryMB, ns)
		stale = append(stale, victims...)
	}
	if at == nil {
		p.rest(f)
		return Decision{Action: Refuse, Evict: stale}
	}
	if n.Late {
		p.class(n.Runtime, n.classMB()).cold(ns)
	}
	p.rest(f)
	return Decision{Action: Start, Instance: at.id, Evict: stale}
}

// Add puts a sandbox on an instance, with its memory set aside: busy and bound
// to n's function, or, with a zero Function, on its way into the warming pool.
// It reports whether there was room.
func (p *Pool) Add(id, instance string, n Need, now time.Time) bool {
	at := p.instances[instance]
	if at == nil || at.removing || n.MemoryMB < 0 || n.MemoryMB > at.memory-at.used || p.boxes[id] != nil {
		return false
	}
	b := &box{
		id: id, instance: at, state: starting, memory: n.MemoryMB,
		class: p.class(n.Runtime, n.classMB()), lastUsed: now.UnixNano(),
	}
	b.heap[byPriority], b.heap[byExpiry] = -1, -1
	p.boxes[id] = b
	at.used += b.memory
	at.boxes++
	p.usedMB += b.memory
	p.counts.Starting++
	if n.Function == (thermocline.FunctionID{}) {
		b.booting = true
		b.class.booting++
		return true
	}
	f := p.function(n.Function)
	p.bind(b, f, n, now.UnixNano())
	if !n.Ahead {
		p.staff(f, now)
	}
	return true
}

// Started notes that a sandbox is up, or specialised, and what that took.
func (p *Pool) Started(id string, cost time.Duration) {
	b := p.boxes[id]
	if b == nil {
		return
	}
	b.cost = cost
	if b.state == starting {
		if b.function == nil {
			b.class.booted(cost)
		}
		p.move(b, busy)
	}
}

// Release makes a busy sandbox idle, or puts it into the warming pool when it
// has no function. It returns false when it must be closed, because newest or
// anything seen before is a newer generation than the sandbox's; it is gone
// from the pool then. newest 0 says nothing.
func (p *Pool) Release(id string, newest int64, now time.Time) bool {
	b := p.boxes[id]
	if b == nil || (b.state != busy && b.state != starting) {
		return false
	}
	ns := now.UnixNano()
	b.lastUsed = ns
	f := b.function
	if f == nil {
		p.unboot(b)
		push(&b.class.ready, b)
		b.expires = ns + int64(p.c.KeepAlive)
		p.wait(b, unbound, 1)
		return true
	}
	p.outdate(f, newest, ns)
	if b.serving {
		f.uses++
	}
	wasAhead := b.ahead
	b.ahead = false
	p.served(b, ns)
	if b.gen < f.newest {
		p.drop(b, ns)
		return false
	}
	push(&f.idle, b)
	p.wait(b, idle, f.uses)
	switch {
	case wasAhead: // it may be there in place of another
		p.schedule(f, ns)
	case b.instance.leaving && !b.moving: // once, however often it is used until then
		b.moving = true
		p.prepare(f, 1)
	}
	return true
}

// Unbind gives back a sandbox that Acquire chose to specialise and that was
// not specialised after all.
func (p *Pool) Unbind(id string, now time.Time) {
	b := p.boxes[id]
	if b == nil || b.state != busy {
		return
	}
	if f := b.function; f != nil {
		p.served(b, now.UnixNano())
		f.boxes--
		b.function, b.gen, b.ahead = nil, 0, false
		p.rest(f)
	}
	p.Release(id, 0, now)
}

// Evict removes a sandbox unless it is busy or starting, and reports whether
// it did.
func (p *Pool) Evict(id string, now time.Time) bool {
	b := p.boxes[id]
	if b == nil || b.state == busy || b.state == starting {
		return false
	}
	p.drop(b, now.UnixNano())
	return true
}

// Remove forgets a sandbox in whatever state, and gives its memory back.
func (p *Pool) Remove(id string, now time.Time) {
	if b := p.boxes[id]; b != nil {
		p.drop(b, now.UnixNano())
	}
}

// Retire removes and returns the idle sandboxes of a function that are of an
// older generation than newest; busy ones go when they are released.
func (p *Pool) Retire(id thermocline.FunctionID, newest int64, now time.Time) []string {
	f := p.functions[id]
	if f == nil {
		return nil
	}
	gone := p.retire(f, newest, now.UnixNano())
	p.rest(f)
	return gone
}

// Forget is Retire of all generations so far, for a function that was deleted,
// and of what is known of it.
func (p *Pool) Forget(id thermocline.FunctionID, now time.Time) []string {
	f := p.functions[id]
	if f == nil {
		return nil
	}
	// Generations start at the time of creation, in ns: a function that is
	// created again is newer than now.
	gone := p.retire(f, max(f.newest+1, now.UnixNano()), now.UnixNano())
	if f.boxes == 0 {
		p.lose(f)
	}
	return gone
}

// Expire removes and returns the sandboxes that are not worth their memory any
// more.
func (p *Pool) Expire(now time.Time) []string {
	ns := now.UnixNano()
	var gone []string
	for p.due.len() > 0 && p.due.top().due <= ns {
		gone = p.expireFunction(p.due.top(), ns, gone)
	}
	for p.expiring.len() > 0 && p.expiring.top().expires <= ns {
		b := p.expiring.top()
		gone = append(gone, b.id)
		p.drop(b, ns)
	}
	return gone
}

// expireFunction drops the sandboxes of older generations and those beyond what
// the levels want, those used least recently first.
func (p *Pool) expireFunction(f *function, now int64, gone []string) []string {
	for b := f.idle.first; b != nil; {
		next := b.next
		if b.gen < f.newest {
			gone = append(gone, b.id)
			p.dropKeeping(b, now)
		}
		b = next
	}
	want, ahead := p.review(f, now)
	for _, leaving := range [2]bool{true, false} {
		for b := f.idle.first; b != nil && f.boxes > want; {
			next := b.next
			if b.instance.leaving || !leaving {
				gone = append(gone, b.id)
				p.dropKeeping(b, now)
			}
			b = next
		}
	}
	p.prepare(f, ahead)
	p.rest(f)
	return gone
}

// Next returns the time of the next thing to expire, zero when there is none.
func (p *Pool) Next() time.Time {
	var next int64
	if p.expiring.len() > 0 {
		next = p.expiring.top().expires
	}
	if p.due.len() > 0 && (next == 0 || p.due.top().due < next) {
		next = p.due.top().due
	}
	for _, at := range p.order {
		if at.boxes == 0 && !at.removing {
			if t := at.emptied + int64(p.idleFor(at)); next == 0 || t < next {
				next = t
			}
		}
	}
	if p.scaleAt != 0 && len(p.order) > 1 && (next == 0 || p.scaleAt < next) {
		next = p.scaleAt
	}
	if next == 0 {
		return time.Time{}
	}
	return time.Unix(0, next)
}

// Counts returns the sandboxes by state.
func (p *Pool) Counts() thermocline.SandboxCounts { return p.counts }

// Function returns how many sandboxes of a function are busy (or starting) and
// idle.
func (p *Pool) Function(id thermocline.FunctionID) (busy, idle int) {
	if f := p.functions[id]; f != nil {
		return f.boxes - f.idle.n, f.idle.n
	}
	return 0, 0
}

// KeepAlive returns how long the sandbox of a function's next invocation would
// be kept if the invocation ended now.
func (p *Pool) KeepAlive(id thermocline.FunctionID, now time.Time) time.Duration {
	f := p.functions[id]
	if f == nil {
		f = &function{}
	}
	l := level{}
	if k := f.running; k < len(f.levels) {
		l = f.levels[k]
		if l.since != 0 {
			l.idled(now.UnixNano(), p.c.Bin)
		}
	}
	l.since = now.UnixNano()
	p.plan(f, &l)
	return time.Duration(l.flips[0] - l.since)
}

// Functions returns the number of functions that something is known of.
func (p *Pool) Functions() int { return len(p.functions) }
