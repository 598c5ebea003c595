package history_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"thermocline"
	"thermocline/history"
)

// t0 lies in the middle of an epoch.
var t0 = time.Date(2026, 3, 14, 15, 30, 0, 0, time.UTC)

func fn(name string) thermocline.FunctionID {
	return thermocline.FunctionID{Account: "123456789012", Name: name, Version: thermocline.Latest}
}

func close2(a, b float64) bool {
	return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b))
}

// model adds up the definition itself: Σ 2^(−(now−t)/h).
type model []time.Time

func (m model) count(now time.Time, half time.Duration) float64 {
	var sum float64
	for _, t := range m {
		sum += math.Exp2(-float64(now.Sub(t)) / float64(half))
	}
	return sum
}

func TestCountsAreTheDefinition(t *testing.T) {
	cases := map[string]struct {
		gap  time.Duration
		n    int
		wait time.Duration
	}{
		"one call":                  {time.Second, 1, 0},
		"one call, a minute later":  {time.Second, 1, time.Minute},
		"a burst":                   {time.Millisecond, 500, time.Second},
		"five a second":             {200 * time.Millisecond, 1000, 0},
		"across an epoch":           {7 * time.Second, 600, 0},
		"across many epochs":        {11 * time.Minute, 300, 13 * time.Minute},
		"long after":                {time.Second, 100, 100 * time.Hour},
		"beyond what a float holds": {time.Second, 100, 2000 * time.Hour},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := history.New(history.Options{})
			var m model
			now := t0
			for range c.n {
				m = append(m, now)
				h.Started(fn("f"), now)
				h.Finished(fn("f"), 250*time.Millisecond, now)
				now = now.Add(c.gap)
			}
			last := now.Add(-c.gap)
			now = last.Add(c.wait)
			u := h.Usage(fn("f"), now)
			// Far below one, an epoch's rescaling may underflow: nothing is lost.
			if want := m.count(now, time.Minute); !close2(u.CountMinute, want) && want > 1e-200 {
				t.Errorf("CountMinute = %g, want %g", u.CountMinute, want)
			}
			if want := m.count(now, time.Hour); !close2(u.CountHour, want) && want > 1e-200 {
				t.Errorf("CountHour = %g, want %g", u.CountHour, want)
			}
			if want := u.CountHour * math.Ln2 / 3600; !close2(u.RateHour, want) {
				t.Errorf("RateHour = %g, want %g", u.RateHour, want)
			}
			if u.Total != int64(c.n) || !u.Last.Equal(last) || u.Concurrency != 0 {
				t.Errorf("total %d, last %v, concurrency %g", u.Total, u.Last, u.Concurrency)
			}
			if c.wait < 1000*time.Hour && (u.MeanDuration-250*time.Millisecond).Abs() > time.Microsecond {
				t.Errorf("MeanDuration = %v", u.MeanDuration)
			}
		})
	}
}

func TestRateConvergesToArrivals(t *testing.T) {
	h := history.New(history.Options{})
	r := rand.New(rand.NewPCG(1, 2))
	now := t0
	for now.Before(t0.Add(8 * time.Hour)) {
		now = now.Add(time.Duration(r.ExpFloat64() / 5 * float64(time.Second)))
		h.Started(fn("f"), now)
		h.Finished(fn("f"), 100*time.Millisecond, now)
	}
	u := h.Usage(fn("f"), now)
	if u.RateHour < 4.9 || u.RateHour > 5.1 {
		t.Errorf("RateHour = %g, want about 5", u.RateHour)
	}
	if u.RateMinute < 4 || u.RateMinute > 6 {
		t.Errorf("RateMinute = %g, want about 5", u.RateMinute)
	}
	if u.Offered < 0.4 || u.Offered > 0.6 {
		t.Errorf("Offered = %g, want about 0.5", u.Offered)
	}
}

