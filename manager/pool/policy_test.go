package pool_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/manager/pool"
)

// invoke runs one invocation of n at now, starting what must be started, and
// returns how it began.
func invoke(t testing.TB, p *pool.Pool, n pool.Need, now time.Time, takes time.Duration) pool.Action {
	t.Helper()
	p.Expire(now)
	d := p.Acquire(n, now)
	id := d.Sandbox
	switch d.Action {
	case pool.Start:
		id = fmt.Sprint(n.Function.Name, now.UnixNano())
		if !p.Add(id, d.Instance, n, now) {
			t.Fatal("no room where Acquire said there was")
		}
		p.Started(id, 500*time.Millisecond)
	case pool.Refuse:
		return pool.Refuse
	}
	p.Release(id, n.Generation, now.Add(takes))
	return d.Action
}

// How long a sandbox is kept, worked out by hand where that can be done.
func TestKeepAlive(t *testing.T) {
	every := func(d time.Duration, n int) []time.Duration {
		return slices.Repeat([]time.Duration{d}, n)
	}
	exponential := func(mean time.Duration, n int) []time.Duration {
		r := rand.New(rand.NewPCG(1, 2))
		var gs []time.Duration
		for range n {
			gs = append(gs, time.Duration(r.ExpFloat64()*float64(mean)))
		}
		return gs
	}
	minutes := func(x float64) time.Duration { return time.Duration(x * float64(time.Minute)) }
	cases := map[string]struct {
		c           pool.Config
		mb          int
		gaps        []time.Duration
		least, most time.Duration
	}{
		// With the prior alone the hazard is a/(b+t): it is worth P until
		// t = P·a/m − b = 300·3/0.128 − 1800 = 5231 s.
		"unknown":            {pool.Config{Worth: 300}, 128, nil, minutes(86), minutes(89)},
		"unknown and large":  {pool.Config{Worth: 300}, 400, nil, minutes(7), minutes(9)}, // 450 s
		"at half the price":  {pool.Config{Worth: 150}, 128, nil, minutes(28), minutes(30)},
		"unknown, too large": {pool.Config{}, 2048, nil, minutes(5), minutes(5)},
		// A timer's call comes within a minute of when it is expected: it waits
		// for two minutes at little cost; for thirty it is let go and prepared.
		"a timer of two minutes":  {pool.Config{}, 128, every(minutes(1.5), 50), minutes(2), 4 * time.Hour},
		"a timer of half an hour": {pool.Config{}, 128, every(minutes(30.5), 50), 10 * time.Second, 10 * time.Second},
		"its rhythm changed":      {pool.Config{}, 128, append(every(minutes(100.5), 200), every(minutes(1.5), 40)...), minutes(2), 4 * time.Hour},
		// Such a function is kept as an unknown one is: when it falls silent it
		// has changed.
		"every four seconds":    {pool.Config{Worth: 300}, 128, every(4*time.Second, 200), minutes(84), minutes(89)},
		"the same, with a most": {pool.Config{KeepAliveMax: time.Hour}, 128, every(4*time.Second, 200), time.Hour, time.Hour},
		"too seldom":            {pool.Config{}, 2048, exponential(2*time.Hour, 400), 0, minutes(1)},
		"a least":               {pool.Config{KeepAliveMin: minutes(3)}, 2048, nil, minutes(3), minutes(3)},
		"fixed":                 {pool.Config{Fixed: true}, 128, every(minutes(30.5), 50), minutes(10), minutes(10)},
		"scaled":                {pool.Config{Bin: time.Second, Worth: 5}, 128, nil, minutes(86) / 60, minutes(89) / 60},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := pool.New(c.c)
			p.AddInstance("i", 4096, start)
			n, now := need("f", c.mb), start
			invoke(t, p, n, now, time.Second)
			for _, g := range c.gaps {
				now = now.Add(time.Second + g)
				invoke(t, p, n, now, time.Second)
			}
			// It is idle since a second after now.
			next := time.Duration(0)
			for gone := p.Expire(now); gone == nil; gone = p.Expire(now.Add(time.Second + next)) {
				next = p.Next().Sub(now.Add(time.Second))
			}
			if next < c.least-time.Second || next > c.most+time.Second {
				t.Errorf("kept for %v, want %v to %v", next, c.least, c.most)
			}
		})
	}
}

