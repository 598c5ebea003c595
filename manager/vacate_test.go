package manager_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"thermocline"
	"thermocline/manager"
	"thermocline/manager/pool"
	"thermocline/sandbox"
)

// slow is a handler that takes d.
func slow(d time.Duration) func(sandbox.Binding, sandbox.Invocation) sandbox.Outcome {
	return func(b sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome {
		time.Sleep(d)
		return echo(b, inv)
	}
}

// two runs test with two managers that share a node of 2,048 MB: each is
// guaranteed 512, and has instances of 256.
func two(t *testing.T, n *node, test func(t *testing.T, a, b *manager.Manager, s *shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		if n.handler == nil {
			n.handler = echo
		}
		l := manager.NewLedger(&sized{n, 2048})
		var ms []*manager.Manager
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, id := range []string{"a", "b"} {
			ms = append(ms, manager.New(manager.Options{
				ID: id, Fleet: id, Node: "n1", Provider: l.Share(), Functions: s, Code: s, Logs: s,
				InstanceMB: 256, Pool: pool.Config{WarmMB: -1, Fixed: true, KeepAlive: time.Hour},
			}))
		}
		for _, m := range ms {
			running.Go(func() { _ = m.Run(ctx) })
		}
		test(t, ms[0], ms[1], s)
		cancel()
		running.Wait()
		for _, m := range ms {
			if err := m.Close(context.Background()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		synctest.Wait()
		if left := n.sandboxes(); left != 0 {
			t.Errorf("%d sandboxes were left behind", left)
		}
		if v := n.overlaps.Load(); v != 0 {
			t.Errorf("%d invocations overlapped in a sandbox or ran in a frozen one", v)
		}
		if _, free := n.Capacity(); free != 2048 {
			t.Errorf("%d MB are free at the end, want all", free)
		}
	})
}

// memoryOf is the memory of a manager's instances in MB.
func memoryOf(m *manager.Manager) int {
	mb := 0
	for _, in := range m.Status().Instances {
		mb += in.MemoryMB
	}
	return mb
}

// fill has a manager keep as many idle sandboxes as it gets.
func fill(t *testing.T, m *manager.Manager, s *shelf, prefix string, count int) {
	t.Helper()
	for i := range count {
		name := fmt.Sprint(prefix, i)
		s.put(function(name, 128))
		if _, err := m.Handle(t.Context(), invocation(name, 0), yes); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryFollowsTheLoad fills the memory with the idle sandboxes of one
// manager; then the other has load, which gets what it needs down to the
// guarantee of the first, and no request fails. Afterwards the other way round.
func TestMemoryFollowsTheLoad(t *testing.T) {
	n := newNode(2048)
	two(t, n, func(t *testing.T, a, b *manager.Manager, s *shelf) {
		for round, m := range []struct{ idle, busy *manager.Manager }{{a, b}, {b, a}, {a, b}} {
			n.handler = echo
			fill(t, m.idle, s, fmt.Sprint("r", round, "x"), 12)
			n.handler = slow(time.Second)
			hot := fmt.Sprint("hot", round)
			s.put(function(hot, 128))
			var load sync.WaitGroup
			for i := range 12 { // 1,536 MB: all that the first is not guaranteed
				load.Go(func() {
					if _, err := m.busy.Handle(t.Context(), invocation(hot, i), yes); err != nil {
						t.Errorf("round %d: call %d: %v", round, i, err)
					}
				})
			}
			load.Wait()
			if got := memoryOf(m.busy); got != 1536 {
				t.Errorf("round %d: the loaded manager has %d MB, want 1536", round, got)
			}
			if got := memoryOf(m.idle); got != 512 {
				t.Errorf("round %d: the idle manager has %d MB, want its guarantee", round, got)
			}
			time.Sleep(10 * time.Second) // beyond the dwell
		}
	})
}

// TestNoBusySandboxIsTaken shows that memory in use moves when its invocations
// end, and that nobody waits for them for long.
func TestNoBusySandboxIsTaken(t *testing.T) {
	n := newNode(2048)
	n.handler = slow(10 * time.Second)
	two(t, n, func(t *testing.T, a, b *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		s.put(function("g", 128))
		var load sync.WaitGroup
		for i := range 12 {
			load.Go(func() {
				if _, err := a.Handle(t.Context(), invocation("f", i), yes); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		time.Sleep(time.Second)
		began := time.Now()
		var refused int
		var mu sync.Mutex
		var other sync.WaitGroup
		for i := range 6 {
			other.Go(func() {
				_, err := b.Handle(t.Context(), invocation("g", i), yes)
				switch {
				case err == nil:
				case thermocline.KindOf(err) == thermocline.KindRefused && time.Since(began) < 2*time.Second:
					mu.Lock()
					refused++
					mu.Unlock()
				default:
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		}
		other.Wait()
		if refused != 2 {
			t.Errorf("%d were refused soon, want the two beyond the guarantee", refused)
		}
		load.Wait()
		time.Sleep(time.Second)
		if got := memoryOf(a); got != 1280 {
			t.Errorf("the first has %d MB, want one instance less", got)
		}
		if _, err := b.Handle(t.Context(), invocation("g", 9), yes); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestCloseWhileGivingBack ends managers while memory moves between them.
func TestCloseWhileGivingBack(t *testing.T) {
	n := newNode(2048)
	two(t, n, func(t *testing.T, a, b *manager.Manager, s *shelf) {
		fill(t, a, s, "x", 12)
		n.handler = slow(time.Second)
		s.put(function("hot", 128))
		for i := range 12 {
			go func() { _, _ = b.Handle(context.WithoutCancel(t.Context()), invocation("hot", i), yes) }()
		}
		synctest.Wait()
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
	})
}
