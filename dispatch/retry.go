package dispatch

import (
	"context"
	"errors"
	"time"

	"thermocline"
)

// Retry is what an event's failure leads to. Zero fields take the defaults.
type Retry struct {
	// Delays are the pauses before the second, third, … attempt: 1 and 2 min,
	// three attempts in all.
	Delays []time.Duration
	// BackOffMin and BackOffMax bound the exponential back-off of an event
	// that nobody had room for: 1 s, 5 min.
	BackOffMin, BackOffMax time.Duration
}

// Complete returns r with its defaults.
func (r Retry) Complete() Retry {
	if r.Delays == nil {
		r.Delays = []time.Duration{time.Minute, 2 * time.Minute}
	}
	if r.BackOffMin == 0 {
		r.BackOffMin = time.Second
	}
	if r.BackOffMax == 0 {
		r.BackOffMax = 5 * time.Minute
	}
	return r
}

// Verdict is what becomes of an event after Handle has returned.
type Verdict int

// The verdicts.
const (
	EventDone    Verdict = iota // it ran: acknowledge
	EventAgain                  // it failed: another attempt after the delay
	EventGivenUp                // it failed for the last time: acknowledge
	EventBack                   // it did not run: back after the delay, no attempt is used
)

// Decide says what becomes of an event, and after which delay. attempt counts
// its runs from 1, refusals those times that it went back. An error of
// KindRefused, KindThrottled, KindUnavailable or KindExpired, or a cancelled
// context (our end, not the event's), uses no attempt; every other error does,
// as does a function error.
func (r Retry) Decide(attempt, refusals int, res *thermocline.Result, err error) (Verdict, time.Duration) {
	if err == nil && res != nil && res.FunctionError == "" {
		return EventDone, 0
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return EventBack, 0
		}
		switch thermocline.KindOf(err) {
		case thermocline.KindRefused, thermocline.KindThrottled, thermocline.KindUnavailable, thermocline.KindExpired:
			return EventBack, r.backOff(refusals)
		}
	}
	if i := max(attempt, 1) - 1; i < len(r.Delays) {
		return EventAgain, r.Delays[i]
	}
	return EventGivenUp, 0
}

func (r Retry) backOff(refusals int) time.Duration {
	d := r.BackOffMin
	for ; refusals > 0 && d < r.BackOffMax; refusals-- {
		d *= 2
	}
	return min(d, r.BackOffMax)
}
