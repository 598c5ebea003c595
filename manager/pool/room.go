package pool

import (
	"cmp"
	"slices"
	"time"

	"thermocline"
)

// place is one instance.
type place struct {
	id       string
	memory   int
	used     int
	waiting  int // of used, promised to sandboxes that wait
	boxes    int
	serving  int   // of boxes, those that an invocation has
	emptied  int64 // Unix ns
	leaving  bool  // its sandboxes move elsewhere, see Scale
	removing bool
	could    int // scratch of makeRoom: MB that evictions would free
}

func (at *place) free() int { return at.memory - at.used }

// fits says whether b could become one of mb.
func (at *place) fits(b *box, mb int) bool { return at.free() >= mb-b.memory }

// slot says whether one more invocation may run there.
func (p *Pool) slot(at *place) bool { return p.c.Slots <= 0 || at.serving < p.c.Slots }

// AddInstance gives the pool an instance to fill. One that it has is left as
// it is.
func (p *Pool) AddInstance(id string, memoryMB int, now time.Time) {
	if p.instances[id] != nil {
		return
	}
	at := &place{id: id, memory: memoryMB, emptied: now.UnixNano()}
	p.instances[id] = at
	p.order = append(p.order, at)
}

// RemoveInstance forgets an instance and returns the sandboxes that it held,
// which are gone too, in the order of their names.
func (p *Pool) RemoveInstance(id string, now time.Time) []string {
	at := p.instances[id]
	if at == nil {
		return nil
	}
	var gone []string
	for _, b := range p.boxes {
		if b.instance == at {
			gone = append(gone, b.id)
			p.drop(b, now.UnixNano())
		}
	}
	slices.Sort(gone)
	delete(p.instances, id)
	p.order = slices.DeleteFunc(p.order, func(o *place) bool { return o == at })
	return gone
}

// IdleInstances returns the instances that have been empty for long enough to
// be given back. They take no new sandboxes from then on; call RemoveInstance
// when they are closed.
func (p *Pool) IdleInstances(now time.Time) []string {
	var ids []string
	for _, at := range p.order {
		if at.boxes == 0 && !at.removing && at.emptied+int64(p.idleFor(at)) <= now.UnixNano() {
			at.removing = true
			ids = append(ids, at.id)
		}
	}
	return ids
}

// idleFor is how long an empty instance is kept.
func (p *Pool) idleFor(at *place) time.Duration {
	if at.leaving {
		return 0
	}
	return p.c.InstanceIdle
}

// DrainInstance has an instance take no new sandboxes, and removes and returns
// those that wait in it. Busy ones are not touched: they wait there again when
// released, and the next call returns them.
func (p *Pool) DrainInstance(id string, now time.Time) []string {
	at := p.instances[id]
	if at == nil {
		return nil
	}
	at.removing = true
	var waiting []*box
	for _, b := range p.evictable.items {
		if b.instance == at {
			waiting = append(waiting, b)
		}
	}
	slices.SortFunc(waiting, func(a, b *box) int { return cmp.Compare(a.id, b.id) })
	var gone []string
	for _, b := range waiting {
		gone = append(gone, b.id)
		p.drop(b, now.UnixNano())
	}
	return gone
}

// Instances returns the instances, the oldest first, with what is promised of
// them.
func (p *Pool) Instances() []thermocline.InstanceStatus {
	var s []thermocline.InstanceStatus
	for _, at := range p.order {
		s = append(s, thermocline.InstanceStatus{ID: at.id, MemoryMB: at.memory, UsedMB: at.used, Sandboxes: at.boxes})
	}
	return s
}

// FreeMB is the memory that is promised to nobody or only to sandboxes that
// wait and may be evicted.
func (p *Pool) FreeMB() int { return p.memory() - p.usedMB + p.waitingMB }

// memory is that of all instances.
func (p *Pool) memory() int {
	total := 0
	for _, at := range p.order {
		total += at.memory
	}
	return total
}

// Room returns the instance on which a sandbox of so much memory would start
// without an eviction, "" when there is none: for Add of what Refill plans.
func (p *Pool) Room(memoryMB int) string {
	if at := p.room(memoryMB); at != nil {
		return at.id
	}
	return ""
}

// room returns an instance with mb and a slot to spare: the oldest, because young
// ones run empty and are given back. Where slots are bounded it is the one with
// the most of them free, so that sandboxes that wait in it find one when they are
// called.
func (p *Pool) room(mb int) *place {
	var best *place
	for _, at := range p.order {
		if at.removing || at.leaving || at.free() < mb || !p.slot(at) {
			continue
		}
		if p.c.Slots <= 0 {
			return at
		}
		if best == nil || at.load() < best.load() {
			best = at
		}
	}
	return best
}