// A timer that is too seldom to be kept warm is let go, and prepared just
// before its next call once its rhythm is known.
func TestTimerIsPrepared(t *testing.T) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 1024, start)
	n := need("timer", 512)
	const period = 2 * time.Hour
	var cold int
	var held time.Duration
	for i := range 30 {
		now := start.Add(time.Duration(i) * period)
		if invoke(t, p, n, now, time.Second) != pool.Warm {
			cold++
		}
		// To the next call, minute by minute.
		for m := time.Minute; m < period; m += time.Minute {
			at := now.Add(m)
			p.Expire(at)
			for k, a := range p.Ahead(at) {
				if a.Function != n.Function || !a.Ahead {
					t.Fatalf("ahead of %v: %+v", at, a)
				}
				d := p.Prepare(a, at)
				id := fmt.Sprint("ahead", i, m, k)
				if d.Action != pool.Start || !p.Add(id, d.Instance, a, at) {
					t.Fatalf("Prepare = %+v", d)
				}
				p.Started(id, time.Second)
				p.Release(id, a.Generation, at)
			}
			if i >= 20 {
				_, idle := p.Function(n.Function)
				held += time.Duration(idle) * time.Minute
			}
		}
	}
	if cold > 8 {
		t.Errorf("%d of 30 calls were cold", cold)
	}
	if mean := held / 10; mean > 15*time.Minute {
		t.Errorf("the sandbox waited for %v of %v", mean, period)
	}
}

// Sandboxes beyond the usual concurrency go before those that are used.
func TestLevels(t *testing.T) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 4096, start)
	n, now := need("f", 256), start
	together := func(k int) {
		var ids []string
		for i := range k {
			d := p.Acquire(n, now)
			id := d.Sandbox
			if d.Action == pool.Start {
				id = fmt.Sprint("s", now.Unix(), i)
				p.Add(id, d.Instance, n, now)
				p.Started(id, time.Second)
			}
			ids = append(ids, id)
		}
		for _, id := range ids {
			p.Release(id, 1, now.Add(time.Second))
		}
	}
	counts := map[int]int{}
	for i := range 6 * 60 {
		if i == 60 {
			together(5)
		} else {
			together(1 + i%2)
		}
		now = now.Add(time.Minute)
		p.Expire(now)
		_, idle := p.Function(n.Function)
		counts[idle]++
		if i > 60 && idle < 2 {
			t.Fatalf("minute %d: %d sandboxes, two are needed every other minute", i, idle)
		}
	}
	if counts[5] == 0 || counts[5] > 120 || counts[2] < 200 {
		t.Errorf("minutes by sandboxes: %v", counts)
	}
}

