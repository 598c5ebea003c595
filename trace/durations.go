package trace

import (
	"fmt"
	"math"
	"time"
)

// percentiles are those that the trace gives.
var percentiles = [...]float64{0, 0.01, 0.25, 0.50, 0.75, 0.99, 1}

// maxDuration bounds a single invocation: a day.
const maxDuration = 24 * time.Hour

// DefaultDuration is what a function without a row in the durations file
// takes: the median of the trace's functions.
const DefaultDuration = 703 * time.Millisecond

// DefaultMemoryMB is the memory of a function without a row in the memory
// file: the median of the trace's applications.
const DefaultMemoryMB = 143

// Durations is the distribution of a function's durations, by its percentiles.
// The zero value is that of DefaultDuration always.
type Durations struct {
	ms    [len(percentiles)]float64
	shape float64 // of the parts above the third quartile
}

// NewDurations makes a distribution of the durations in ms at the 0th, 1st,
// 25th, 50th, 75th, 99th and 100th percentile, which must not fall. Between
// them its inverse is a straight line.
//
// With mean not 0, in ms, the parts above the third quartile are bent such that
// the mean is right: p75 + (p99 − p75)·x^k, and likewise up to the maximum, with
// one k ≥ 1. A straight line to a maximum a thousand times the 99th percentile
// makes the mean larger than the functions' real one; over the 500 functions of
// the Azure sample the load is 63 erlangs with straight lines, 52 really.
func NewDurations(ms [7]float64, mean float64) (Durations, error) {
	last := 0.0
	for _, v := range ms {
		if !(v >= last) { // not a number is not either
			return Durations{}, fmt.Errorf("durations fall from %g to %g ms between percentiles", last, v)
		}
		last = v
	}
	if most := float64(maxDuration.Milliseconds()); last > most || !(mean >= 0 && mean <= most) {
		return Durations{}, fmt.Errorf("a duration is over %g ms", most)
	}
	d := Durations{ms: ms, shape: 1}
	base, rest := 0.0, 0.0
	for i := 1; i < len(ms); i++ {
		width := percentiles[i] - percentiles[i-1]
		if percentiles[i] <= 0.75 {
			base += width * (ms[i-1] + ms[i]) / 2
			continue
		}
		base += width * ms[i-1]
		rest += width * (ms[i] - ms[i-1])
	}
	if mean > 0 && rest > 0 {
		// The mean is base + rest/(k+1).
		d.shape = 64
		if mean > base {
			d.shape = min(64, max(1, rest/(mean-base)-1))
		}
	}
	return d, nil
}

// At returns the duration below which the share u of the invocations stay, u
// in [0, 1].
func (d *Durations) At(u float64) time.Duration {
	if d.shape == 0 {
		return DefaultDuration
	}
	i := 1
	for i < len(percentiles)-1 && u > percentiles[i] {
		i++
	}
	x := (u - percentiles[i-1]) / (percentiles[i] - percentiles[i-1])
	if d.shape != 1 && percentiles[i] > 0.75 {
		x = math.Pow(x, d.shape)
	}
	ms := d.ms[i-1] + (d.ms[i]-d.ms[i-1])*x
	return time.Duration(ms * float64(time.Millisecond))
}

// Mean returns the mean of what At gives.
func (d *Durations) Mean() time.Duration {
	if d.shape == 0 {
		return DefaultDuration
	}
	var ms float64
	for i := 1; i < len(d.ms); i++ {
		k := 1.0
		if percentiles[i] > 0.75 {
			k = d.shape
		}
		ms += (percentiles[i] - percentiles[i-1]) * (d.ms[i-1] + (d.ms[i]-d.ms[i-1])/(k+1))
	}
	return time.Duration(ms * float64(time.Millisecond))
}
