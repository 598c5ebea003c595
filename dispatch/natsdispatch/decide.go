package natsdispatch

import (
	"context"
	"errors"
	"time"

	"thermocline"
)

// verdict is what becomes of an event that Handle has returned.
type verdict int

const (
	verdictDone    verdict = iota // it ran: acknowledge
	verdictRetry                  // it failed: store its next attempt, then acknowledge
	verdictGiveUp                 // it failed for the last time: acknowledge
	verdictBackOff                // it did not run: give it back, no attempt is used
)

type decision struct {
	what  verdict
	delay time.Duration // verdictRetry and verdictBackOff
}

// decide says what becomes of an event. attempt counts from 1; deliveries is
// the server's count and only stretches the back-off.
func decide(o Options, attempt int, deliveries uint64, res *thermocline.Result, err error, ending bool) decision {
	if err == nil && res != nil && res.FunctionError == "" {
		return decision{what: verdictDone}
	}
	if err != nil {
		if ending || errors.Is(err, context.Canceled) {
			return decision{what: verdictBackOff} // our end, not the event's
		}
		switch thermocline.KindOf(err) {
		case thermocline.KindRefused, thermocline.KindThrottled, thermocline.KindUnavailable, thermocline.KindExpired:
			return decision{what: verdictBackOff, delay: backOff(o, deliveries)}
		}
	}
	if i := max(attempt, 1) - 1; i < len(o.RetryDelays) {
		return decision{what: verdictRetry, delay: o.RetryDelays[i]}
	}
	return decision{what: verdictGiveUp}
}

// backOff doubles from BackOffMin at the first delivery up to BackOffMax.
func backOff(o Options, deliveries uint64) time.Duration {
	d := o.BackOffMin
	for n := uint64(1); n < deliveries && d < o.BackOffMax; n++ {
		d *= 2
	}
	return min(d, o.BackOffMax)
}
