package pool

import (
	"container/heap"
	"time"

	"thermocline"
)

// Config tunes a pool. The zero value of a field means its default.
type Config struct {
	// KeepAlive is how long an idle sandbox waits for its function to be called
	// again. Default 10 minutes.
	KeepAlive time.Duration
	// InstanceIdle is how long an instance without sandboxes is kept. Default 1
	// minute.
	InstanceIdle time.Duration
}

// Defaults returns c with its zero fields filled in.
func (c Config) Defaults() Config {
	if c.KeepAlive == 0 {
		c.KeepAlive = 10 * time.Minute
	}
	if c.InstanceIdle == 0 {
		c.InstanceIdle = time.Minute
	}
	return c
}

// Need is what an invocation needs of a sandbox.
type Need struct {
	Function   thermocline.FunctionID
	Generation int64 // a sandbox of an older one is never used
	Runtime    string
	MemoryMB   int
	// Late says that the function can be bound to a sandbox that runs already.
	// It cannot when its environment holds what an interpreter reads at start.
	Late bool
	// NoEvict asks for Refuse rather than an eviction to make room: the manager
	// can have another instance.
	NoEvict bool
}

// Action is what a decision tells the manager to do.
type Action int

// The actions.
const (
	Refuse     Action = iota // no room, and nothing to evict for it
	Warm                     // use Sandbox, which is bound already
	Specialise               // bind Sandbox, then use it
	Start                    // start Sandbox on Instance, bound from the start
)

// Decision is the answer to a need. The chosen sandbox is busy from then on,
// and memory is set aside for one that has to be started.
type Decision struct {
	Action   Action
	Sandbox  string   // Warm and Specialise; the manager names it for Start
	Instance string   // Start
	Evict    []string // sandboxes to close first; they are gone from the pool
}

type state int

const (
	unbound state = iota
	idle
	busy
)

// box is one sandbox.
type box struct {
	id       string
	instance *place
	class    class
	state    state
	function thermocline.FunctionID // zero while unbound
	gen      int64
	memory   int
	starting bool // busy, and its process is not up yet

	lastUsed time.Time
	expires  time.Time
	uses     float64       // invocations that it has run
	cost     time.Duration // what starting it took
	priority float64       // Greedy-Dual
	index    int           // in the eviction heap, -1 when not in it
}

// class is what a warming pool is for.
type class struct {
	runtime  string
	memoryMB int
}

// place is one instance.
type place struct {
	id       string
	memory   int
	used     int
	boxes    int
	emptied  time.Time
	removing bool
}

// Pool is the state of one manager's sandboxes and instances.
type Pool struct {
	c         Config
	boxes     map[string]*box
	functions map[thermocline.FunctionID][]*box // idle ones, most recently used last
	warming   map[class][]*box
	instances map[string]*place
	order     []*place // by age, so that old instances fill up first
	evictable evictHeap
	clock     float64 // Greedy-Dual's
}

// New returns an empty pool.
func New(c Config) *Pool {
	return &Pool{
		c:         c.Defaults(),
		boxes:     map[string]*box{},
		functions: map[thermocline.FunctionID][]*box{},
		warming:   map[class][]*box{},
		instances: map[string]*place{},
	}
}

// Acquire finds a sandbox for n: the most recently used warm one of its
// function and generation, else one of the warming pool, else room for a new
// one, evicting idle sandboxes with the least Greedy-Dual priority where that
// makes the room.
func (p *Pool) Acquire(n Need, now time.Time) Decision {
	var stale []string
	list := p.functions[n.Function]
	for i := len(list) - 1; i >= 0; i-- {
		b := list[i]
		if b.gen < n.Generation {
			stale = append(stale, b.id)
			p.drop(b, now)
			continue
		}
		if b.gen == n.Generation {
			p.take(b)
			return Decision{Action: Warm, Sandbox: b.id, Instance: b.instance.id, Evict: stale}
		}
	}
	if n.Late {
		k := class{n.Runtime, n.MemoryMB}
		if w := p.warming[k]; len(w) > 0 {
			b := w[len(w)-1]
			p.take(b)
			b.function, b.gen = n.Function, n.Generation
			return Decision{Action: Specialise, Sandbox: b.id, Instance: b.instance.id, Evict: stale}
		}
	}
	if at := p.room(n.MemoryMB); at != nil {
		return Decision{Action: Start, Instance: at.id, Evict: stale}
	}
	if n.NoEvict {
		return Decision{Action: Refuse, Evict: stale}
	}
	at, victims := p.makeRoom(n.MemoryMB, now)
	if at == nil {
		return Decision{Action: Refuse, Evict: stale}
	}
	return Decision{Action: Start, Instance: at.id, Evict: append(stale, victims...)}
}

