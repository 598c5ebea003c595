package pool_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"thermocline"
	"thermocline/manager/pool"
)

var start = time.Unix(1_700_000_000, 0)

func need(name string, mb int) pool.Need {
	return pool.Need{
		Function:   thermocline.FunctionID{Account: "000000000000", Name: name, Version: thermocline.Latest},
		Generation: 1, Runtime: "nodejs20.x", MemoryMB: mb, Late: true,
	}
}

// idle puts an idle sandbox of n into the pool.
func idle(t *testing.T, p *pool.Pool, id, instance string, n pool.Need, now time.Time) {
	t.Helper()
	if !p.Add(id, instance, n, now) {
		t.Fatalf("Add(%s) found no room", id)
	}
	p.Started(id, 100*time.Millisecond)
	if !p.Release(id, n.Generation, now) {
		t.Fatalf("Release(%s) = false", id)
	}
}

func TestAcquire(t *testing.T) {
	a, b := need("a", 128), need("b", 128)
	newer := a
	newer.Generation = 2
	early := b
	early.Late = false

	tests := []struct {
		name  string
		setup func(t *testing.T, p *pool.Pool)
		need  pool.Need
		want  pool.Decision
	}{
		{"nothing there", func(*testing.T, *pool.Pool) {}, a, pool.Decision{Action: pool.Start, Instance: "i"}},
		{"most recently used first", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "s1", "i", a, start)
			idle(t, p, "s2", "i", a, start.Add(time.Second))
		}, a, pool.Decision{Action: pool.Warm, Sandbox: "s2", Instance: "i"}},
		{"another function's is not used", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "s1", "i", a, start)
		}, b, pool.Decision{Action: pool.Start, Instance: "i"}},
		{"an older generation is evicted", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "s1", "i", a, start)
		}, newer, pool.Decision{Action: pool.Start, Instance: "i", Evict: []string{"s1"}}},
		{"warming", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "w", "i", pool.Need{Runtime: "nodejs20.x", MemoryMB: 128}, start)
		}, b, pool.Decision{Action: pool.Specialise, Sandbox: "w", Instance: "i"}},
		{"warming is no use to who must start fully", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "w", "i", pool.Need{Runtime: "nodejs20.x", MemoryMB: 128}, start)
		}, early, pool.Decision{Action: pool.Start, Instance: "i"}},
		{"warming of another class", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "w", "i", pool.Need{Runtime: "nodejs20.x", MemoryMB: 256}, start)
		}, b, pool.Decision{Action: pool.Start, Instance: "i"}},
		{"evicts the least used", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "s1", "i", need("x", 256), start)
			idle(t, p, "s2", "i", need("y", 256), start)
			if d := p.Acquire(need("x", 256), start); d.Sandbox != "s1" {
				t.Fatalf("setup: %+v", d)
			}
			p.Release("s1", 1, start.Add(time.Second))
		}, a, pool.Decision{Action: pool.Start, Instance: "i", Evict: []string{"s2"}}},
		{"never evicts the busy", func(t *testing.T, p *pool.Pool) {
			p.Add("s1", "i", need("x", 512), start)
		}, a, pool.Decision{Action: pool.Refuse}},
		{"larger than any instance", func(t *testing.T, p *pool.Pool) {
			idle(t, p, "s1", "i", a, start)
		}, need("huge", 1024), pool.Decision{Action: pool.Refuse}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := pool.New(pool.Config{})
			p.AddInstance("i", 512, start)
			tt.setup(t, p)
			got := p.Acquire(tt.need, start.Add(time.Minute))
			if got.Action != tt.want.Action || got.Sandbox != tt.want.Sandbox ||
				got.Instance != tt.want.Instance || !slices.Equal(got.Evict, tt.want.Evict) {
				t.Errorf("Acquire = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	p := pool.New(pool.Config{Fixed: true, KeepAlive: time.Minute, InstanceIdle: time.Second})
	p.AddInstance("i", 512, start)
	idle(t, p, "s", "i", need("a", 128), start)
	if got, want := p.Next(), start.Add(time.Minute); !got.Equal(want) {
		t.Errorf("Next = %v, want %v", got, want)
	}
	if got := p.Expire(start.Add(59 * time.Second)); got != nil {
		t.Errorf("Expire before its time = %v", got)
	}
	if got := p.Expire(start.Add(time.Minute)); !slices.Equal(got, []string{"s"}) {
		t.Errorf("Expire = %v, want [s]", got)
	}
	if got := p.IdleInstances(start.Add(time.Minute)); got != nil {
		t.Errorf("IdleInstances at once = %v", got)
	}
	if got := p.IdleInstances(start.Add(61 * time.Second)); !slices.Equal(got, []string{"i"}) {
		t.Errorf("IdleInstances = %v, want [i]", got)
	}
	if d := p.Acquire(need("a", 128), start.Add(61*time.Second)); d.Action != pool.Refuse {
		t.Errorf("an instance on its way out was used: %+v", d)
	}
}

// TestInvariants runs random operations against a model that knows only what
// must hold.
func TestInvariants(t *testing.T) {
	type owner struct {
		fn   string
		busy bool
		mb   int
		at   string
	}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		p := pool.New(pool.Config{KeepAlive: 30 * time.Second, InstanceIdle: 5 * time.Second})
		model := map[string]*owner{}
		now := start
		for i := range 3 {
			p.AddInstance(fmt.Sprint("i", i), 512<<i, now)
		}
		gone := func(ids []string) {
			for _, id := range ids {
				if model[id] == nil || model[id].busy {
					t.Fatalf("seed %d: %s was evicted while busy or unknown", seed, id)
				}
				delete(model, id)
			}
		}
		for step := range 5000 {
			now = now.Add(time.Duration(rnd.IntN(2000)) * time.Millisecond)
			switch rnd.IntN(4) {
			case 0, 1:
				name := fmt.Sprint("f", rnd.IntN(12))
				n := need(name, 128<<rnd.IntN(3))
				n.Function.Name += fmt.Sprint(n.MemoryMB)
				d := p.Acquire(n, now)
				gone(d.Evict)
				switch d.Action {
				case pool.Warm:
					o := model[d.Sandbox]
					if o == nil || o.busy || o.fn != n.Function.Name {
						t.Fatalf("seed %d: warm %s is %+v, asked for %s", seed, d.Sandbox, o, n.Function.Name)
					}
					o.busy = true
				case pool.Start:
					id := fmt.Sprint("s", step)
					if !p.Add(id, d.Instance, n, now) {
						t.Fatalf("seed %d: no room where Acquire said there was", seed)
					}
					model[id] = &owner{n.Function.Name, true, n.MemoryMB, d.Instance}
				}
			case 2:
				for id, o := range model {
					if o.busy {
						o.busy = false
						if rnd.IntN(10) == 0 {
							p.Remove(id, now)
							delete(model, id)
						} else if !p.Release(id, 1, now) {
							t.Fatalf("seed %d: Release(%s) = false", seed, id)
						}
						break
					}
				}
			case 3:
				gone(p.Expire(now))
			}
			used := map[string]int{}
			for _, o := range model {
				used[o.at] += o.mb
			}
			for _, in := range p.Instances() {
				if in.UsedMB != used[in.ID] || in.UsedMB > in.MemoryMB {
					t.Fatalf("seed %d: %+v, the model says %d MB", seed, in, used[in.ID])
				}
			}
		}
	}
}

func BenchmarkWarm(b *testing.B) {
	p := pool.New(pool.Config{})
	p.AddInstance("i", 1<<20, start)
	for i := range 1000 {
		n := need(fmt.Sprint("f", i), 128)
		p.Add(fmt.Sprint("s", i), "i", n, start)
		p.Release(fmt.Sprint("s", i), 1, start)
	}
	n := need("f500", 128)
	b.ReportAllocs()
	for b.Loop() {
		d := p.Acquire(n, start)
		p.Release(d.Sandbox, 1, start)
	}
}
