package pool

import (
	"container/heap"
	"slices"
	"time"

	"thermocline"
)

// AddInstance gives the pool an instance to fill.
func (p *Pool) AddInstance(id string, memoryMB int, now time.Time) {
	at := &place{id: id, memory: memoryMB, emptied: now}
	p.instances[id] = at
	p.order = append(p.order, at)
}

// RemoveInstance forgets an instance and returns the sandboxes that it held,
// which are gone too.
func (p *Pool) RemoveInstance(id string, now time.Time) []string {
	at := p.instances[id]
	if at == nil {
		return nil
	}
	var gone []string
	for _, b := range p.boxes {
		if b.instance == at {
			gone = append(gone, b.id)
			p.drop(b, now)
		}
	}
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
		if at.boxes == 0 && !at.removing && !at.emptied.Add(p.c.InstanceIdle).After(now) {
			at.removing = true
			ids = append(ids, at.id)
		}
	}
	return ids
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
func (p *Pool) FreeMB() int {
	free := 0
	for _, at := range p.instances {
		free += at.memory - at.used
	}
	for _, b := range p.evictable {
		free += b.memory
	}
	return free
}

// room returns the oldest instance with mb to spare: young ones run empty and
// are given back.
func (p *Pool) room(mb int) *place {
	for _, at := range p.order {
		if !at.removing && at.memory-at.used >= mb {
			return at
		}
	}
	return nil
}

// makeRoom evicts waiting sandboxes, the least priority first, until one
// instance has mb to spare. When no instance can have it nothing is evicted.
func (p *Pool) makeRoom(mb int, now time.Time) (*place, []string) {
	could := map[*place]int{}
	var at *place
	var tried []*box
	for p.evictable.Len() > 0 && at == nil {
		b := heap.Pop(&p.evictable).(*box)
		tried = append(tried, b)
		if b.instance.removing {
			continue
		}
		could[b.instance] += b.memory
		if b.instance.memory-b.instance.used+could[b.instance] >= mb {
			at = b.instance
		}
	}
	var victims []string
	for _, b := range tried {
		if at == nil || b.instance != at {
			heap.Push(&p.evictable, b)
			continue
		}
		// Greedy-Dual: the clock is the priority of the last one evicted, so
		// that what was used long ago ages against what is used now.
		p.clock = max(p.clock, b.priority)
		victims = append(victims, b.id)
		p.drop(b, now)
	}
	return at, victims
}

// evictHeap orders waiting sandboxes by priority, then by age.
type evictHeap []*box

func (h evictHeap) Len() int { return len(h) }

func (h evictHeap) Less(i, j int) bool {
	if h[i].priority != h[j].priority {
		return h[i].priority < h[j].priority
	}
	return h[i].lastUsed.Before(h[j].lastUsed)
}

func (h evictHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *evictHeap) Push(x any) {
	b := x.(*box)
	b.index = len(*h)
	*h = append(*h, b)
}

func (h *evictHeap) Pop() any {
	old := *h
	b := old[len(old)-1]
	old[len(old)-1] = nil
	b.index = -1
	*h = old[:len(old)-1]
	return b
}
