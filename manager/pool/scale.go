package pool

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	// peakBins is over how many bins the peak of running invocations is taken.
	peakBins = 10
	// slotShare and memoryShare are how full the instances are at most wanted
	// to be: a function's waiting sandbox is of no use where no slot is free, and
	// memory must be left for what comes.
	slotShare   = 0.7
	memoryShare = 0.9
	// settle is how long instances must have been too many before one is left,
	// in bins.
	settle = 2
)

// peaks remembers the largest number of invocations that ran at once.
type peaks struct {
	of [peakBins]int32 // by bin, a ring
	at int64           // the number of the newest bin
}

func (k *peaks) note(n int, bin int64) {
	k.advance(bin)
	slot := &k.of[bin%peakBins]
	*slot = max(*slot, int32(n))
}

func (k *peaks) advance(bin int64) {
	if bin-k.at >= peakBins {
		k.of = [peakBins]int32{}
		k.at = bin
	}
	for k.at < bin {
		k.at++
		k.of[k.at%peakBins] = 0
	}
}

func (k *peaks) peak(n int, bin int64) int {
	k.advance(bin)
	for _, p := range k.of {
		n = max(n, int(p))
	}
	return n
}

func (p *Pool) bin(now int64) int64 { return now / int64(p.c.Bin) }

// wish is how many instances the pool should have for what it holds and for
// what ran lately.
func (p *Pool) wish(now int64) int {
	stay, memory := 0, 0
	for _, at := range p.order {
		if !at.removing {
			stay++
			memory += at.memory
		}
	}
	if stay == 0 {
		return 0
	}
	n := 0
	if p.usedMB > 0 {
		n = int(math.Ceil(float64(p.usedMB) / (memoryShare * float64(memory) / float64(stay))))
	}
	if p.c.Slots > 0 {
		peak := p.peaks.peak(p.serving, p.bin(now))
		n = max(n, int(math.Ceil(float64(peak)/(slotShare*float64(p.c.Slots)))))
	}
	return n
}

// Scale fits the number of instances to the load, and returns how many more the
// manager should acquire if it can. Where there were too many for a while it has
// the least useful one left: nothing new starts there, and what waits there is
// prepared elsewhere (Ahead) before it goes (Expire). IdleInstances returns it
// when it is empty. Call it when Next says so, and after cold starts.
func (p *Pool) Scale(now time.Time) (acquire int) {
	ns := now.UnixNano()
	if ns < p.scaleAt {
		return 0
	}
	p.scaleAt = ns + int64(p.c.Bin)/6
	stay := 0
	for _, at := range p.order {
		if !at.removing && !at.leaving {
			stay++
		}
	}
	wish := p.wish(ns)
	if wish >= stay {
		p.spacious = 0
		for _, at := range p.order { // those that are being left come back first
			if wish > stay && at.leaving && !at.removing {
				at.leaving = false
				stay++
			}
		}
		return wish - stay
	}
	if p.spacious == 0 {
		p.spacious = ns
	}
	if stay > 1 && ns-p.spacious >= settle*int64(p.c.Bin) {
		p.spacious = ns
		p.leave(ns)
	}
	return 0
}

// leave begins to leave the instance with the least in it.
func (p *Pool) leave(now int64) {
	var least *place
	for _, at := range p.order {
		if !at.removing && !at.leaving && (least == nil || at.serving < least.serving ||
			at.serving == least.serving && at.used < least.used) {
			least = at
		}
	}
	least.leaving = true
	for _, b := range p.inOrder() {
		if b.instance != least {
			continue
		}
		b.moving = b.state == idle
		switch b.state {
		case idle:
			p.prepare(b.function, 1)
		case unbound:
			p.expiring.remove(b)
			b.expires = now
			p.expiring.push(b)
		}
	}
}

// inOrder returns all sandboxes in the order of their names.
func (p *Pool) inOrder() []*box {
	all := make([]*box, 0, len(p.boxes))
	for _, b := range p.boxes {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *box) int { return cmp.Compare(a.id, b.id) })
	return all
}
