package pool

import (
	"time"

	"thermocline"
	"thermocline/manager/autoscale"
)

type state int

const (
	starting state = iota // its process is not up yet; may have a function
	unbound               // waits in the warming pool
	idle                  // waits for its function
	busy
)

// box is one sandbox. Times are Unix ns.
type box struct {
	id       string
	instance *place
	class    *warming
	function *function // nil while it is bound to none
	gen      int64
	state    state
	booting  bool // counted in class.booting
	ahead    bool // made ready without a call, until it is released
	serving  bool // an invocation has it: counted in function.running
	moving   bool // another was asked for in its place, see Scale
	memory   int
	cost     time.Duration // what starting it took

	lastUsed int64
	expires  int64
	priority float64 // Greedy-Dual

	heap       [2]int // where it is in evictable and expiring, -1 when not
	prev, next *box   // in its function's idle, or in its class's ready
}

// function is what is known of one function. It lives as long as it has
// sandboxes, and after that until MaxFunctions push it out.
type function struct {
	id     thermocline.FunctionID
	number int       // in the order of their first use
	need   Need      // the latest
	idle   list[box] // the most recently used last
	boxes  int       // bound to it, in any state
	newest int64     // the newest generation seen
	uses   float64   // invocations since it last had no sandbox

	running int     // invocations that have a sandbox
	levels  []level // of running
	due     int64   // when levels must be looked at, Unix ns; 0: never
	heap    int     // where it is in Pool.due, -1 when not
	scale   *autoscale.Function

	sleeping   bool // in Pool.dormant
	prev, next *function
}

func (b *box) links() (prev, next **box)           { return &b.prev, &b.next }
func (f *function) links() (prev, next **function) { return &f.prev, &f.next }

type linked[T any] interface {
	*T
	links() (prev, next **T)
}

// list is a doubly linked list through its elements.
type list[T any] struct {
	first, last *T
	n           int
}

func push[T any, P linked[T]](l *list[T], x P) {
	prev, next := x.links()
	*prev, *next = l.last, nil
	if l.last == nil {
		l.first = x
	} else {
		_, n := P(l.last).links()
		*n = x
	}
	l.last = x
	l.n++
}

func unlink[T any, P linked[T]](l *list[T], x P) {
	prev, next := x.links()
	if *prev == nil {
		l.first = *next
	} else {
		_, n := P(*prev).links()
		*n = *next
	}
	if *next == nil {
		l.last = *prev
	} else {
		p, _ := P(*next).links()
		*p = *prev
	}
	*prev, *next = nil, nil
	l.n--
}

// function returns what is known of a function, awake.
func (p *Pool) function(id thermocline.FunctionID) *function {
	f := p.functions[id]
	if f == nil {
		p.numbered++
		f = &function{id: id, number: p.numbered, heap: -1}
		p.functions[id] = f
		return f
	}
	if f.sleeping {
		unlink(&p.dormant, f)
		f.sleeping = false
	}
	return f
}

// rest puts a function without sandboxes among those that may be forgotten,
// and forgets the one that has been there for longest when there are too many.
func (p *Pool) rest(f *function) {
	if f.boxes > 0 || f.sleeping {
		return
	}
	f.uses = 0
	f.sleeping = true
	push(&p.dormant, f)
	if p.dormant.n > p.c.MaxFunctions {
		p.lose(p.dormant.first)
	}
}

// lose forgets a function without sandboxes.
func (p *Pool) lose(f *function) {
	if f.sleeping {
		unlink(&p.dormant, f)
		f.sleeping = false
	}
	p.due.remove(f)
	delete(p.functions, f.id)
}

// bind gives a sandbox that nobody has to a function, for good.
func (p *Pool) bind(b *box, f *function, n Need, now int64) {
	b.function, b.gen, b.ahead = f, n.Generation, n.Ahead
	p.outdate(f, n.Generation, now)
	f.need = n
	f.boxes++
	p.resize(b, n.MemoryMB)
	if !n.Ahead {
		p.serve(b, now)
	}
}

