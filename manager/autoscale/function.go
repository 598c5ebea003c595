package autoscale

import (
	"math"
	"time"
)

// Function scales one frequent function on one manager. About a kilobyte.
type Function struct {
	c      *Config
	w      window
	panics int64   // until then nothing is taken away, Unix ns; 0: no panic
	floor  float64 // the largest wish in the panic
}

// NewFunction returns the scaling of a function with no invocation running. c
// must be valid and is not copied.
func NewFunction(c *Config, now time.Time) *Function {
	return &Function{c: c, w: newWindow(c.Stable, now)}
}

// Observe notes how many invocations of the function run or wait from now on.
func (f *Function) Observe(concurrency int, now time.Time) {
	f.w.set(float64(max(0, concurrency)), now.UnixNano())
}

// Wish is how many sandboxes a function should have, and why.
type Wish struct {
	Sandboxes int
	Panic     bool    // a burst: nothing is taken away now
	Mean      float64 // ρ of the stable window
	PanicMean float64 // ρ of the panic window
	Peak      float64 // of the stable window
}

// Wish returns how many sandboxes the function should have when it has ready
// of them. A manager that has more drains the idle ones beyond.
func (f *Function) Wish(ready int, now time.Time) Wish {
	ns := now.UnixNano()
	var w Wish
	w.Mean, w.Peak = f.w.over(buckets, ns)
	width := f.w.width
	w.PanicMean, _ = f.w.over(int((int64(f.c.Panic)+width-1)/width), ns)

	stable := max(w.Peak, staff(w.Mean, f.c.Beta))
	burst := staff(w.PanicMean, f.c.Beta)
	if ready > 0 && burst >= f.c.PanicAt*float64(ready) {
		f.panics = ns + int64(f.c.Stable)
	}
	wish := max(stable, burst)
	if ns < f.panics {
		w.Panic = true
		f.floor = max(f.floor, wish, float64(min(ready, f.c.MaxSandboxes)))
		wish = f.floor
	} else {
		f.panics, f.floor = 0, 0
	}
	w.Sandboxes = min(max(int(math.Ceil(wish)), f.c.MinSandboxes), f.c.MaxSandboxes)
	return w
}

// Quiet reports whether nothing ran for a stable window: there is nothing to
// scale, and the Function may be dropped.
func (f *Function) Quiet(now time.Time) bool {
	_, peak := f.w.over(buckets, now.UnixNano())
	return peak == 0
}

// Staff returns c = ⌈ρ + β√ρ⌉.
func Staff(rho, beta float64) int {
	return int(math.Min(staff(rho, beta), math.MaxInt32))
}

func staff(rho, beta float64) float64 {
	if !(rho > 0) {
		return 0
	}
	return math.Ceil(rho + beta*math.Sqrt(rho))
}
