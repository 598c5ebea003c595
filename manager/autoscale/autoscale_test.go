package autoscale_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"thermocline"
	"thermocline/manager/autoscale"
)

var t0 = time.Unix(1_700_000_000, 0)

func config(change func(*autoscale.Config)) *autoscale.Config {
	c := autoscale.Default()
	if change != nil {
		change(&c)
	}
	return &c
}

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

func TestStaff(t *testing.T) {
	for _, c := range []struct {
		rho  float64
		want int
	}{{0, 0}, {-1, 0}, {math.NaN(), 0}, {0.01, 1}, {0.25, 2}, {1, 3}, {4, 8}, {100, 120}, {1e30, math.MaxInt32}} {
		if got := autoscale.Staff(c.rho, 2); got != c.want {
			t.Errorf("Staff(%g) = %d, want %d", c.rho, got, c.want)
		}
	}
}

func TestSteadyLoad(t *testing.T) {
	f := autoscale.NewFunction(config(nil), t0)
	f.Observe(16, t0)
	w := f.Wish(24, at(120))
	if w.Sandboxes != 24 || w.Panic || math.Abs(w.Mean-16) > 1e-9 || w.Peak != 16 {
		t.Errorf("a steady 16: %+v, want 16 + 2·4", w)
	}
}

// Little work in short bursts of many: the peak counts, not the mean.
func TestPeakCounts(t *testing.T) {
	f := autoscale.NewFunction(config(nil), t0)
	for i := range 60 {
		f.Observe(0, at(float64(i)))
		if i%20 == 0 {
			f.Observe(30, at(float64(i)+0.1))
			f.Observe(0, at(float64(i)+0.2))
		}
	}
	if w := f.Wish(30, at(60)); w.Sandboxes != 30 || w.Mean > 0.2 {
		t.Errorf("%+v, want the peak of 30", w)
	}
}

func TestScalingDownWaitsForTheStableWindow(t *testing.T) {
	f := autoscale.NewFunction(config(nil), t0)
	f.Observe(10, t0)
	f.Observe(1, at(120))
	for s := 120.0; s < 178; s++ {
		if w := f.Wish(17, at(s)); w.Sandboxes < 10 {
			t.Fatalf("%g s after the load fell: %d", s-120, w.Sandboxes)
		}
	}
	if w := f.Wish(17, at(182)); w.Sandboxes != 3 {
		t.Errorf("a window later: %+v, want 1 + 2", w)
	}
	f.Observe(0, at(182))
	if f.Quiet(at(240)) {
		t.Error("quiet before the window is over")
	}
	if w := f.Wish(3, at(244)); w.Sandboxes != 0 || !f.Quiet(at(244)) {
		t.Errorf("idle: %+v", w)
	}
}

func TestPanic(t *testing.T) {
	f := autoscale.NewFunction(config(nil), t0)
	f.Observe(1, t0)
	if w := f.Wish(3, at(300)); w.Panic || w.Sandboxes != 3 {
		t.Fatalf("before: %+v", w)
	}
	f.Observe(20, at(300))
	w := f.Wish(3, at(303)) // half of the panic window: ρ about 11
	if !w.Panic || w.Sandboxes < 20 {
		t.Fatalf("3 s into the burst: %+v", w)
	}
	w = f.Wish(3, at(306))
	most := w.Sandboxes
	if most < 27 {
		t.Fatalf("6 s into the burst: %+v, want about 20 + 2·√20", w)
	}
	f.Observe(0, at(310))
	for s := 310.0; s < 360; s++ {
		if w := f.Wish(30, at(s)); !w.Panic || w.Sandboxes < most {
			t.Fatalf("taken away in the panic, at %g s: %+v", s, w)
		}
	}
	if w := f.Wish(30, at(440)); w.Panic || w.Sandboxes != 0 {
		t.Errorf("long after: %+v", w)
	}
}

func TestBounds(t *testing.T) {
	c := config(func(c *autoscale.Config) { c.MinSandboxes, c.MaxSandboxes = 2, 5 })
	f := autoscale.NewFunction(c, t0)
	if w := f.Wish(0, t0); w.Sandboxes != 2 {
		t.Errorf("least: %+v", w)
	}
	f.Observe(100, t0)
	if w := f.Wish(2, at(10)); w.Sandboxes != 5 || !w.Panic {
		t.Errorf("most: %+v", w)
	}
}

func TestClockThatGoesBack(t *testing.T) {
	f := autoscale.NewFunction(config(nil), t0)
	f.Observe(5, at(100))
	f.Observe(7, at(50))
	w := f.Wish(5, at(20))
	if w.Peak != 7 || w.Mean < 0 || math.IsNaN(w.Mean) {
		t.Errorf("%+v", w)
	}
}