// serve gives a bound sandbox to an invocation.
func (p *Pool) serve(b *box, now int64) {
	b.serving = true
	b.instance.serving++
	p.serving++
	p.peaks.note(p.serving, p.bin(now))
	p.rise(b.function, now)
}

// served ends that.
func (p *Pool) served(b *box, now int64) {
	if b.serving {
		b.serving = false
		b.instance.serving--
		p.serving--
		p.fall(b.function, now)
	}
}

// resize changes the memory that a sandbox is promised: one of the warming pool
// has its class's, a bound one its function's.
func (p *Pool) resize(b *box, mb int) {
	p.usedMB += mb - b.memory
	b.instance.used += mb - b.memory
	b.memory = mb
}

// retire drops the idle sandboxes of older generations than newest.
func (p *Pool) retire(f *function, newest, now int64) []string {
	if newest <= f.newest {
		return nil
	}
	f.newest = newest
	var gone []string
	for b := f.idle.first; b != nil; {
		next := b.next
		if b.gen < newest {
			gone = append(gone, b.id)
			p.dropKeeping(b, now)
		}
		b = next
	}
	return gone
}

// wait puts a sandbox among those that wait.
func (p *Pool) wait(b *box, s state, frequency float64) {
	p.move(b, s)
	p.waitingMB += b.memory
	b.instance.waiting += b.memory
	// A start that was never timed costs something all the same.
	cost := max(b.cost, 10*time.Millisecond).Seconds()
	b.priority = p.clock + frequency*cost/float64(max(1, b.memory))
	p.evictable.push(b)
	if s == unbound {
		p.expiring.push(b)
	}
}

// take makes a waiting sandbox busy.
func (p *Pool) take(b *box) {
	p.unwait(b)
	p.move(b, busy)
}

// unwait takes a sandbox from those that wait.
func (p *Pool) unwait(b *box) {
	switch b.state {
	case idle:
		unlink(&b.function.idle, b)
	case unbound:
		unlink(&b.class.ready, b)
	default:
		return
	}
	p.waitingMB -= b.memory
	b.instance.waiting -= b.memory
	p.evictable.remove(b)
	p.expiring.remove(b)
}

// unboot ends the time in which a sandbox counts as on its way into the
// warming pool.
func (p *Pool) unboot(b *box) {
	if b.booting {
		b.booting = false
		b.class.booting--
	}
}

// outdate notes a newer generation where sandboxes cannot be returned to be
// closed: those of older ones are the next to be evicted, and expire now.
func (p *Pool) outdate(f *function, newest, now int64) {
	if newest <= f.newest {
		return
	}
	f.newest = newest
	for b := f.idle.first; b != nil; b = b.next {
		if b.gen < newest {
			p.evictable.remove(b)
			b.priority = -1
			p.evictable.push(b)
			p.schedule(f, now)
		}
	}
}

// drop takes a sandbox out of everything.
func (p *Pool) drop(b *box, now int64) {
	f := b.function
	p.dropKeeping(b, now)
	if f != nil {
		p.rest(f)
	}
}

// dropKeeping is drop for a caller that goes on with the function.
func (p *Pool) dropKeeping(b *box, now int64) {
	switch b.state {
	case idle, unbound:
		p.unwait(b)
	default:
		p.unboot(b)
		p.served(b, now)
	}
	if b.function != nil {
		b.function.boxes--
	}
	*p.count(b.state)--
	delete(p.boxes, b.id)
	p.usedMB -= b.memory
	at := b.instance
	at.used -= b.memory
	at.boxes--
	if at.boxes == 0 {
		at.emptied = now
	}
}

// move changes a sandbox's state.
func (p *Pool) move(b *box, s state) {
	*p.count(b.state)--
	b.state = s
	*p.count(s)++
}

func (p *Pool) count(s state) *int {
	switch s {
	case starting:
		return &p.counts.Starting
	case unbound:
		return &p.counts.Warming
	case idle:
		return &p.counts.Idle
	default:
		return &p.counts.Busy
	}
}