func TestConcurrency(t *testing.T) {
	h := history.New(history.Options{})
	for range 3 {
		h.Started(fn("f"), t0)
	}
	if u := h.Usage(fn("f"), t0); u.Concurrency != 3 || u.MeanDuration != 0 || u.Offered != 0 {
		t.Errorf("while three run: %+v", u)
	}
	h.Finished(fn("f"), time.Second, t0)
	h.Cancelled(fn("f"))
	u := h.Usage(fn("f"), t0)
	if u.Concurrency != 1 || u.MeanDuration != time.Second {
		t.Errorf("after an end and a cancellation: %+v", u)
	}
	for range 5 {
		h.Finished(fn("f"), time.Hour, t0)
	}
	if u := h.Usage(fn("f"), t0); u.Concurrency != 0 {
		t.Errorf("ends without starts: %+v", u)
	}
	h.Finished(fn("unknown"), time.Second, t0)
	if n := h.Len(); n != 1 {
		t.Errorf("an end of an unknown function made an entry: %d", n)
	}
}

func TestClockThatGoesBack(t *testing.T) {
	h := history.New(history.Options{})
	for i := range 100 {
		h.Started(fn("f"), t0.Add(time.Duration(i)*time.Second))
	}
	before := h.Usage(fn("f"), t0.Add(99*time.Second))
	for _, back := range []time.Duration{time.Second, time.Hour, 5000 * time.Hour} {
		now := t0.Add(-back)
		if u := h.Usage(fn("f"), now); u.CountMinute > before.CountMinute {
			t.Errorf("%v back: the count grew from %g to %g", back, before.CountMinute, u.CountMinute)
		}
		h.Started(fn("f"), now)
		u := h.Usage(fn("f"), now)
		if !(u.CountMinute <= before.CountMinute+1) {
			t.Errorf("%v back: a call brought %g to %g", back, before.CountMinute, u.CountMinute)
		}
		before = u
	}
}

