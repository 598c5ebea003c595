package pool

import "time"

// level is one step of a function's concurrency. Level 0 is in use while any
// invocation runs, level 1 while at least two do, and so on: with the sandboxes
// used last in, first out, level k is what the (k+1)-th of them is needed for.
// So the question how long each sandbox is kept, and how many a function has,
// is one question: until when a level is worth a sandbox. Times are Unix ns.
type level struct {
	since int64 // its latest use ended; 0 while it is in use
	n     int   // idle times so far
	last  [ringSize]uint8
	held  uint8 // of last
	next  uint8 // the place in last to write

	bins    [maxFlips]uint8 // the plan, see survival.best
	planned int             // n+1 when it was made, 0: never

	flips [maxFlips]int64 // when it stops or begins to be wanted, 0: never
	flip  uint8           // of these, how many are past

	unused bool // expected and not used yet: its idle time means nothing
}

const (
	// ringSize is how many idle times are remembered one by one.
	ringSize = 32
	// maxFlips bounds a plan: kept, let go, prepared again, let go for good.
	maxFlips = 3
	// maxLevels bounds what is remembered of a function. Its sandboxes beyond
	// are kept as the last level is.
	maxLevels = 1024
)

// wanted says whether a sandbox should wait for the level now.
func (l *level) wanted() bool { return l.since == 0 || l.flip%2 == 0 }

// due is the next flip, 0 when there is none.
func (l *level) due() int64 {
	if l.since == 0 || int(l.flip) >= maxFlips {
		return 0
	}
	return l.flips[l.flip]
}

// idled notes an idle time.
func (l *level) idled(ns int64, bin time.Duration) {
	d := max(0, time.Duration(ns-l.since))
	l.since = 0
	if l.unused {
		l.unused = false
		return
	}
	l.n++
	l.last[l.next] = uint8(min(int64(d/bin), binCount))
	l.next = (l.next + 1) % ringSize
	l.held = min(l.held+1, ringSize)
}

// rise notes that one more invocation of the function runs.
func (p *Pool) rise(f *function, now int64) {
	k := f.running
	f.running++
	p.observe(f, now)
	if k >= maxLevels {
		return
	}
	if k == len(f.levels) {
		f.levels = append(f.levels, level{})
		return
	}
	if l := &f.levels[k]; l.since != 0 {
		l.idled(now, p.c.Bin)
	}
}

// fall notes that one invocation less runs, and decides until when its level is
// worth a sandbox.
func (p *Pool) fall(f *function, now int64) {
	f.running--
	p.observe(f, now)
	if f.running >= maxLevels {
		return
	}
	l := &f.levels[f.running]
	l.since = now
	p.plan(f, l)
	if due := l.due(); due != 0 && (f.due == 0 || due < f.due) {
		p.schedule(f, due)
	}
}

// schedule sets when the function's levels must be looked at.
func (p *Pool) schedule(f *function, due int64) {
	f.due = due
	switch {
	case due == 0:
		p.due.remove(f)
	case f.heap >= 0:
		p.due.fix(f.heap)
	default:
		p.due.push(f)
	}
}

// review passes the flips that are due and returns how many sandboxes should be
// there, and how many of them must be prepared because a level is wanted again.
func (p *Pool) review(f *function, now int64) (want, ahead int) {
	next := int64(0)
	for k := range f.levels {
		l := &f.levels[k]
		for due := l.due(); due != 0 && due <= now; due = l.due() {
			if l.flip++; l.flip%2 == 0 {
				ahead = k + 1
			}
		}
		if due := l.due(); due != 0 && (next == 0 || due < next) {
			next = due
		}
		if l.wanted() {
			want = k + 1
		}
	}
	p.schedule(f, next)
	return max(want, f.running), max(0, min(ahead, want)-f.boxes)
}
