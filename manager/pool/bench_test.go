package pool_test

import (
	"fmt"
	"testing"
	"time"

	"thermocline/manager/pool"
)

// warmPool is a pool with many idle sandboxes. The returned function takes one
// and gives it back.
func warmPool(tb testing.TB) (cycle func()) {
	tb.Helper()
	p := pool.New(pool.Config{})
	p.AddInstance("i", 1<<20, start)
	for f := range 500 {
		n := need(fmt.Sprint("f", f), 128)
		for s := range 2 {
			id := fmt.Sprint(f, "-", s)
			if !p.Add(id, "i", n, start) {
				tb.Fatal("no room")
			}
			p.Started(id, 100*time.Millisecond)
			if !p.Release(id, 1, start) {
				tb.Fatal("not kept")
			}
		}
	}
	n, now := need("f7", 128), start
	return func() {
		now = now.Add(time.Millisecond)
		d := p.Acquire(n, now)
		if d.Action != pool.Warm || !p.Release(d.Sandbox, 1, now) {
			tb.Fatalf("%+v", d)
		}
	}
}

func BenchmarkInvokeWarm(b *testing.B) {
	cycle := warmPool(b)
	b.ReportAllocs()
	for b.Loop() {
		cycle()
	}
}

// To find a warm sandbox and to give it back takes next to nothing.
func TestWarmSandboxAllocatesNothing(t *testing.T) {
	const bound = 1
	if n := testing.AllocsPerRun(500, warmPool(t)); n > bound {
		t.Errorf("Acquire and Release take %.0f allocations, more than %d", n, bound)
	}
}
