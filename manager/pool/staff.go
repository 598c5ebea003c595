package pool

import (
	"time"

	"thermocline/manager/autoscale"
)

// staffBins is how long what is staffed waits to be used, in bins.
const staffBins = 2

// staff is called when an invocation of f found no warm sandbox: a frequent
// function gets at once what square-root staffing says (autoscale), so that a
// rising load does not pay a cold start for every step. Taking away is the
// levels' part: what was used is kept for as long as it is worth it.
func (p *Pool) staff(f *function, now time.Time) {
	if p.c.Staff == nil {
		return
	}
	if f.scale == nil {
		f.scale = autoscale.NewFunction(p.c.Staff, now)
		f.scale.Observe(f.running, now)
		return
	}
	if want := f.scale.Wish(f.boxes, now).Sandboxes; want > f.boxes {
		p.expect(f, min(want, maxLevels), now.UnixNano())
		p.prepare(f, want-f.boxes)
	}
}

// expect has the first n levels wanted for a while.
func (p *Pool) expect(f *function, n int, now int64) {
	until := now + staffBins*int64(p.c.Bin)
	for k := f.running; k < n; k++ {
		if k == len(f.levels) {
			f.levels = append(f.levels, level{since: now, unused: true})
		}
		if l := &f.levels[k]; l.since != 0 && (!l.wanted() || l.due() != 0 && l.due() < until) {
			l.flip, l.flips = 0, [maxFlips]int64{until}
		}
	}
	if f.due == 0 || until < f.due {
		p.schedule(f, until)
	}
}

func (p *Pool) observe(f *function, now int64) {
	if f.scale != nil {
		f.scale.Observe(f.running, time.Unix(0, now))
	}
}
