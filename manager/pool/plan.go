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
// S is what the level's own idle times show, mixed with a prior. The prior is
// that calls come at random at an unknown rate with a Gamma distribution of
// shape a and rate b, for which idle times have the distribution of Lomax (the
// Gamma–Poisson mixture): S(t) = (1 + t/b)^−a.
const (
	binCount = 240 // of Config.Bin each: four hours
	// prepareCost is what a preparation costs, as a share of a cold start: it
	// takes no one's time, and most often a sandbox of the warming pool.
	prepareCost = 0.02
	// fewIdles idle times are little knowledge.
	fewIdles = 8
	// replan is by how much the number of idle times grows before a plan is
	// made anew.
	replan = 17.0 / 16
	// sureCount idle times that are short on average need no plan: the rate
	// alone says how long.
	sureCount = 50
)

// prior is what is thought of a level before its idle times say more.
type prior struct {
	shape, bins float64 // a, and b in bins
	weight      float64 // as many idle times as it is worth in S
	growth      float64 // how much of a call each idle time counts in the prior
}

// Whether a function is called at all follows patterns (timers) or a rate of its
// own, so its first level learns fast. How many calls come together does not:
// the largest crowd so far says little about when the next one comes, and its
// level is kept by how long such levels last in general.
var (
	firstPrior = prior{shape: 3, bins: 30, weight: 2, growth: 0.25}
	crowdPrior = prior{shape: 2, bins: 30, weight: 8, growth: 0}
)

func priorOf(level int) *prior {
	if level == 0 {
		return &firstPrior
	}
	return &crowdPrior
}

// plan decides when the level stops being wanted, begins again, and stops.
func (p *Pool) plan(f *function, l *level) {
	prior := priorOf(f.running)
	l.flip, l.flips = 0, [maxFlips]int64{}
	if p.c.Fixed {
		l.flips[0] = l.since + int64(p.c.KeepAlive)
		return
	}
	gb := float64(max(1, f.need.MemoryMB)) / 1000
	bin := p.c.Bin.Seconds()
	if l.n >= sureCount && l.total < l.n*bin/12 {
		// The hazard of the Gamma–Poisson mixture, (a+n)/(b+t), falls below the
		// price of memory at this t.
		keep := p.c.Worth*(prior.shape+l.n)/gb - prior.bins*bin - l.total
		l.flips[0] = l.since + int64(p.clamp(keep, p.least(f, l)))
		return
	}
	if l.planned == 0 || l.n+1 > l.planned*replan {
		var s survival
		s.estimate(l, prior, bin)
		l.bins = s.best(p.c.Worth, gb*bin)
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

func (p *Pool) clamp(seconds float64, least time.Duration) time.Duration {
	if seconds >= p.c.KeepAliveMax.Seconds() {
		return p.c.KeepAliveMax
	}
	return max(least, time.Duration(seconds*float64(time.Second)))
}

// least is how long a sandbox is kept whatever the plan says: not to be started
// again within moments, and, while little is known of the function, for as long
// as somebody who tries it out would expect.
func (p *Pool) least(f *function, l *level) time.Duration {
	if f.running == 0 && l.n < fewIdles {
		return p.c.KeepAliveMin
	}
	return min(p.c.KeepAliveMin, p.c.Bin/6)
}

// survival is S at the beginning of each bin.
type survival [binCount + 1]float64

func (s *survival) estimate(l *level, p *prior, bin float64) {
	var count [binCount + 2]float64
	for _, b := range l.last[:l.held] {
		count[b]++
	}
	n := float64(l.held)
	s.lomax(p.shape+p.growth*l.n, p.bins+p.growth*l.total/bin)
	left := n
	for i := range s {
		s[i] = (left + p.weight*s[i]) / (n + p.weight)
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

// lomax fills in (1 + i/scale)^−shape: exactly at every eighth bin, and between
// them by halving: with l, r = m∓h, S(m) = √(S(l)·S(r)) · (1 − (h/(scale+m))²)^(shape/2).
func (s *survival) lomax(shape, scale float64) {
	s[0] = 1
	middle := func(m, h int) {
		x := float64(h) / (scale + float64(m))
		y := shape / 2 * x * x
		s[m] = math.Sqrt(s[m-h]*s[m+h]) / (1 + y + y*y/2) // (1−x²)^(shape/2) ≈ e^−y
	}
	for i := 0; i < binCount; i += 8 {
		s[i+8] = math.Exp(-shape * math.Log1p(float64(i+8)/scale))
		middle(i+4, 4)
		middle(i+2, 2)
		middle(i+6, 2)
		for k := i + 1; k < i+8; k += 2 {
			middle(k, 1)
		}
	}
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