func TestForget(t *testing.T) {
	h := history.New(history.Options{})
	h.Started(fn("idle"), t0)
	h.Finished(fn("idle"), time.Second, t0)
	h.Started(fn("busy"), t0)
	h.Forget(fn("idle"))
	h.Forget(fn("busy"))
	h.Forget(fn("unknown"))
	for _, name := range []string{"idle", "busy"} {
		if u := h.Usage(fn(name), t0); u != (thermocline.Usage{}) {
			t.Errorf("%s is remembered: %+v", name, u)
		}
	}
	h.Compact(t0)
	if h.Len() != 1 {
		t.Error("an entry that still runs was dropped")
	}
	h.Finished(fn("busy"), time.Second, t0)
	h.Compact(t0)
	if n := h.Len(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const limit = 6400
	h := history.New(history.Options{MaxFunctions: limit})
	now := t0
	h.Started(fn("hot"), now)
	for i := range 10 * limit {
		now = now.Add(time.Millisecond)
		id := fn(fmt.Sprintf("f%d", i))
		h.Started(id, now)
		h.Finished(id, time.Millisecond, now)
		h.Started(fn("hot"), now)
		h.Finished(fn("hot"), time.Millisecond, now)
	}
	if n := h.Len(); n > limit {
		t.Errorf("%d functions are remembered, limit %d", n, limit)
	}
	if u := h.Usage(fn("hot"), now); u.Total != 10*limit+1 {
		t.Errorf("a function in use was dropped: total %d", u.Total)
	}
	if _, n := h.Unsaved(now); n > limit {
		t.Errorf("dropped functions are told of: %d", n)
	}
}

func TestCompactDropsTheUnused(t *testing.T) {
	h := history.New(history.Options{Retain: time.Hour})
	h.Started(fn("runs"), t0)
	for i := range 100 {
		id := fn(fmt.Sprintf("old%d", i))
		h.Started(id, t0)
		h.Finished(id, time.Second, t0)
	}
	h.Started(fn("new"), t0.Add(time.Hour))
	h.Finished(fn("new"), time.Second, t0.Add(time.Hour))
	h.Compact(t0.Add(61 * time.Minute))
	if n := h.Len(); n != 2 {
		t.Errorf("%d functions are left, want the one that runs and the new one", n)
	}
}

func TestEach(t *testing.T) {
	h := history.New(history.Options{})
	for i := range 50 {
		h.Started(fn(fmt.Sprintf("f%d", i)), t0)
	}
	seen := make(map[string]float64)
	h.Each(t0, func(id thermocline.FunctionID, u thermocline.Usage) bool {
		seen[id.Name] = u.CountMinute
		return true
	})
	if len(seen) != 50 || !close2(seen["f7"], 1) {
		t.Errorf("saw %d functions, f7: %g", len(seen), seen["f7"])
	}
	n := 0
	h.Each(t0, func(thermocline.FunctionID, thermocline.Usage) bool { n++; return n < 3 })
	if n != 3 {
		t.Errorf("went on to %d after false", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	a := history.New(history.Options{Slot: "a.1"})
	b := history.New(history.Options{Slot: "b.1"})
	const workers, each = 8, 2000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := fn(fmt.Sprintf("f%d", i%7))
				now := t0.Add(time.Duration(i) * time.Millisecond)
				a.Started(id, now)
				a.Usage(id, now)
				a.Finished(id, time.Millisecond, now)
				if i%100 == w {
					delta, _ := a.Changed(now, 1<<20)
					if err := b.Merge(delta, now); err != nil {
						t.Error(err)
					}
					a.Compact(now)
					b.Compact(now)
				}
			}
		})
	}
	wg.Wait()
	now := t0.Add(each * time.Millisecond)
	if err := b.Merge(a.Snapshot(now), now); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*history.History{a, b} {
		var total int64
		h.Each(now, func(_ thermocline.FunctionID, u thermocline.Usage) bool {
			total += u.Total
			if u.Concurrency != 0 {
				t.Errorf("concurrency %g at rest", u.Concurrency)
			}
			return true
		})
		if total != workers*each {
			t.Errorf("total %d, want %d", total, workers*each)
		}
	}
}

func BenchmarkStartedFinishedUsage(b *testing.B) {
	ids := make([]thermocline.FunctionID, 10000)
	for i := range ids {
		ids[i] = fn(fmt.Sprintf("function-%05d", i))
	}
	run := func(b *testing.B, f func(h *history.History, id thermocline.FunctionID, now time.Time)) {
		h := history.New(history.Options{})
		for _, id := range ids {
			h.Started(id, t0)
		}
		now := t0
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			now = now.Add(time.Millisecond)
			f(h, ids[i%len(ids)], now)
		}
	}
	b.Run("started", func(b *testing.B) {
		run(b, func(h *history.History, id thermocline.FunctionID, now time.Time) { h.Started(id, now) })
	})
	b.Run("usage", func(b *testing.B) {
		run(b, func(h *history.History, id thermocline.FunctionID, now time.Time) { h.Usage(id, now) })
	})
	b.Run("invocation", func(b *testing.B) {
		run(b, func(h *history.History, id thermocline.FunctionID, now time.Time) {
			h.Started(id, now)
			h.Usage(id, now)
			h.Finished(id, time.Millisecond, now)
		})
	})
}

func BenchmarkSnapshot(b *testing.B) {
	h := history.New(history.Options{})
	for i := range 10000 {
		h.Started(fn(fmt.Sprintf("function-%05d", i)), t0)
	}
	other := history.New(history.Options{Slot: "b.1"})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.SetBytes(int64(len(h.Snapshot(t0))))
		}
	})
	snapshot := h.Snapshot(t0)
	b.Run("merge", func(b *testing.B) {
		b.SetBytes(int64(len(snapshot)))
		b.ReportAllocs()
		for b.Loop() {
			if err := other.Merge(snapshot, t0); err != nil {
				b.Fatal(err)
			}
		}
	})
}
