package pool

import (
	"math"
	"time"
)

// A level that has become idle is worth a sandbox for as long as the cold start
// that it may save is worth more than the memory that waiting takes. With the
// survival function S of the level's idle time, the value P of a cold start and
// the memory m, waiting from t to t+dt is worth P·(S(t)−S(t+dt)) and costs
// m·S(t)·dt. Preparing a sandbox again before a predicted call has a price too.
// The best sequence of keeping, letting go and preparing is found backwards
// (dynamic programming) over bins of the idle time.
//
// S is what the level's latest idle times show, mixed with a prior: calls come at
// random at an unknown rate that has a Gamma distribution of shape a and rate b,
// for which idle times have the distribution of Lomax (the Gamma–Poisson
// mixture): S(t) = (1 + t/b)^−a. The prior does not learn. A level that was used
// every second for a day and is silent for an hour has changed its ways, and
// what it did before says nothing about when it will be used again.
const (
	binCount = 240 // of Config.Bin each: four hours
	// prepareCost is what a preparation costs, as a share of a cold start: it
	// takes no one's time, and most often a sandbox of the warming pool.
	prepareCost = 0.02
	// fewIdles idle times are little knowledge.
	fewIdles = 8
	// replan is how many idle times, at most, go by before a plan is made anew.
	replan = 8
)

// prior is what is thought of a level before its idle times say more.
type prior struct {
	survival survival
	weight   float64 // as many idle times as it is worth
}

// newPriors returns what is thought of a function's first level, and of the
// others. Whether a function is called at all follows patterns (timers) or a
// rate of its own, so that its own times soon count for most. How many calls
// come together does so much less: the largest crowd so far says little about
// when the next one comes.
func newPriors() (first, crowd *prior) {
	return &prior{lomax(3, 30), 2}, &prior{lomax(2, 30), 8}
}

// plan decides when the level stops being wanted, begins again, and stops.
func (p *Pool) plan(f *function, l *level) {
	l.flip, l.flips = 0, [maxFlips]int64{}
	if p.c.Fixed {
		l.flips[0] = l.since + int64(p.c.KeepAlive)
		return
	}
	if f.need.Guest {
		l.flips[0] = l.since + int64(p.shortest())
		return
	}
	if l.planned == 0 || l.n+1 > l.planned+min(l.planned/16, replan) {
		gb := float64(max(1, f.need.MemoryMB)) / 1000
		prior := p.crowd
		if f.running == 0 {
			prior = p.first
		}
		var s survival
		s.estimate(l, prior)
		l.bins = s.best(p.c.Worth, gb*p.c.Bin.Seconds())
		l.planned = l.n + 1
	}
	for i, at := range l.bins {
		if at != 0 {
			l.flips[i] = l.since + int64(at)*int64(p.c.Bin)
		}
	}
	l.flips[0] = max(l.flips[0], l.since+int64(p.least(f, l)))
	if l.bins[1] != 0 && l.flips[1] <= l.flips[0] {
		l.flips[0], l.flips[1], l.flips[2] = l.flips[2], 0, 0
	}
	if l.flips[0] == 0 || l.flips[0] > l.since+int64(p.c.KeepAliveMax) {
		l.flips = [maxFlips]int64{l.since + int64(p.c.KeepAliveMax)}
	}
}

// least is how long a sandbox is kept whatever the plan says: not to be started
// again within moments, and, while little is known of the function, for as long
// as somebody who tries it out would expect.
func (p *Pool) least(f *function, l *level) time.Duration {
	if f.running == 0 && l.n < fewIdles {
		return p.c.KeepAliveMin
	}
	return p.shortest()
}

func (p *Pool) shortest() time.Duration { return min(p.c.KeepAliveMin, p.c.Bin/6) }

// survival is S at the beginning of each bin.
type survival [binCount + 1]float64

func (s *survival) estimate(l *level, p *prior) {
	var count [binCount + 2]float64
	for _, b := range l.last[:l.held] {
		count[b]++
	}
	n := float64(l.held)
	left := n
	for i := range s {
		s[i] = (left + p.weight*p.survival[i]) / (n + p.weight)
		if i < binCount {
			// An idle time speaks for the bins beside its own too.
			here := count[i]/2 + count[i+1]/4
			if i == 0 {
				here += count[0] / 4
			} else {
				here += count[i-1] / 4
			}
			if i+1 == binCount { // beyond the last bin is never
				here -= count[i+1] / 4
			}
			left -= here
		}
	}
}

// lomax returns (1 + i/scale)^−shape for each bin i.
func lomax(shape, scale float64) (s survival) {
	for i := range s {
		s[i] = math.Pow(1+float64(i)/scale, -shape)
	}
	return s
}

// best returns the bins at whose beginning a level, wanted at first, stops,
// begins and stops to be worth a sandbox; 0 stands for no such bin, but for the
// first, where it means at once. worth is in GB·s, cost in GB·s per bin.
func (s *survival) best(worth, cost float64) (flips [maxFlips]uint8) {
	var drop, begin [binCount]bool
	kept, gone := 0.0, 0.0 // the values of having and of not having one from here on
	for i := binCount - 1; i >= 0; i-- {
		stay := worth*(s[i]-s[i+1]) - cost*(s[i]+s[i+1])/2 + kept
		again := stay - prepareCost*worth*s[i]
		drop[i], begin[i] = gone >= stay, again > gone
		kept, gone = max(stay, gone), max(again, gone)
	}
	have, n := true, 0
	for i := range binCount {
		if have && drop[i] || !have && begin[i] {
			flips[n] = uint8(i)
			have = !have
			if n++; n == maxFlips {
				return flips
			}
		}
	}
	if have {
		flips[n] = binCount
	}
	return flips
}
