package history

import (
	"math"
	"time"

	"thermocline"
)

// The half-lives, and the length of an epoch. Both half-lives must divide the
// epoch, and 2^(epoch/minute) must be far inside a float64.
const (
	halfMinute = time.Minute
	halfHour   = time.Hour
	epochLen   = time.Hour

	minutesPerEpoch = int(epochLen / halfMinute)
	hoursPerEpoch   = int(epochLen / halfHour)

	// beyond this many epochs nothing is left of a sum.
	maxEpochs = 1100

	// maxDuration bounds what one invocation may add to the sum of durations.
	maxDuration = 24 * time.Hour
)

// counters are what one slot knows of one function. Sums are relative to the
// beginning of their epoch.
type counters struct {
	epoch    int64   // hours since 1970
	minute   float64 // starts, half-life of a minute
	hour     float64 // starts, half-life of an hour
	ended    float64 // ends, half-life of an hour
	duration float64 // seconds that the ended ones took, half-life of an hour
	started  int64
	finished int64
	last     int64 // the latest start, Unix ns
}

// epochOf returns the epoch of a Unix time in ns, rounding down also before
// 1970.
func epochOf(ns int64) int64 {
	e := ns / int64(epochLen)
	if ns%int64(epochLen) < 0 {
		e--
	}
	return e
}

// weights returns what an event at ns weighs in the sums of an epoch.
func weights(epoch, ns int64) (minute, hour float64) {
	x := float64(ns-epoch*int64(epochLen)) / float64(halfHour)
	return math.Exp2(x * float64(halfHour/halfMinute)), math.Exp2(x)
}

// rescale moves sums by d epochs (into the future when positive). The factors
// are powers of two, so nothing is rounded and a maximum taken before equals
// one taken after.
func rescale(d int64, minute, hour float64) (m, h float64) {
	switch {
	case d == 0:
		return minute, hour
	case d > maxEpochs:
		return 0, 0
	}
	return math.Ldexp(minute, -int(d)*minutesPerEpoch), math.Ldexp(hour, -int(d)*hoursPerEpoch)
}

// advance moves the sums to a later epoch. A clock that went back leaves the
// epoch as it is: events then weigh less than one.
func (c *counters) advance(epoch int64) {
	d := epoch - c.epoch
	if d <= 0 {
		return
	}
	c.minute, c.hour = rescale(d, c.minute, c.hour)
	_, c.ended = rescale(d, 0, c.ended)
	_, c.duration = rescale(d, 0, c.duration)
	c.epoch = epoch
}

func (c *counters) start(ns int64) {
	c.advance(epochOf(ns))
	m, h := weights(c.epoch, ns)
	c.minute += m
	c.hour += h
	c.started++
	c.last = max(c.last, ns)
}

func (c *counters) finish(ns int64, d time.Duration) {
	c.advance(epochOf(ns))
	_, h := weights(c.epoch, ns)
	c.ended += h
	c.duration += h * min(max(d, 0), maxDuration).Seconds()
	c.finished++
}

// merge takes the maximum of each value. It reports whether c changed.
func (c *counters) merge(o counters) bool {
	before := *c
	c.advance(o.epoch)
	o.advance(c.epoch)
	c.minute = max(c.minute, o.minute)
	c.hour = max(c.hour, o.hour)
	c.ended = max(c.ended, o.ended)
	c.duration = max(c.duration, o.duration)
	c.started = max(c.started, o.started)
	c.finished = max(c.finished, o.finished)
	c.last = max(c.last, o.last)
	return *c != before
}

// absorb adds a slot that counts no more. What was running there is over.
func (c *counters) absorb(o counters) {
	c.advance(o.epoch)
	o.advance(c.epoch)
	c.minute += o.minute
	c.hour += o.hour
	c.ended += o.ended
	c.duration += o.duration
	c.started += o.started
	c.finished += o.started
	c.last = max(c.last, o.last)
}

// running is the number of invocations that started and have not ended.
func (c *counters) running() int64 { return max(0, c.started-c.finished) }

// total adds up the slots of one function.
type total struct {
	counters
	concurrency int64
}

func (t *total) add(c *counters, alive bool) {
	d := t.epoch - c.epoch
	m, h := rescale(d, c.minute, c.hour)
	t.minute += m
	t.hour += h
	_, e := rescale(d, 0, c.ended)
	_, s := rescale(d, 0, c.duration)
	t.ended += e
	t.duration += s
	t.started += c.started
	t.last = max(t.last, c.last)
	if alive {
		t.concurrency += c.running()
	}
}

// usage decays the sums to ns. The rates are λ = (ln 2 / h) · count.
func (t *total) usage(ns int64) thermocline.Usage {
	m, h := weights(t.epoch, ns)
	u := thermocline.Usage{
		CountMinute: t.minute / m,
		CountHour:   t.hour / h,
		Concurrency: float64(t.concurrency),
		Total:       t.started,
	}
	u.RateMinute = u.CountMinute * (math.Ln2 / halfMinute.Seconds())
	u.RateHour = u.CountHour * (math.Ln2 / halfHour.Seconds())
	if t.ended > 0 {
		mean := t.duration / t.ended
		u.MeanDuration = time.Duration(math.Round(mean * float64(time.Second)))
		u.Offered = u.RateMinute * mean
	}
	if t.last != 0 {
		u.Last = time.Unix(0, t.last)
	}
	return u
}