func TestGreedyDual(t *testing.T) {
	// The one that costs little to start again, or is large, or seldom used,
	// goes first.
	cases := map[string]struct {
		keepMB, goMB     int
		keepCost, goCost time.Duration
		keepUses, goUses int
	}{
		"cheap to start":  {256, 256, 2 * time.Second, 100 * time.Millisecond, 1, 1},
		"large":           {128, 384, time.Second, time.Second, 1, 1},
		"seldom used":     {256, 256, time.Second, time.Second, 5, 1},
		"used for longer": {256, 256, time.Second, time.Second, 1, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := pool.New(pool.Config{})
			p.AddInstance("i", 512, start)
			put := func(id string, mb int, cost time.Duration, uses int, now time.Time) {
				n := need(id, mb)
				p.Add(id, "i", n, now)
				p.Started(id, cost)
				for range uses - 1 {
					p.Release(id, 1, now)
					p.Acquire(n, now)
				}
				p.Release(id, 1, now)
			}
			put("goes", c.goMB, c.goCost, c.goUses, start)
			put("stays", c.keepMB, c.keepCost, c.keepUses, start.Add(time.Second))
			d := p.Acquire(need("new", 128), start.Add(2*time.Second))
			if diff := cmp.Diff([]string{"goes"}, d.Evict); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What was used much, long ago, ages against what is used now.
func TestGreedyDualAges(t *testing.T) {
	p := pool.New(pool.Config{KeepAlive: 100 * time.Hour})
	p.AddInstance("i", 512, start)
	now := start
	for range 20 {
		invoke(t, p, need("once-popular", 128), now, time.Millisecond)
		now = now.Add(time.Second)
	}
	gone := -1
	for i := range 400 {
		now = now.Add(time.Second)
		invoke(t, p, need(fmt.Sprint("f", i), 128), now, time.Millisecond)
		if _, idle := p.Function(need("once-popular", 128).Function); idle == 0 {
			gone = i
			break
		}
	}
	if gone < 10 || gone > 200 {
		t.Errorf("gone after %d others, want some tens", gone)
	}
}

// Only what is needed is evicted.
func TestEvictsNoMoreThanNeeded(t *testing.T) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 900, start)
	for i := range 3 {
		idle(t, p, fmt.Sprint("small", i), "i", need(fmt.Sprint("s", i), 128), start.Add(time.Duration(i)))
	}
	// The small ones are worth less, but all of them together do not do.
	n := need("large", 512)
	p.Add("large", "i", n, start)
	p.Started("large", 10*time.Second)
	p.Release("large", 1, start.Add(time.Hour))
	d := p.Acquire(need("new", 512), start.Add(time.Hour))
	if diff := cmp.Diff([]string{"large"}, d.Evict); diff != "" {
		t.Error(diff)
	}
}

func TestOlderGenerations(t *testing.T) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 1024, start)
	old, newer := need("f", 128), need("f", 128)
	newer.Generation = 2
	for _, id := range []string{"a", "b"} {
		idle(t, p, id, "i", old, start)
	}
	p.Add("c", "i", newer, start)
	p.Release("c", 2, start.Add(time.Second))
	// The newer one shows that a and b are over.
	if got := p.Next(); got.After(start.Add(time.Second)) {
		t.Errorf("they expire at %v", got)
	}
	if diff := cmp.Diff([]string{"a", "b"}, p.Expire(start.Add(time.Second))); diff != "" {
		t.Error(diff)
	}
	d := p.Acquire(newer, start.Add(2*time.Second))
	if gone := p.Retire(old.Function, 3, start); gone != nil {
		t.Errorf("a busy one was retired: %v", gone)
	}
	if p.Release(d.Sandbox, 2, start.Add(3*time.Second)) {
		t.Error("one of a retired generation was kept")
	}
}

func TestForget(t *testing.T) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 1024, start)
	n := need("f", 128)
	idle(t, p, "a", "i", n, start)
	p.Add("b", "i", n, start)
	if diff := cmp.Diff([]string{"a"}, p.Forget(n.Function, start)); diff != "" {
		t.Error(diff)
	}
	if p.Release("b", 0, start) {
		t.Error("a sandbox of a deleted function was kept")
	}
	again := n
	again.Generation = start.Add(time.Second).UnixNano()
	idle(t, p, "c", "i", again, start.Add(time.Second))
	if d := p.Acquire(again, start.Add(time.Second)); d.Action != pool.Warm {
		t.Errorf("created again: %+v", d)
	}
}

