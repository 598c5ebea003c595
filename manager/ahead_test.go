package manager_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thermocline"
	"thermocline/manager"
	"thermocline/manager/pool"
)

// hourly calls f every hour and returns the kinds of start. between is called in
// the middle of each hour.
func hourly(t *testing.T, m *manager.Manager, calls int, between func(i int)) (kinds []thermocline.StartKind, last *thermocline.Result) {
	t.Helper()
	for i := range calls {
		res, err := m.Handle(t.Context(), invocation("f", i), yes)
		if err != nil {
			t.Fatal(err)
		}
		kinds, last = append(kinds, res.Report.Start), res
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		between(i)
		time.Sleep(10*time.Minute - time.Millisecond)
		synctest.Wait()
	}
	return kinds, last
}

// TestAhead shows that a function that is called every hour finds a sandbox
// that waits, initialised, although none waits in between.
func TestAhead(t *testing.T) {
	for _, warm := range []int{-1, 512} {
		n := newNode(4096)
		n.initTime = 2 * time.Second
		bench(t, n, manager.Options{Pool: pool.Config{WarmMB: warm, KeepAlive: 24 * time.Hour}}, func(t *testing.T, m *manager.Manager, s *shelf) {
			s.put(function("f", 512))
			kinds, last := hourly(t, m, 12, func(i int) {
				if c := m.Status().Sandboxes; c.Idle+c.Busy > 0 {
					t.Errorf("WarmMB %d, hour %d: %+v although the next call is 10 minutes away", warm, i, c)
				}
			})
			if got := kinds[len(kinds)-1]; got != thermocline.StartWarm {
				t.Errorf("WarmMB %d: the last of 12 hourly calls started %s, all: %v", warm, got, kinds)
			}
			if last.Report.Init != 0 {
				t.Errorf("WarmMB %d: the report says %v of initialisation for which nobody waited", warm, last.Report.Init)
			}
			if !strings.Contains(string(last.LogTail), "made ready") {
				t.Errorf("WarmMB %d: what it wrote while it was prepared is missing from %q", warm, last.LogTail)
			}
			if v := n.initialised.Load(); v == 0 {
				t.Errorf("WarmMB %d: nothing was initialised ahead", warm)
			}
			if v := n.early.Load() + n.mixed.Load(); v != 0 {
				t.Errorf("WarmMB %d: %d sandboxes were frozen while they initialised, or bound twice", warm, v)
			}
		})
	}
}

// TestAheadOfAnUpdate prepares the function as it is then, not as it was.
func TestAheadOfAnUpdate(t *testing.T) {
	n := newNode(4096)
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 512))
		hourly(t, m, 12, func(int) {})
		newer := function("f", 512)
		newer.Generation = 2
		s.put(newer) // and the sandbox that waits is of the old one
		inv := invocation("f", 12)
		inv.Generation = 2
		if _, err := m.Handle(t.Context(), inv, yes); err != nil {
			t.Fatal(err)
		}
		newest := function("f", 512)
		newest.Generation = 3
		time.Sleep(30 * time.Minute)
		s.put(newest)
		time.Sleep(30*time.Minute - time.Millisecond)
		synctest.Wait()
		inv = invocation("f", 13)
		inv.Generation = 3
		res, err := m.Handle(t.Context(), inv, yes)
		if err != nil {
			t.Fatal(err)
		}
		if res.Report.Start != thermocline.StartWarm {
			t.Errorf("the call after an update started %s, want warm: the newer was to be prepared", res.Report.Start)
		}
	})
}

// TestAheadOfNothing shows that a function that was deleted is not prepared.
func TestAheadOfNothing(t *testing.T) {
	n := newNode(4096)
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 512))
		hourly(t, m, 12, func(i int) {
			if i == 11 {
				s.remove(function("f", 512).FunctionID)
			}
		})
		before := n.started.Load()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got := n.started.Load() - before; got != 0 {
			t.Errorf("%d sandboxes were started for a function that is no more", got)
		}
		if c := m.Status().Sandboxes; c.Idle > 0 {
			t.Errorf("sandboxes = %+v, want none", c)
		}
	})
}

// TestSpares shows that the first call of all can be a pooled one.
func TestSpares(t *testing.T) {
	n := newNode(4096)
	o := manager.Options{InstanceMB: 256, Pool: pool.Config{WarmMB: 256}}
	o.Spares = func(context.Context) ([]pool.Spare, error) {
		return []pool.Spare{{Runtime: "nodejs20.x", MemoryMB: 128, N: 1}}, nil
	}
	bench(t, n, o, func(t *testing.T, m *manager.Manager, s *shelf) {
		synctest.Wait()
		if got := n.sandboxes(); got != 0 {
			t.Errorf("%d spares were booted while the process starts", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if c := m.Status().Sandboxes; c.Warming != 1 {
			t.Fatalf("sandboxes = %+v, want one warming", c)
		}
		if v := n.frozen.Load(); v != 0 {
			t.Error("a spare was frozen: thawing it would cost time")
		}
		s.put(function("f", 128))
		res, err := m.Handle(t.Context(), invocation("f", 0), yes)
		if err != nil {
			t.Fatal(err)
		}
		if res.Report.Start != thermocline.StartPooled {
			t.Errorf("the first call started %s, want pooled", res.Report.Start)
		}
	})
}

// TestGivesWay shows that nothing boots while a cold start is served, for a
// while.
func TestGivesWay(t *testing.T) {
	n := newNode(4096)
	n.handler = slow(20 * time.Millisecond)
	bench(t, n, manager.Options{Pool: pool.Config{WarmMB: 512}}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		s.put(function("g", 128))
		done := make(chan struct{}, 2)
		call := func(name string) {
			if _, err := m.Handle(context.WithoutCancel(t.Context()), invocation(name, 0), yes); err != nil {
				t.Error(err)
			}
			done <- struct{}{}
		}
		go call("f")
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if got := n.started.Load(); got != 1 {
			t.Errorf("%d sandboxes were started while a cold start is served, want its own", got)
		}
		<-done
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := n.started.Load(); got < 2 {
			t.Errorf("%d sandboxes were started after it, want one for the next", got)
		}
	})
}
