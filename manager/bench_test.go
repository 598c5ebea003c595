package manager_test

import (
	"context"
	"testing"

	"thermocline"
	"thermocline/manager"
	"thermocline/manager/pool"
)

// warmManager is a manager with a warm sandbox, without a dispatch and without
// a real sandbox: what is counted is the manager's own. The returned function
// invokes once.
func warmManager(tb testing.TB) (invoke func()) {
	tb.Helper()
	n := newNode(1 << 20)
	n.handler = echo
	s := &discard{shelf: &shelf{}}
	s.put(function("f", 128))
	m := manager.New(manager.Options{
		ID: "m1", Fleet: "low-volume", Node: "n1", Provider: n, Functions: s, Code: s, Logs: s,
		Pool: pool.Config{WarmMB: -1}, FreezeAfter: -1,
	})
	tb.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	inv := invocation("f", 0)
	inv.LogTail = false
	invoke = func() {
		if r, err := m.Handle(tb.Context(), inv, yes); err != nil || string(r.Payload) != "{}" {
			tb.Fatalf("%+v, %v", r, err)
		}
	}
	invoke()
	return invoke
}

// discard is a shelf that keeps no log lines.
type discard struct{ *shelf }

func (*discard) Append(context.Context, []thermocline.LogLine) error { return nil }

func BenchmarkInvokeWarm(b *testing.B) {
	invoke := warmManager(b)
	b.ReportAllocs()
	for b.Loop() {
		invoke()
	}
}

// The bound is a little above what it takes now: who goes over it should know
// what for.
func TestWarmInvocationAllocatesLittle(t *testing.T) {
	const bound = 30
	if n := testing.AllocsPerRun(200, warmManager(t)); n > bound {
		t.Errorf("a warm invocation takes %.0f allocations in the manager, more than %d", n, bound)
	}
}
