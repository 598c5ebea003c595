package dispatchtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

func testCrashAfter(b *bench) {
	pass, open := b.gate()
	defer open()
	a, second := manager("a", 8), manager("b", 8)
	a.Run = func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{}, nil
	}
	nodes := b.setUp(Config{}, a, second)
	var replies []<-chan reply
	for _, r := range bothModes(b.leasedBy("a"), "a", "b") {
		replies = append(replies, b.begin(b.Context(), r, b.invocation()))
	}
	b.eventually("both run", func() bool { return len(a.Ran()) == 2 })
	began := time.Now()
	nodes[0].Crash()
	for _, c := range replies {
		b.want((<-c).err, thermocline.KindPossiblyStarted)
	}
	if d := time.Since(began); d > 6*time.Second {
		b.Errorf("the loss was told only after %v", d)
	}
	if n := len(second.Ran()); n != 0 {
		b.Errorf("%d ran a second time", n)
	}
}

func testCrashBefore(b *bench) {
	pass, open := b.gate()
	defer open()
	a, second := manager("a", 8), manager("b", 8)
	a.Offered = func(context.Context, *thermocline.Invocation) error { pass(); return nil }
	nodes := b.setUp(Config{StartWithin: time.Second}, a, second)
	var replies []<-chan reply
	for _, r := range bothModes(b.leasedBy("a"), "a", "b") {
		replies = append(replies, b.begin(b.Context(), r, b.invocation()))
	}
	b.eventually("both are offered", func() bool { return a.Handling() == 2 })
	nodes[0].Crash()
	open()
	for _, c := range replies {
		if got := <-c; got.err != nil || got.res.Report.Manager != "b" {
			b.Errorf("got %v, %v; want it run by b", got.res, got.err)
		}
	}
	if n := len(a.Ran()); n != 0 {
		b.Errorf("%d started on the crashed manager", n)
	}
}

func testCrashReturn(b *bench) {
	pass, open := b.gate()
	defer open()
	first := manager("a", 8)
	first.Offered = func(context.Context, *thermocline.Invocation) error { pass(); return nil }
	nodes := b.setUp(Config{}, first)
	var replies []<-chan reply
	for _, r := range bothModes(b.leasedBy("a"), "a") {
		replies = append(replies, b.begin(b.Context(), r, b.invocation()))
	}
	b.eventually("both are offered", func() bool { return first.Handling() == 2 })
	began := time.Now()
	nodes[0].Crash()
	second := manager("a", 8)
	b.bed.Serve(second)
	for _, c := range replies {
		if got := <-c; got.err != nil {
			b.Errorf("after the return: %v", got.err)
		}
	}
	if d := time.Since(began); d > 8*time.Second {
		b.Errorf("taken again only after %v", d)
	}
	open()
	b.eventually("the first returns", func() bool { return first.Handling() == 0 })
	if n := len(first.Ran()); n != 0 {
		b.Errorf("%d started on the crashed manager", n)
	}
}

func testStopWaits(b *bench) {
	pass, open := b.gate()
	defer open()
	a := manager("a", 8)
	a.Run = func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{RequestID: inv.RequestID}, ctx.Err()
	}
	nodes := b.setUp(Config{}, a)
	var replies []<-chan reply
	for _, r := range bothModes(b.leasedBy("a"), "a") {
		replies = append(replies, b.begin(b.Context(), r, b.invocation()))
	}
	b.eventually("both run", func() bool { return len(a.Ran()) == 2 })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		nodes[0].Stop()
	}()
	b.eventually("it is known to stop", func() bool {
		for _, m := range b.bed.Client.Managers() {
			if !m.Draining {
				return false
			}
		}
		return true
	})
	select {
	case <-stopped:
		b.Error("stopped while handlers ran")
	default:
	}
	open()
	for _, c := range replies {
		if got := <-c; got.err != nil {
			b.Errorf("running when the manager stopped: %v", got.err)
		}
	}
	<-stopped
	b.eventually("it is gone", func() bool { return len(b.bed.Client.Managers()) == 0 })
}

// route is what a router does: the live managers, the lessee first.
func (b *bench) route(mode dispatch.Mode, p int) dispatch.Route {
	r := dispatch.Route{Fleet: fleet, Mode: mode, Partition: p}
	live := b.bed.Client.Managers()
	lessee := dispatch.Lessees(live, fleet)[p]
	if lessee != "" && mode == dispatch.ModeDirect {
		r.Managers = append(r.Managers, lessee)
	}
	for _, m := range live {
		if m.ID != lessee && !m.Draining {
			r.Managers = append(r.Managers, m.ID)
		}
	}
	return r
}

