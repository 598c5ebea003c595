package pool

import (
	"time"

	"thermocline/manager/autoscale"
)

// staff is called when an invocation of f found no warm sandbox: a frequent
// function gets at once what square-root staffing says (autoscale), so that a
// rising load does not pay a cold start for every step. Taking away is the
// levels' part: what a burst needed is kept for as long as it is worth it.
func (p *Pool) staff(f *function, now time.Time) {
	if p.c.Staff == nil {
		return
	}
	if f.scale == nil {
		f.scale = autoscale.NewFunction(p.c.Staff, now)
		f.scale.Observe(f.running, now)
		return
	}
	w := f.scale.Wish(f.boxes, now)
	p.prepare(f, w.Sandboxes-f.boxes)
}

func (p *Pool) observe(f *function, now int64) {
	if f.scale != nil {
		f.scale.Observe(f.running, time.Unix(0, now))
	}
}