// comeBack returns an instance with mb and a slot to spare of those that were
// being left: they are needed after all.
func (p *Pool) comeBack(mb int) *place {
	for _, at := range p.order {
		if at.leaving && !at.removing && at.free() >= mb && p.slot(at) {
			at.leaving = false
			return at
		}
	}
	return nil
}

// guestSlots and guestMemory are the shares of an instance's slots and memory that
// guests leave free.
const (
	guestSlots  = 0.25
	guestMemory = 0.05
)

// idles says whether an instance has room for a guest of mb.
func (p *Pool) idles(at *place, mb int) bool {
	return at != nil && float64(at.free()-mb) >= guestMemory*float64(at.memory) &&
		(p.c.Slots <= 0 || float64(p.c.Slots-at.serving) > guestSlots*float64(p.c.Slots))
}

// load orders instances by how likely a sandbox in it finds no slot: by what
// runs there, and by what waits there to run.
func (at *place) load() float64 { return float64(at.serving) + float64(at.boxes)/1024 }

// scanned bounds how many waiting sandboxes are compared.
const scanned = 32

// pick returns the one of a function's idle sandboxes to use: the most recently
// used of its generation, or, where slots are bounded, of those used lately the
// one in the instance with the most slots free. nil if there is none.
func (p *Pool) pick(f *function, generation int64) *box {
	var best *box
	n := 0
	for b := f.idle.last; b != nil && n < scanned; b = b.prev {
		// One of a newer generation than the need's waits for a newer need.
		if b.gen != generation || !p.slot(b.instance) {
			continue
		}
		if p.c.Slots <= 0 {
			return b
		}
		n++
		if best == nil || b.instance.before(best.instance) {
			best = b
		}
	}
	return best
}

// crowded returns the instance in which an idle sandbox of a function waits that
// cannot be used for want of a slot, nil if there is none. Slots come free much
// sooner than a sandbox starts: the invocation had better wait there.
func (p *Pool) crowded(f *function, n *Need) *place {
	if p.c.Slots <= 0 || n.NoWait || n.Guest {
		return nil
	}
	for b := f.idle.last; b != nil; b = b.prev {
		if b.gen == n.Generation {
			return b.instance
		}
	}
	return nil
}

// before says which of two instances a call is better sent to.
func (at *place) before(o *place) bool {
	if at.leaving != o.leaving {
		return o.leaving
	}
	return at.serving < o.serving
}

// spare returns a sandbox of the warming pool for n, nil if there is none.
func (p *Pool) spare(n *Need) *box {
	if !n.Late {
		return nil
	}
	var best *box
	for b := p.class(n.Runtime, n.classMB()).ready.last; b != nil; b = b.prev {
		if !p.slot(b.instance) || b.instance.leaving || !b.instance.fits(b, n.MemoryMB) {
			continue
		}
		if p.c.Slots <= 0 {
			return b
		}
		if best == nil || b.instance.before(best.instance) {
			best = b
		}
	}
	return best
}

// makeRoom evicts waiting sandboxes, the least priority first, until one
// instance has mb to spare. When no instance can have it nothing is evicted.
func (p *Pool) makeRoom(mb int, now int64) (*place, []string) {
	if !p.canMakeRoom(mb) {
		return nil, nil
	}
	for _, at := range p.order {
		at.could = at.free()
	}
	var at *place
	var tried []*box
	for at == nil && p.evictable.len() > 0 {
		b := p.evictable.top()
		p.evictable.remove(b)
		tried = append(tried, b)
		if b.instance.could += b.memory; b.instance.could >= mb && !b.instance.removing && p.slot(b.instance) {
			at = b.instance
		}
	}
	var victims []string
	for i := len(tried) - 1; i >= 0; i-- {
		b := tried[i]
		// Put back those elsewhere, and, from the dearest down, those without
		// which there is room enough.
		if at == nil || b.instance != at || at.could-b.memory >= mb {
			if b.instance == at {
				at.could -= b.memory
			}
			p.evictable.push(b)
			continue
		}
		p.clock = max(p.clock, b.priority)
		victims = append(victims, b.id)
		p.drop(b, now)
	}
	if at != nil {
		at.leaving = false
	}
	slices.Reverse(victims) // the least priority first
	return at, victims
}

// canMakeRoom tells without touching the queue, so that a full pool refuses at
// once.
func (p *Pool) canMakeRoom(mb int) bool {
	for _, at := range p.order {
		if !at.removing && at.free()+at.waiting >= mb && p.slot(at) {
			return true
		}
	}
	return false
}
