package dispatchtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/dispatch"
)

// event returns an event with a new request id.
func (b *bench) event() *thermocline.Invocation {
	inv := b.invocation()
	inv.Type, inv.StartBy = thermocline.Event, time.Time{}
	return inv
}

func (b *bench) enqueue(p int, inv *thermocline.Invocation) {
	b.Helper()
	if err := b.bed.Client.Enqueue(b.Context(), dispatch.Route{Fleet: fleet, Partition: p}, inv); err != nil {
		b.Fatalf("enqueue: %v", err)
	}
}

// quiet waits until no events are stored.
func (b *bench) quiet() {
	b.Helper()
	b.eventually("all events are done", func() bool {
		queued, err := b.bed.Client.Queued(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return queued[fleet] == 0
	})
}

func testEvent(b *bench) {
	managers := []*Manager{manager("a", 8), manager("b", 8)}
	b.setUp(Config{}, managers...)
	inv := b.event()
	inv.ClientContext, inv.ARN, inv.TraceID = "e30=", "arn:x", "Root=1"
	inv.Received = inv.Received.Round(0)
	b.enqueue(b.leasedBy("a"), inv)
	b.quiet()
	want := *inv
	want.Fleet, want.Attempt = fleet, 1
	if d := cmp.Diff([]thermocline.Invocation{want}, managers[0].Ran()); d != "" {
		b.Errorf("the lessee ran (-want +got):\n%s", d)
	}
	if n := len(managers[1].Ran()); n != 0 {
		b.Errorf("the other manager ran %d", n)
	}

	big := b.event()
	big.Payload = make([]byte, thermocline.MaxEventPayload+1)
	err := b.bed.Client.Enqueue(b.Context(), dispatch.Route{Fleet: fleet}, big)
	b.want(err, thermocline.KindRequestTooLarge)
}

func testDuplicates(b *bench) {
	m := manager("a", 8)
	b.setUp(Config{}, m)
	inv := b.event()
	for range 3 {
		b.enqueue(5, inv)
	}
	b.quiet()
	b.enqueue(5, inv) // long done, still within two minutes
	b.enqueue(5, b.event())
	b.quiet()
	if n := len(m.Ran()); n != 2 {
		b.Errorf("ran %d, want the one and the other", n)
	}
}

// quick are retries that a test can wait for.
var quick = dispatch.Retry{
	Delays:     []time.Duration{100 * time.Millisecond, 200 * time.Millisecond},
	BackOffMin: 20 * time.Millisecond, BackOffMax: 100 * time.Millisecond,
}

func attempts(m *Manager) []int {
	var got []int
	for _, inv := range m.Ran() {
		got = append(got, inv.Attempt)
	}
	return got
}

func testRetry(b *bench) {
	m := manager("a", 8)
	var mu sync.Mutex
	var times []time.Time
	m.Started = func(*thermocline.Invocation) {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
	}
	m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		if inv.Attempt == 2 {
			return nil, errors.New("a failure of the platform is an attempt as well")
		}
		return &thermocline.Result{FunctionError: "Unhandled"}, nil
	}
	b.setUp(Config{Retry: quick}, m)
	b.enqueue(7, b.event())
	b.quiet()
	if d := cmp.Diff([]int{1, 2, 3}, attempts(m)); d != "" {
		b.Errorf("attempts (-want +got):\n%s", d)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, want := range quick.Delays {
		if got := times[i+1].Sub(times[i]); got < want {
			b.Errorf("attempt %d came after %v, want %v at least", i+2, got, want)
		}
	}
}

func testRecovers(b *bench) {
	m := manager("a", 8)
	m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		if inv.Attempt < 2 {
			return &thermocline.Result{FunctionError: "Unhandled"}, nil
		}
		return &thermocline.Result{}, nil
	}
	b.setUp(Config{Retry: quick}, m)
	b.enqueue(7, b.event())
	b.quiet()
	if d := cmp.Diff([]int{1, 2}, attempts(m)); d != "" {
		b.Errorf("attempts (-want +got):\n%s", d)
	}
}

