package pool

import (
	"math"
	"time"
)

const (
	// coldHalf is the half-life of the count of cold starts.
	coldHalf = 10 * time.Minute
	// spareWorth is what a spare saves of a cold start's price: it does not save
	// the cold start, it makes it short.
	spareWorth = 0.3
	// headroom is β of the square-root rule.
	headroom = 2
	// bootGuess is what a boot is thought to take before one was timed.
	bootGuess = time.Second
	// maxClasses bounds the classes that are remembered.
	maxClasses = 256
)

// class is what a sandbox of the warming pool is for. An interpreter sizes its
// heap when it boots, so memory is part of it.
type class struct {
	runtime  string
	memoryMB int
}

// warming is the warming pool of one class.
type warming struct {
	class
	ready   list[box]
	booting int // started without a function, not ready yet
	floor   int // wanted in any case

	count float64 // cold starts that it could serve, decayed
	at    int64   // the time of count, Unix ns
	boot  float64 // seconds, a moving mean; 0: unknown
}

// Spare is a number of sandboxes of one class.
type Spare struct {
	Runtime  string
	MemoryMB int
	N        int
}

// SetSpares replaces the Config's Spares.
func (p *Pool) SetSpares(list []Spare) {
	for _, w := range p.warmOrder {
		w.floor = 0
	}
	for _, s := range list {
		p.class(s.Runtime, s.MemoryMB).floor += max(0, s.N)
	}
}

func (p *Pool) class(runtime string, memoryMB int) *warming {
	k := class{runtime, memoryMB}
	if w := p.classes[k]; w != nil {
		return w
	}
	if len(p.classes) >= maxClasses {
		p.loseClass()
	}
	w := &warming{class: k}
	p.classes[k] = w
	p.warmOrder = append(p.warmOrder, w)
	return w
}

// loseClass forgets the first class that nothing speaks for. A sandbox of it
// that is bound keeps its own pointer and is no part of the warming pool.
func (p *Pool) loseClass() {
	victim := -1
	for i, w := range p.warmOrder {
		if w.ready.n > 0 || w.booting > 0 || w.floor > 0 {
			continue
		}
		if victim < 0 || w.at < p.warmOrder[victim].at {
			victim = i
		}
	}
	if victim >= 0 {
		delete(p.classes, p.warmOrder[victim].class)
		p.warmOrder = append(p.warmOrder[:victim], p.warmOrder[victim+1:]...)
	}
}

// cold counts a start that found no warm sandbox of its function and that the
// warming pool served, or could have served.
func (w *warming) cold(now int64) {
	w.count = w.decayed(now) + 1
	w.at = now
}

func (w *warming) decayed(now int64) float64 {
	return w.count * math.Exp2(-float64(max(0, now-w.at))/float64(coldHalf))
}

func (w *warming) booted(took time.Duration) {
	if w.boot == 0 {
		w.boot = took.Seconds()
		return
	}
	w.boot += 0.2 * (took.Seconds() - w.boot)
}

// want returns how many sandboxes should be ready: enough for the cold starts
// that come, at their recent rate λ, while a replacement boots for B:
// ⌈λB + β√(λB)⌉, and none when those that it would serve are not worth the
// memory that it takes to wait for them. worth is the price of a cold start, in
// GB·s.
func (w *warming) want(worth float64, now int64) int {
	rate := w.decayed(now) * math.Ln2 / coldHalf.Seconds()
	if rate*spareWorth*worth < float64(w.memoryMB)/1000 {
		return w.floor
	}
	boot := w.boot
	if boot == 0 {
		boot = bootGuess.Seconds()
	}
	load := rate * boot
	return max(w.floor, int(math.Ceil(load+headroom*math.Sqrt(load))))
}

// Refill returns what to boot for the warming pool now, as far as its memory
// bound and the free memory of instances go; nothing is evicted for it. For
// each, call Add with a zero Function on the instance that Room names, start
// it, then Started and Release. Call it after Acquire has answered Specialise
// or Start, and now and then.
func (p *Pool) Refill(now time.Time) []Spare {
	total := p.memory()
	budget := p.c.WarmMB
	if budget == 0 {
		budget = total / 8
		floor := 0
		for _, w := range p.warmOrder {
			floor += w.floor * w.memoryMB
		}
		budget = max(budget, floor)
	}
	free := 0
	for _, at := range p.order {
		if !at.removing {
			free += at.free()
		}
	}
	for _, w := range p.warmOrder {
		budget -= (w.ready.n + w.booting) * w.memoryMB
	}
	budget = min(budget, free)
	var plan []Spare
	for _, w := range p.warmOrder {
		n := w.want(p.c.Worth, now.UnixNano()) - w.ready.n - w.booting
		if w.memoryMB > 0 {
			n = min(n, budget/w.memoryMB)
		}
		if n > 0 && p.room(w.memoryMB) != nil {
			budget -= n * w.memoryMB
			plan = append(plan, Spare{Runtime: w.runtime, MemoryMB: w.memoryMB, N: n})
		}
	}
	return plan
}
