package pool_test

import (
	"fmt"
	"testing"
	"time"

	"thermocline/manager/pool"
)

// leaving returns a pool with a sandbox in each of two instances, of which one is
// being left, and the need whose sandbox waits there.
func leaving(t *testing.T) (p *pool.Pool, n pool.Need, sandbox string, now time.Time) {
	t.Helper()
	p = pool.New(pool.Config{})
	p.AddInstance("a", 1024, start)
	p.AddInstance("b", 1024, start)
	stays, moves := need("stays", 512), need("moves", 256)
	idle(t, p, "s", "a", stays, start)
	idle(t, p, "m", "b", moves, start)
	now = start
	for range 60 { // the wish is looked at every ten seconds
		now = now.Add(10 * time.Second)
		if got := p.Scale(now); got != 0 {
			t.Fatalf("Scale asks for %d instances", got)
		}
		if ahead := p.Ahead(now); len(ahead) > 0 {
			if len(ahead) != 1 || ahead[0].Function != moves.Function {
				t.Fatalf("prepared for %+v, want what waits in b", ahead)
			}
			if took := now.Sub(start); took < 2*time.Minute {
				t.Errorf("an instance is left after %v", took)
			}
			return p, moves, "m", now
		}
	}
	t.Fatal("no instance is left, though one would do")
	return nil, pool.Need{}, "", now
}

// What waits in an instance that is left moves before it goes.
func TestScaleMovesSandboxes(t *testing.T) {
	p, n, _, now := leaving(t)
	if gone := p.Expire(now); len(gone) > 0 {
		t.Fatalf("%v went before another was ready", gone)
	}
	n.Ahead = true
	d := p.Prepare(n, now)
	if d.Action != pool.Start || d.Instance != "a" {
		t.Fatalf("Prepare = %+v, want a start in a", d)
	}
	p.Add("new", d.Instance, n, now)
	p.Started("new", time.Second)
	p.Release("new", 1, now)
	if gone := p.Expire(now); fmt.Sprint(gone) != "[m]" {
		t.Errorf("%v went, want m, in whose place another waits", gone)
	}
	if gone := p.IdleInstances(now); fmt.Sprint(gone) != "[b]" {
		t.Errorf("given back: %v, want b", gone)
	}
	n.Ahead = false
	if d := p.Acquire(n, now); d.Action != pool.Warm || d.Sandbox != "new" {
		t.Errorf("the next call: %+v", d)
	}
}

// A sandbox that is used while its instance is left is replaced once, not at
// every use.
func TestScaleAsksOnce(t *testing.T) {
	p, n, id, now := leaving(t)
	for i := range 100 {
		now = now.Add(time.Millisecond)
		if d := p.Acquire(n, now); d.Action != pool.Warm || d.Sandbox != id {
			t.Fatalf("use %d: %+v", i, d)
		}
		p.Release(id, 1, now)
	}
	if ahead := p.Ahead(now); len(ahead) > 0 {
		t.Errorf("%d more were asked for", len(ahead))
	}
}

// An instance that is being left comes back when it is needed after all.
func TestScaleComesBack(t *testing.T) {
	p, _, _, now := leaving(t)
	d := p.Acquire(need("large", 640), now)
	if d.Action != pool.Start || d.Instance != "b" || len(d.Evict) > 0 {
		t.Errorf("Acquire = %+v, want a start in b", d)
	}
}

// Guests take what nobody uses, and go soon.
func TestGuests(t *testing.T) {
	p := pool.New(pool.Config{Slots: 4})
	p.AddInstance("i", 1024, start)
	guest := need("guest", 128)
	guest.Guest = true
	var ids []string
	for k := range 8 {
		d := p.Acquire(guest, start)
		if d.Action != pool.Start {
			break
		}
		id := fmt.Sprint("g", k)
		p.Add(id, d.Instance, guest, start)
		p.Started(id, time.Second)
		ids = append(ids, id)
	}
	if len(ids) != 3 {
		t.Fatalf("%d guests run on 4 slots, of which one is to be left", len(ids))
	}
	if d := p.Acquire(need("own", 128), start); d.Action != pool.Start {
		t.Errorf("the fleet's own: %+v", d)
	}
	for _, id := range ids {
		p.Release(id, 1, start.Add(time.Second))
	}
	if gone := p.Expire(start.Add(20 * time.Second)); len(gone) != 3 {
		t.Errorf("%v went, want all guests", gone)
	}
	full := pool.New(pool.Config{})
	full.AddInstance("i", 512, start)
	idle(t, full, "own", "i", need("own", 480), start)
	if d := full.Acquire(guest, start); d.Action != pool.Refuse || len(d.Evict) > 0 {
		t.Errorf("a guest of a full instance: %+v", d)
	}
}
