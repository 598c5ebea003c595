package thermocline

import "time"

// Pace is how fast time goes for those who decide: for rates, keep-alives,
// dwell times and all that they remember. A trace that is replayed ten times as
// fast needs them ten times as fast, or it would show another system. The zero
// value is the clock's own pace.
type Pace struct {
	Origin time.Time // where both clocks agree
	Factor float64   // seconds for the policies in one of the clock; 0 is 1
}

// Policy returns what the policies take for the clock's t.
func (p Pace) Policy(t time.Time) time.Time {
	if p.same() || t.IsZero() {
		return t
	}
	return p.Origin.Add(p.Stretch(t.Sub(p.Origin)))
}

// Clock returns the clock's time of what is t for the policies.
func (p Pace) Clock(t time.Time) time.Time {
	if p.same() || t.IsZero() {
		return t
	}
	return p.Origin.Add(time.Duration(float64(t.Sub(p.Origin)) / p.Factor))
}

// Stretch returns how long d of the clock is for the policies.
func (p Pace) Stretch(d time.Duration) time.Duration {
	if p.same() {
		return d
	}
	return time.Duration(float64(d) * p.Factor)
}

func (p Pace) same() bool { return p.Factor == 0 || p.Factor == 1 }
