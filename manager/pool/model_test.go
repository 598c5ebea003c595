package pool_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/manager/pool"
)

// modelBox is what a bystander knows of a sandbox.
type modelBox struct {
	fn       string // "" while bound to none
	gen      int64
	mb       int
	at       string
	state    string // "starting", "busy", "idle", "warming"
	lastUsed time.Time
}

// bystander drives a pool with random operations and checks what must hold.
type bystander struct {
	t      *testing.T
	r      *rand.Rand
	p      *pool.Pool
	now    time.Time
	boxes  map[string]*modelBox
	mb     map[string]int // of instances
	newest map[string]int64
	n      int
}

func (b *bystander) fatal(format string, args ...any) {
	b.t.Helper()
	b.t.Fatalf("after %d steps: %s", b.n, fmt.Sprintf(format, args...))
}

// pick returns a sandbox in one of the states, the same for the same seed.
func (b *bystander) pick(states ...string) string {
	var ids []string
	for id, x := range b.boxes {
		if slices.Contains(states, x.state) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	slices.Sort(ids)
	return ids[b.r.IntN(len(ids))]
}

func (b *bystander) gone(ids []string) {
	b.t.Helper()
	for _, id := range ids {
		x := b.boxes[id]
		if x == nil || x.state == "busy" || x.state == "starting" {
			b.fatal("%s went while %+v", id, x)
		}
		delete(b.boxes, id)
	}
}

// need is one of a dozen functions, each of one size.
func (b *bystander) need() pool.Need {
	k := b.r.IntN(12)
	n := need(fmt.Sprint("f", k), 128<<(k%3))
	n.Generation = b.newest[n.Function.Name]
	n.Late = k != 0
	n.NoEvict = b.r.IntN(4) == 0
	return n
}

func (b *bystander) acquire() {
	n := b.need()
	name := n.Function.Name
	latest := ""
	for id, x := range b.boxes {
		if x.fn == name && x.state == "idle" && x.gen == n.Generation &&
			(latest == "" || x.lastUsed.After(b.boxes[latest].lastUsed)) {
			latest = id
		}
	}
	before := len(b.boxes)
	d := b.p.Acquire(n, b.now)
	for _, id := range d.Evict {
		if x := b.boxes[id]; n.NoEvict && x != nil && !(x.fn == name && x.gen < n.Generation) {
			b.fatal("%s was evicted against NoEvict", id)
		}
	}
	b.gone(d.Evict)
	switch d.Action {
	case pool.Warm:
		x := b.boxes[d.Sandbox]
		if x == nil || x.state != "idle" || x.fn != name || x.gen != n.Generation {
			b.fatal("%s is warm for %v, but is %+v", d.Sandbox, n, x)
		}
		if !x.lastUsed.Equal(b.boxes[latest].lastUsed) {
			b.fatal("%s is not the most recently used, %s is", d.Sandbox, latest)
		}
		x.state = "busy"
	case pool.Specialise:
		x := b.boxes[d.Sandbox]
		if latest != "" || x == nil || x.state != "warming" || x.fn != "" || x.mb != n.MemoryMB || !n.Late {
			b.fatal("%s is specialised for %v, but is %+v (warm: %q)", d.Sandbox, n, x, latest)
		}
		x.state, x.fn, x.gen = "busy", name, n.Generation
	case pool.Start:
		if latest != "" {
			b.fatal("a start while %s is warm", latest)
		}
		b.add(n, d.Instance)
	case pool.Refuse:
		if latest != "" {
			b.fatal("refused while %s is warm", latest)
		}
		if !n.NoEvict {
			if len(d.Evict) > 0 && len(b.boxes) == before {
				b.fatal("refused and evicted")
			}
			b.mustBeFull(n.MemoryMB)
		}
	}
}

// mustBeFull checks that no eviction would have made room.
func (b *bystander) mustBeFull(mb int) {
	for at, memory := range b.mb {
		held := 0
		for _, x := range b.boxes {
			if x.at == at && (x.state == "busy" || x.state == "starting") {
				held += x.mb
			}
		}
		if memory-held >= mb {
			b.fatal("refused %d MB while %s could have them", mb, at)
		}
	}
}

func (b *bystander) add(n pool.Need, at string) {
	id := fmt.Sprint("s", b.n)
	if !b.p.Add(id, at, n, b.now) {
		b.fatal("no room for %d MB on %s", n.MemoryMB, at)
	}
	b.boxes[id] = &modelBox{n.Function.Name, n.Generation, n.MemoryMB, at, "starting", b.now}
	if b.r.IntN(3) > 0 {
		b.p.Started(id, time.Duration(b.r.IntN(1000))*time.Millisecond)
		b.boxes[id].state = "busy"
	}
}

func (b *bystander) release() {
	id := b.pick("busy", "starting")
	if id == "" {
		return
	}
	x := b.boxes[id]
	kept := b.p.Release(id, b.newest[x.fn], b.now)
	if want := x.fn == "" || x.gen >= b.newest[x.fn]; kept != want {
		b.fatal("Release(%s) = %v of %+v, newest %d", id, kept, x, b.newest[x.fn])
	}
	x.lastUsed = b.now
	switch {
	case !kept:
		delete(b.boxes, id)
	case x.fn == "":
		x.state = "warming"
	default:
		x.state = "idle"
	}
}

// ahead prepares what the pool wants prepared.
func (b *bystander) ahead() {
	for _, n := range b.p.Ahead(b.now) {
		d := b.p.Prepare(n, b.now)
		if len(d.Evict) > 0 || d.Action == pool.Warm {
			b.fatal("Prepare(%+v) = %+v", n, d)
		}
		b.n++
		switch d.Action {
		case pool.Specialise:
			x := b.boxes[d.Sandbox]
			if x == nil || x.state != "warming" || !n.Late {
				b.fatal("%s is prepared for %v, but is %+v", d.Sandbox, n, x)
			}
			x.state, x.fn, x.gen = "busy", n.Function.Name, n.Generation
		case pool.Start:
			b.add(n, d.Instance)
		}
	}
}

func (b *bystander) step() {
	b.n++
	b.now = b.now.Add(time.Duration(b.r.IntN(4000)) * time.Millisecond)
	switch k := b.r.IntN(40); {
	case k < 16:
		b.acquire()
	case k < 28:
		b.release()
	case k < 31:
		b.p.Scale(b.now)
		b.ahead()
		b.gone(b.p.Expire(b.now))
		for _, at := range b.p.IdleInstances(b.now) {
			if gone := b.p.RemoveInstance(at, b.now); gone != nil {
				b.fatal("idle %s held %v", at, gone)
			}
			delete(b.mb, at)
		}
		if next := b.p.Next(); !next.IsZero() && !next.After(b.now) {
			b.fatal("Next is %v ago after Expire", b.now.Sub(next))
		}
	case k < 34:
		for _, s := range b.p.Refill(b.now) {
			for range s.N {
				if at := b.p.Room(s.MemoryMB); at != "" {
					b.n++
					b.add(pool.Need{Runtime: s.Runtime, MemoryMB: s.MemoryMB}, at)
				}
			}
		}
	case k < 35:
		if id := b.pick("busy", "starting", "idle", "warming"); id != "" {
			b.p.Remove(id, b.now)
			delete(b.boxes, id)
		}
	case k < 36:
		name := fmt.Sprint("f", b.r.IntN(12))
		b.newest[name]++
		if b.r.IntN(2) == 0 {
			b.gone(b.p.Retire(need(name, 0).Function, b.newest[name], b.now))
			for id, x := range b.boxes {
				if x.fn == name && x.state == "idle" {
					b.fatal("%s outlived its generation: %+v", id, x)
				}
			}
		}
	case k < 37:
		if id := b.pick("busy"); id != "" && b.boxes[id].fn != "" {
			b.p.Unbind(id, b.now) // as after a Specialise that was not accepted
			x := b.boxes[id]
			x.fn, x.gen, x.state, x.lastUsed = "", 0, "warming", b.now
		}
	case k < 38:
		id := b.pick("busy", "idle", "warming")
		if b.p.Evict(id, b.now) {
			b.gone([]string{id})
		} else if id != "" && b.boxes[id].state != "busy" {
			b.fatal("Evict(%s) = false", id)
		}
	case k < 39:
		at := fmt.Sprint("i", b.r.IntN(3))
		for _, id := range b.p.RemoveInstance(at, b.now) {
			if b.boxes[id] == nil || b.boxes[id].at != at {
				b.fatal("%s went with %s", id, at)
			}
			delete(b.boxes, id)
		}
		delete(b.mb, at)
	default:
		at := fmt.Sprint("i", b.r.IntN(3))
		b.gone(b.p.DrainInstance(at, b.now))
		if b.mb[at] == 0 { // it was not there
			b.mb[at] = 512 << b.r.IntN(3)
			b.p.AddInstance(at, b.mb[at], b.now)
		} else {
			// Drained: give it back as soon as it is empty, here at once.
			for _, id := range b.p.RemoveInstance(at, b.now) {
				delete(b.boxes, id)
			}
			delete(b.mb, at)
		}
	}
}

func (b *bystander) check() {
	used := map[string]int{}
	var want thermocline.SandboxCounts
	free := 0
	for _, x := range b.boxes {
		used[x.at] += x.mb
		switch x.state {
		case "starting":
			want.Starting++
		case "busy":
			want.Busy++
		case "idle":
			want.Idle++
			free += x.mb
		case "warming":
			want.Warming++
			free += x.mb
		}
	}
	if diff := cmp.Diff(want, b.p.Counts()); diff != "" {
		b.fatal("counts (-model +pool):\n%s", diff)
	}
	total := 0
	for _, in := range b.p.Instances() {
		if in.UsedMB != used[in.ID] || in.UsedMB > in.MemoryMB || in.MemoryMB != b.mb[in.ID] {
			b.fatal("%+v, the model says %d of %d MB", in, used[in.ID], b.mb[in.ID])
		}
		total += in.MemoryMB - in.UsedMB
	}
	if got := b.p.FreeMB(); got != total+free {
		b.fatal("FreeMB = %d, want %d", got, total+free)
	}
}

func TestAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := &bystander{
				t: t, r: rand.New(rand.NewPCG(seed, 11)), now: start,
				p: pool.New(pool.Config{
					KeepAlive: 40 * time.Second, Bin: time.Second, Worth: 3, MaxFunctions: 5, WarmMB: 512,
					Spares: []pool.Spare{{Runtime: "nodejs20.x", MemoryMB: 128, N: 1}},
				}),
				boxes: map[string]*modelBox{}, mb: map[string]int{}, newest: map[string]int64{},
			}
			for k := range 12 {
				b.newest[fmt.Sprint("f", k)] = 1
			}
			for range 4000 {
				b.step()
				b.check()
			}
		})
	}
}