// Mean and peak are those of the definition, over a minute less at most a
// bucket, however the level moves.
func TestWindowIsTheDefinition(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		f := autoscale.NewFunction(config(nil), t0)
		type step struct {
			at    time.Time
			level int
		}
		steps := []step{{t0, 0}}
		now := t0
		for range 500 {
			gap := time.Duration(r.ExpFloat64() * float64(800*time.Millisecond))
			if r.IntN(100) == 0 {
				gap += time.Duration(r.IntN(200)) * time.Second
			}
			now = now.Add(gap)
			level := r.IntN(20)
			f.Observe(level, now)
			steps = append(steps, step{now, level})

			// The window begins with a whole second.
			from := time.Unix(now.Unix()-59, 0)
			if from.Before(t0) {
				from = t0
			}
			var area, peak float64
			for i, s := range steps {
				end := now
				if i+1 < len(steps) {
					end = steps[i+1].at
				}
				begin := s.at
				if begin.Before(from) {
					begin = from
				}
				if end.After(begin) || (!s.at.Before(from) && !end.Before(begin)) {
					area += float64(s.level) * end.Sub(begin).Seconds()
					peak = max(peak, float64(s.level))
				}
			}
			mean := 0.0
			if now.After(from) {
				mean = area / now.Sub(from).Seconds()
			}
			w := f.Wish(0, now)
			if math.Abs(w.Mean-mean) > 1e-6 || w.Peak != peak {
				t.Fatalf("seed %d at %v: mean %g, peak %g, want %g, %g", seed, now.Sub(t0), w.Mean, w.Peak, mean, peak)
			}
		}
	}
}

func TestMemory(t *testing.T) {
	m := autoscale.NewMemory(config(nil), t0)
	if w := m.Wish(t0); w.Instances != 0 {
		t.Errorf("nothing is needed: %+v", w)
	}
	m.Observe([]autoscale.Demand{{Sandboxes: 10, MemoryMB: 128}, {Sandboxes: 2, MemoryMB: 1024}, {Sandboxes: -1, MemoryMB: 9}}, t0)
	if w := m.Wish(at(1)); w.NeededMB != 3328 || w.Instances != 2 || w.MemoryMB != 4096 {
		t.Errorf("%+v, want 3,328 MB and a tenth in 2 instances", w)
	}
	m.Observe(nil, at(60))
	if w := m.Wish(at(110)); w.Instances != 2 {
		t.Errorf("taken away within the window: %+v", w)
	}
	if w := m.Wish(at(125)); w.Instances != 0 {
		t.Errorf("a window later: %+v", w)
	}
	m.Observe([]autoscale.Demand{{Sandboxes: 1 << 30, MemoryMB: 10240}}, at(130))
	if w := m.Wish(at(131)); w.Instances != 64 {
		t.Errorf("no bound: %+v", w)
	}
}

func TestValidate(t *testing.T) {
	if err := autoscale.Default().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	err := autoscale.Config{PanicAt: math.NaN(), Beta: -1, Headroom: 11, MinSandboxes: 5, MaxSandboxes: 4}.Validate()
	if thermocline.KindOf(err) != thermocline.KindValidation {
		t.Fatalf("error %v, want KindValidation", err)
	}
	for _, want := range []string{"stable", "panic_at", "beta", "max_sandboxes must be from 5", "instance_mb", "headroom", "max_instances"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s: %v", want, err)
		}
	}
}

// Poisson arrivals at ρ = 25: with the wish carried out at once, few arrivals
// find no sandbox free, and few sandboxes idle.
func TestStaffingServesPoissonArrivals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	f := autoscale.NewFunction(config(nil), t0)
	now := t0
	var ends []time.Time
	arrivals, without, have := 0, 0, 0
	var held float64
	for now.Before(at(3600)) {
		now = now.Add(time.Duration(r.ExpFloat64() / 50 * float64(time.Second)))
		kept := ends[:0]
		for _, e := range ends {
			if e.After(now) {
				kept = append(kept, e)
			}
		}
		ends = append(kept, now.Add(time.Duration(r.ExpFloat64()*float64(time.Second)/2)))
		f.Observe(len(ends), now)
		if now.After(at(300)) {
			arrivals++
			held += float64(have)
			if len(ends) > have {
				without++
			}
		}
		have = f.Wish(have, now).Sandboxes
	}
	if share := float64(without) / float64(arrivals); share > 0.01 {
		t.Errorf("%.2g of the arrivals found no sandbox", share)
	}
	if mean := held / float64(arrivals); mean > 45 {
		t.Errorf("%g sandboxes on average for ρ = 25", mean)
	}
}

func BenchmarkFunction(b *testing.B) {
	f := autoscale.NewFunction(config(nil), t0)
	now := t0
	b.Run("observe", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			now = now.Add(10 * time.Millisecond)
			f.Observe(i%7, now)
		}
	})
	b.Run("wish", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(10 * time.Millisecond)
			f.Wish(3, now)
		}
	})
}