// Add puts a sandbox on an instance, with its memory set aside: busy and bound
// to n's function, or, with a zero Function, on its way into the warming pool.
// It reports whether there was room.
func (p *Pool) Add(id, instance string, n Need, now time.Time) bool {
	at := p.instances[instance]
	if at == nil || at.removing || at.used+n.MemoryMB > at.memory || p.boxes[id] != nil {
		return false
	}
	p.boxes[id] = &box{
		id: id, instance: at, class: class{n.Runtime, n.MemoryMB}, state: busy, starting: true,
		function: n.Function, gen: n.Generation, memory: n.MemoryMB, lastUsed: now, index: -1,
	}
	at.used += n.MemoryMB
	at.boxes++
	return true
}

// Started notes that a sandbox's process is up, and what that took.
func (p *Pool) Started(id string, cost time.Duration) {
	if b := p.boxes[id]; b != nil {
		b.starting, b.cost = false, cost
	}
}

// Release makes a busy sandbox idle, or puts it into the warming pool when it
// has no function. It returns false when the sandbox is of an older generation
// than newest and must be closed; it is gone from the pool then.
func (p *Pool) Release(id string, newest int64, now time.Time) bool {
	b := p.boxes[id]
	if b == nil || b.state != busy {
		return false
	}
	b.starting, b.lastUsed = false, now
	if b.function == (thermocline.FunctionID{}) {
		b.state, b.expires = unbound, now.Add(p.c.KeepAlive)
		p.warming[b.class] = append(p.warming[b.class], b)
	} else {
		if b.gen < newest {
			p.Remove(id, now)
			return false
		}
		b.uses++
		b.state, b.expires = idle, now.Add(p.c.KeepAlive)
		p.functions[b.function] = append(p.functions[b.function], b)
	}
	b.priority = p.clock + b.uses*max(b.cost.Seconds(), 0.01)/float64(b.memory)
	heap.Push(&p.evictable, b)
	return true
}

// Unbind gives back a sandbox that Acquire chose to specialise and that was
// not specialised after all.
func (p *Pool) Unbind(id string, now time.Time) {
	if b := p.boxes[id]; b != nil && b.state == busy {
		b.function, b.gen = thermocline.FunctionID{}, 0
		p.Release(id, 0, now)
	}
}

// Evict removes a sandbox unless it is busy, and reports whether it did.
func (p *Pool) Evict(id string, now time.Time) bool {
	b := p.boxes[id]
	if b == nil || b.state == busy {
		return false
	}
	p.drop(b, now)
	return true
}

// Remove forgets a sandbox in whatever state, and gives its memory back.
func (p *Pool) Remove(id string, now time.Time) {
	if b := p.boxes[id]; b != nil {
		p.drop(b, now)
	}
}

// Expire removes and returns the sandboxes whose keep-alive is over.
func (p *Pool) Expire(now time.Time) []string {
	var gone []string
	for id, b := range p.boxes {
		if b.state != busy && !b.expires.After(now) {
			gone = append(gone, id)
			p.drop(b, now)
		}
	}
	return gone
}

// Next returns the time of the next thing to expire, zero when there is none.
func (p *Pool) Next() time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, b := range p.boxes {
		if b.state != busy {
			earlier(b.expires)
		}
	}
	for _, at := range p.instances {
		if at.boxes == 0 && !at.removing {
			earlier(at.emptied.Add(p.c.InstanceIdle))
		}
	}
	return next
}

// Counts returns the sandboxes by state.
func (p *Pool) Counts() thermocline.SandboxCounts {
	var c thermocline.SandboxCounts
	for _, b := range p.boxes {
		switch {
		case b.starting:
			c.Starting++
		case b.state == busy:
			c.Busy++
		case b.state == idle:
			c.Idle++
		default:
			c.Warming++
		}
	}
	return c
}

// take makes an idle or unbound sandbox busy.
func (p *Pool) take(b *box) {
	p.unlist(b)
	b.state = busy
}

// drop takes a sandbox out of everything.
func (p *Pool) drop(b *box, now time.Time) {
	p.unlist(b)
	delete(p.boxes, b.id)
	at := b.instance
	at.used -= b.memory
	at.boxes--
	if at.boxes == 0 {
		at.emptied = now
	}
}

// unlist takes a sandbox out of the lists of those that wait.
func (p *Pool) unlist(b *box) {
	if b.index >= 0 {
		heap.Remove(&p.evictable, b.index)
	}
	switch b.state {
	case idle:
		if l := without(p.functions[b.function], b); len(l) > 0 {
			p.functions[b.function] = l
		} else {
			delete(p.functions, b.function)
		}
	case unbound:
		if l := without(p.warming[b.class], b); len(l) > 0 {
			p.warming[b.class] = l
		} else {
			delete(p.warming, b.class)
		}
	}
}

// without removes b from l in place, looking from the end, where it mostly is.
func without(l []*box, b *box) []*box {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i] == b {
			copy(l[i:], l[i+1:])
			l[len(l)-1] = nil
			return l[:len(l)-1]
		}
	}
	return l
}
