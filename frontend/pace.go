package frontend

import (
	"time"

	"thermocline"
)

// pacedHistory is the history at the policies' pace: the frontend speaks of the
// clock's time, and this translates.
type pacedHistory struct {
	History
	pace thermocline.Pace
}

func (h pacedHistory) Started(id thermocline.FunctionID, now time.Time) {
	h.History.Started(id, h.pace.Policy(now))
}

func (h pacedHistory) Finished(id thermocline.FunctionID, duration time.Duration, now time.Time) {
	h.History.Finished(id, h.pace.Stretch(duration), h.pace.Policy(now))
}

func (h pacedHistory) Usage(id thermocline.FunctionID, now time.Time) thermocline.Usage {
	return h.History.Usage(id, h.pace.Policy(now))
}

func (h pacedHistory) Each(now time.Time, f func(thermocline.FunctionID, thermocline.Usage) bool) {
	h.History.Each(h.pace.Policy(now), f)
}
