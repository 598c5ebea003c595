package simulate

import (
	"cmp"
	"math"
	"slices"
)

// random sends each request to any machine.
type random struct{ c *cluster }

func (p *random) setup(c *cluster) { p.c = c }

func (p *random) pick(*request) int32 {
	for {
		if at := int32(p.c.decide.below(len(p.c.machines))); !p.c.machines[at].dead {
			return at
		}
	}
}

func (p *random) state() (int64, float64) { return 0, 0 }

// leastLoaded sends each request to a machine with the fewest that run and wait
// there, any of them.
type leastLoaded struct{ c *cluster }

func (p *leastLoaded) setup(c *cluster) { p.c = c }

func (p *leastLoaded) pick(req *request) int32 { return p.c.leastOf(req, nil) }

func (p *leastLoaded) state() (int64, float64) {
	return int64(loadBytes * len(p.c.machines)), p.c.view.messages()
}

// loadBytes is what it takes to know a machine's load.
const loadBytes = 8

// leastOf returns a machine with the least load of those that are wanted (nil:
// all), any of them; none when there is none.
func (c *cluster) leastOf(req *request, wanted func(at int32) bool) int32 {
	best, least, ties := int32(none), int32(math.MaxInt32), 0
	for i := range c.machines {
		at := int32(i)
		if c.machines[i].dead || wanted != nil && !wanted(at) {
			continue
		}
		load := c.view.load(req.frontend, at)
		switch {
		case load < least:
			best, least, ties = at, load, 1
		case load == least:
			if ties++; c.decide.below(ties) == 0 {
				best = at
			}
		}
	}
	return best
}

// points is how many places a machine has on the ring.
const points = 128

// ring is consistent hashing (Karger et al., STOC '97): a function's machines
// are those that follow its hash on a ring, on which each machine has many
// places.
type ring struct {
	order [][]int16 // by function: the machines alive, as they follow
}

func (p *ring) setup(c *cluster) {
	type place struct {
		at      uint64
		machine int16
	}
	var places []place
	for i := range c.machines {
		if c.machines[i].dead {
			continue
		}
		for k := range points {
			places = append(places, place{mix(uint64(i)<<32 | uint64(k) + 1), int16(i)})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.at, b.at) })
	p.order = make([][]int16, len(c.trace.Functions))
	seen := make([]int32, len(c.machines))
	for f := range p.order {
		h := hash(c.trace.Functions[f].ID)
		from, _ := slices.BinarySearchFunc(places, h, func(a place, h uint64) int { return cmp.Compare(a.at, h) })
		for k := range places {
			m := places[(from+k)%len(places)].machine
			if seen[m] != int32(f)+1 {
				seen[m] = int32(f) + 1
				p.order[f] = append(p.order[f], m)
			}
			if len(p.order[f]) == c.alive {
				break
			}
		}
	}
}

// consistentHash sends a function's requests to the first machine on the ring,
// however loaded it is.
type consistentHash struct {
	c *cluster
	ring
}

func (p *consistentHash) setup(c *cluster) {
	p.c = c
	p.ring.setup(c)
}

func (p *consistentHash) pick(req *request) int32 { return int32(p.order[req.function][0]) }

func (p *consistentHash) state() (int64, float64) {
	return int64(points * 12 * len(p.c.machines)), 0
}

// bound is c of the bounded load.
const bound = 1.25

// boundedHash is consistent hashing with bounded loads (Mirrokni, Thorup,
// Zadimoghaddam, SODA '18; for functions: Fuerst, Sharma, HPDC '22): the first
// machine on the ring whose load stays within c times the mean.
type boundedHash struct {
	c *cluster
	ring
}

func (p *boundedHash) setup(c *cluster) {
	p.c = c
	p.ring.setup(c)
}

func (p *boundedHash) pick(req *request) int32 {
	total := 0
	order := p.order[req.function]
	if p.c.view.stale {
		for _, at := range order {
			total += int(p.c.view.load(req.frontend, int32(at)))
		}
	} else {
		total = p.c.running
	}
	most := int32(math.Ceil(bound * float64(total+1) / float64(len(order))))
	for _, at := range order {
		if p.c.view.load(req.frontend, int32(at))+1 <= most {
			return int32(at)
		}
	}
	return int32(order[0])
}

func (p *boundedHash) state() (int64, float64) {
	return int64((points*12 + loadBytes) * len(p.c.machines)), p.c.view.messages()
}

// openWhisk is the sharding container pool balancer of Apache OpenWhisk: home =
// hash mod n; from there in steps of a size that is coprime to n, also by hash,
// to the first machine with a free slot and with memory that is not in use by
// running ones; any machine when there is none.
type openWhisk struct {
	c     *cluster
	alive []int32
	steps []int // coprime to the number of those alive
}

func (p *openWhisk) setup(c *cluster) {
	p.c = c
	p.alive, p.steps = p.alive[:0], p.steps[:0]
	for i := range c.machines {
		if !c.machines[i].dead {
			p.alive = append(p.alive, int32(i))
		}
	}
	for s := 1; s <= len(p.alive); s++ {
		if coprime(s, len(p.alive)) {
			p.steps = append(p.steps, s)
		}
	}
}

func coprime(a, b int) bool {
	for b != 0 {
		a, b = b, a%b
	}
	return a == 1
}

func (p *openWhisk) pick(req *request) int32 {
	c := p.c
	n := len(p.alive)
	h := hash(c.trace.Functions[req.function].ID)
	at, step := int(h%uint64(n)), p.steps[h>>32%uint64(len(p.steps))]
	mb := c.memory[req.function]
	for range n {
		m := p.alive[at]
		if int(c.view.load(req.frontend, m)) < c.o.Slots && (c.view.stale || int(c.machines[m].busy+mb) <= c.o.MemoryMB) {
			return m
		}
		at = (at + step) % n
	}
	return p.alive[c.decide.below(n)]
}

func (p *openWhisk) state() (int64, float64) {
	return int64(loadBytes * len(p.c.machines)), p.c.view.messages()
}

// hiku is pull-based scheduling (Akbari, Hauswirth: Hiku, CCGrid '25): a machine
// that has finished an invocation stands in its function's queue as one with an
// idle sandbox, until that is used or gone. A request goes to the machine in
// the queue with the fewest requests, else to the one with the fewest of all.
type hiku struct{ c *cluster }

func (p *hiku) setup(c *cluster) { p.c = c }

func (p *hiku) pick(req *request) int32 {
	c := p.c
	at := c.leastOf(req, func(at int32) bool {
		return c.view.idle(req.frontend, req.function, at) && int(c.view.load(req.frontend, at)) < c.o.Slots
	})
	if at == none {
		return c.leastOf(req, nil)
	}
	c.view.took(req.frontend, req.function, at)
	return at
}

// state: an entry of a queue is a function and a machine. Each end of an
// invocation and each sandbox that goes is told to every frontend.
func (p *hiku) state() (int64, float64) {
	c := p.c
	bytes := int64(loadBytes*len(c.machines) + 12*c.idleMost)
	if c.view.stale {
		return bytes, c.view.messages()
	}
	pulls := float64(c.ends+c.dropped) * float64(c.o.Frontends) / float64(max(1, c.arrivals))
	return bytes, pulls + c.view.messages()
}