func TestRefill(t *testing.T) {
	spare := func(n int) []pool.Spare { return []pool.Spare{{Runtime: "nodejs20.x", MemoryMB: 128, N: n}} }
	const boot = time.Second
	// cold has n cold starts of new functions, gap apart.
	cold := func(p *pool.Pool, n int, gap time.Duration) time.Time {
		now := start
		for i := range n {
			d := p.Acquire(need(fmt.Sprint("f", i), 128), now)
			id := fmt.Sprint("s", i)
			p.Add(id, d.Instance, need(fmt.Sprint("f", i), 128), now)
			p.Remove(id, now)
			now = now.Add(gap)
		}
		return now
	}
	cases := map[string]struct {
		c     pool.Config
		calls int
		gap   time.Duration
		wait  time.Duration
		want  []pool.Spare
	}{
		"no cold start":         {pool.Config{}, 0, 0, 0, nil},
		"one":                   {pool.Config{}, 1, time.Second, 0, spare(1)},
		"one, long ago":         {pool.Config{}, 1, time.Second, time.Hour, nil},
		"one a second":          {pool.Config{}, 3600, time.Second, 0, spare(3)},
		"four a second":         {pool.Config{}, 14400, time.Second / 4, 0, spare(8)},
		"bounded":               {pool.Config{WarmMB: 300}, 14400, time.Second / 4, 0, spare(2)},
		"off":                   {pool.Config{WarmMB: -1}, 3600, time.Second, 0, nil},
		"a floor":               {pool.Config{Spares: spare(2)}, 0, 0, 0, spare(2)},
		"a floor under a bound": {pool.Config{Spares: spare(9), WarmMB: 256}, 0, 0, 0, spare(2)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := pool.New(c.c)
			p.AddInstance("i", 16384, start)
			now := cold(p, c.calls, c.gap).Add(c.wait)
			if diff := cmp.Diff(c.want, p.Refill(now)); diff != "" {
				t.Fatal(diff)
			}
			for _, s := range c.want {
				for i := range s.N {
					id := fmt.Sprint("w", i)
					if !p.Add(id, p.Room(s.MemoryMB), pool.Need{Runtime: s.Runtime, MemoryMB: s.MemoryMB}, now) {
						t.Fatal("no room")
					}
					if i%2 == 0 { // those that boot count too
						p.Started(id, boot)
						p.Release(id, 0, now)
					}
				}
			}
			if got := p.Refill(now); got != nil {
				t.Errorf("a second Refill wants more: %v", got)
			}
		})
	}
}

func TestRefillEvictsNothing(t *testing.T) {
	p := pool.New(pool.Config{Spares: []pool.Spare{{Runtime: "nodejs20.x", MemoryMB: 128, N: 4}}, WarmMB: 1024})
	p.AddInstance("i", 512, start)
	idle(t, p, "a", "i", need("f", 384), start)
	if got := p.Refill(start); len(got) != 1 || got[0].N != 1 {
		t.Errorf("Refill = %v, want one, which is what is free", got)
	}
}

// A function that starts fully is no reason to warm.
func TestOnlyLateBindersWarm(t *testing.T) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 16384, start)
	n := need("f", 128)
	n.Late = false
	invoke(t, p, n, start, time.Second)
	if got := p.Refill(start); got != nil {
		t.Errorf("Refill = %v", got)
	}
}

func TestFunctionsAreBounded(t *testing.T) {
	p := pool.New(pool.Config{MaxFunctions: 100, Fixed: true})
	p.AddInstance("i", 256, start)
	now := start
	timer := need("timer", 128)
	for i := range 5000 {
		now = now.Add(time.Hour)
		invoke(t, p, need(fmt.Sprint("f", i), 128), now, time.Second)
		invoke(t, p, timer, now, time.Second)
	}
	if n := p.Functions(); n > 102 {
		t.Errorf("%d functions are remembered", n)
	}
}

// A hundred thousand functions on one manager, most of them cold: what the
// simulator pays for an invocation.
func BenchmarkInvocation(b *testing.B) {
	for _, mb := range []int{1 << 14, 1 << 20} {
		b.Run(fmt.Sprintf("%d MB", mb), func(b *testing.B) {
			p := pool.New(pool.Config{})
			for i := range 16 {
				p.AddInstance(fmt.Sprint("i", i), mb/16, start)
			}
			r := rand.New(rand.NewPCG(1, 1))
			zipf := rand.NewZipf(r, 1.1, 1, 20000)
			needs := make([]pool.Need, 20001)
			for i := range needs {
				needs[i] = need(fmt.Sprint("f", i), 128)
			}
			ids := make([]string, 1<<20)
			for i := range ids {
				ids[i] = fmt.Sprint("s", i)
			}
			now, next := start, 0
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(20 * time.Millisecond)
				p.Expire(now)
				n := needs[zipf.Uint64()]
				d := p.Acquire(n, now)
				id := d.Sandbox
				if d.Action == pool.Start {
					id = ids[next%len(ids)]
					next++
					p.Add(id, d.Instance, n, now)
					p.Started(id, time.Second)
				}
				p.Release(id, 1, now)
			}
		})
	}
}