func testEventRefused(b *bench) {
	m := manager("a", 8)
	var offers atomic.Int64
	m.Offered = func(context.Context, *thermocline.Invocation) error {
		if offers.Add(1) <= 5 {
			return thermocline.Errorf(thermocline.KindRefused, "no room")
		}
		return nil
	}
	b.setUp(Config{Retry: quick}, m)
	began := time.Now()
	b.enqueue(7, b.event())
	b.quiet()
	if d := cmp.Diff([]int{1}, attempts(m)); d != "" {
		b.Errorf("attempts (-want +got):\n%s", d)
	}
	if d := time.Since(began); d < 5*quick.BackOffMin {
		b.Errorf("five refusals were over after %v: there is no back-off", d)
	}
}

func testEventCrash(b *bench) {
	pass, open := b.gate()
	defer open()
	a := manager("a", 8)
	a.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{}, nil
	}
	second := manager("b", 8)
	nodes := b.setUp(Config{Retry: quick}, a, second)
	p := b.leasedBy("a")
	inv := b.event()
	b.enqueue(p, inv)
	b.eventually("it runs", func() bool { return len(a.Ran()) == 1 })
	nodes[0].Crash()
	b.eventually("it runs again", func() bool { return len(second.Ran()) == 1 })
	got := second.Ran()[0]
	if got.RequestID != inv.RequestID || got.Attempt != 1 {
		b.Errorf("ran %s, attempt %d; want %s, attempt 1: a crash is no attempt", got.RequestID, got.Attempt, inv.RequestID)
	}
	open()
	b.quiet()
}

func testEventStop(b *bench) {
	a, second := manager("a", 1), manager("b", 64)
	pass, open := b.gate()
	defer open()
	a.Run = func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{}, nil
	}
	nodes := b.setUp(Config{Retry: quick}, a, second)
	p := b.leasedBy("a")
	const n = 20
	for range n {
		b.enqueue(p, b.event())
	}
	b.eventually("one runs", func() bool { return len(a.Ran()) == 1 })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		nodes[0].Stop()
	}()
	b.eventually("the others run elsewhere", func() bool { return len(second.Ran()) == n-1 })
	open()
	<-stopped
	b.quiet()
	if got := len(a.Ran()) + len(second.Ran()); got != n {
		b.Errorf("ran %d, want %d: without a crash each runs once", got, n)
	}
}

func testEventsWait(b *bench) {
	b.setUp(Config{})
	var want []string
	for p := range 10 {
		inv := b.event()
		want = append(want, inv.RequestID)
		b.enqueue(p, inv)
	}
	queued, err := b.bed.Client.Queued(b.Context())
	if err != nil || queued[fleet] != 10 {
		b.Errorf("queued %v, %v; want 10 of %s", queued, err, fleet)
	}
	m := manager("a", 2)
	b.bed.Serve(m)
	b.quiet()
	var got []string
	for _, inv := range m.Ran() {
		got = append(got, inv.RequestID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		b.Errorf("events (-want +got):\n%s", d)
	}
}

func testEventsFull(b *bench) {
	b.setUp(Config{MaxEvents: 20})
	stored := 0
	for ; stored < 200; stored++ {
		err := b.bed.Client.Enqueue(b.Context(), dispatch.Route{Fleet: fleet, Partition: 3}, b.event())
		if err != nil {
			b.want(err, thermocline.KindThrottled)
			break
		}
	}
	if stored == 0 || stored == 200 {
		b.Fatalf("%d events were stored, want about 20", stored)
	}
	m := manager("a", 4)
	b.bed.Serve(m)
	b.quiet()
	if n := len(m.Ran()); n != stored {
		b.Errorf("ran %d, want the %d that were stored", n, stored)
	}
}

func testFlood(b *bench) {
	pass, open := b.gate()
	defer open()
	var flood, calm atomic.Int64
	m := manager("a", 4)
	m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		if inv.Function.Name == "flood" {
			flood.Add(1)
			pass()
		} else {
			calm.Add(1)
		}
		return &thermocline.Result{}, nil
	}
	b.setUp(Config{}, m)
	for range 50 {
		inv := b.event()
		inv.Function.Name = "flood"
		b.enqueue(1, inv)
	}
	b.eventually("the flood takes its share", func() bool { return flood.Load() == 2 })
	for p := range 10 {
		b.enqueue(2+p, b.event())
	}
	b.eventually("the others run", func() bool { return calm.Load() == 10 })
	if n := flood.Load(); n > 2 {
		b.Errorf("%d of 4 slots went to one partition", n)
	}
	open()
	b.quiet()
}