// load invokes from workers until ctx ends, then returns how many were invoked.
func (b *bench) load(ctx context.Context, workers int, each func(*thermocline.Invocation, error)) (n int64) {
	var wg sync.WaitGroup
	var count atomic.Int64
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for ctx.Err() == nil {
				mode := dispatch.ModeDirect
				if rng.IntN(2) == 0 {
					mode = dispatch.ModeQueue
				}
				inv := b.invocation()
				_, err := b.bed.Client.Invoke(b.Context(), b.route(mode, rng.IntN(dispatch.Partitions)), inv)
				each(inv, err)
				count.Add(1)
			}
		})
	}
	wg.Wait()
	return count.Load()
}

func testStopUnderLoad(b *bench) {
	slow := func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		time.Sleep(5 * time.Millisecond)
		return &thermocline.Result{RequestID: inv.RequestID}, nil
	}
	managers := []*Manager{manager("a", 64), manager("b", 64)}
	for _, m := range managers {
		m.Run = slow
	}
	nodes := b.setUp(Config{}, managers...)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan int64)
	go func() {
		done <- b.load(ctx, 8, func(inv *thermocline.Invocation, err error) {
			if err != nil {
				b.Errorf("%s: %v", inv.RequestID, err)
			}
		})
	}()
	for round := range 3 {
		i := round % 2
		time.Sleep(200 * time.Millisecond) // of load
		nodes[i].Stop()
		b.settled(managers[1-i])
		time.Sleep(200 * time.Millisecond)
		m := manager(managers[i].ID, 64)
		m.Run = slow
		managers[i], nodes[i] = m, b.bed.Serve(m)
		b.settled(managers...)
	}
	cancel()
	if n := <-done; n < 100 {
		b.Errorf("only %d invocations: no load", n)
	}
}

// testChaos lets managers refuse, stall, stop and crash at random. What
// succeeded ran once, what was refused or found nobody never ran, what may
// have started ran once at most; every event ran.
func testChaos(b *bench) {
	const seed = 11
	b.Logf("seed %d", seed)
	var mu sync.Mutex
	runs, outcomes := map[string]int{}, map[string]error{}
	events := map[string]bool{}
	rng := rand.New(rand.NewPCG(seed, seed))
	chance := func(p float64) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.Float64() < p
	}
	fresh := func(id string) *Manager {
		m := manager(id, 16)
		m.Offered = func(context.Context, *thermocline.Invocation) error {
			switch {
			case chance(0.2):
				return thermocline.Errorf(thermocline.KindRefused, "no room")
			case chance(0.03):
				time.Sleep(200 * time.Millisecond) // past the time to accept
			case chance(0.01):
				return errors.New("trouble")
			}
			return nil
		}
		m.Started = func(inv *thermocline.Invocation) {
			mu.Lock()
			defer mu.Unlock()
			runs[inv.RequestID]++
		}
		m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
			time.Sleep(2 * time.Millisecond)
			return &thermocline.Result{RequestID: inv.RequestID}, nil
		}
		return m
	}
	managers := []*Manager{fresh("a"), fresh("b"), fresh("c")}
	nodes := b.setUp(Config{StartWithin: 100 * time.Millisecond, Retry: quick}, managers...)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		b.load(ctx, 8, func(inv *thermocline.Invocation, err error) {
			mu.Lock()
			defer mu.Unlock()
			outcomes[inv.RequestID] = err
		})
	})
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			inv := b.event()
			err := b.bed.Client.Enqueue(b.Context(), dispatch.Route{Fleet: fleet, Partition: i % dispatch.Partitions}, inv)
			mu.Lock()
			events[inv.RequestID] = err == nil
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
	})
	for round := range 4 {
		time.Sleep(300 * time.Millisecond) // of load
		i := round % len(nodes)
		if round%2 == 0 {
			nodes[i].Crash()
			time.Sleep(100 * time.Millisecond)
		} else {
			nodes[i].Stop()
		}
		managers[i] = fresh(managers[i].ID)
		nodes[i] = b.bed.Serve(managers[i])
	}
	time.Sleep(300 * time.Millisecond)
	cancel()
	wg.Wait()
	b.quiet()
	for _, n := range nodes {
		n.Stop()
	}
	mu.Lock()
	defer mu.Unlock()
	kinds := map[string]int{}
	for id, err := range outcomes {
		kind := "succeeded"
		low, high := 1, 1
		if err != nil {
			kind = fmt.Sprint("kind ", thermocline.KindOf(err))
			low, high = 0, 0
			if thermocline.KindOf(err) == thermocline.KindPossiblyStarted {
				high = 1
			}
		}
		kinds[kind]++
		if n := runs[id]; n < low || n > high {
			b.Errorf("%s ended with %v and ran %d times", id, err, n)
		}
	}
	for id, stored := range events {
		if stored && runs[id] == 0 {
			b.Errorf("event %s was stored and never ran", id)
		}
	}
	b.Logf("%d invocations: %v; %d events", len(outcomes), kinds, len(events))
	if kinds["succeeded"] < 100 {
		b.Errorf("only %d invocations succeeded: no load", kinds["succeeded"])
	}
}
