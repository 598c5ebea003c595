package dispatchtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/dispatch"
)

func testCarried(b *bench) {
	want := &thermocline.Result{
		RequestID: "request-x", Payload: []byte("\x00\xffanswer"), ExecutedVersion: "7", LogTail: []byte("tail\n"),
		Report: thermocline.Report{
			Start: thermocline.StartPooled, Duration: 123456 * time.Nanosecond, Billed: time.Millisecond, Init: 5 * time.Second,
			MemoryMB: 128, MaxMemoryMB: 99, Status: "timeout", Fleet: fleet, Manager: "a", Instance: "i", Sandbox: "s",
		},
	}
	m := manager("a", 4)
	m.Run = func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) { return want, nil }
	b.setUp(Config{}, m)
	inv := &thermocline.Invocation{
		RequestID:  "request-x",
		Function:   thermocline.FunctionID{Account: "123456789012", Name: "f", Version: "7"},
		Generation: 42, ARN: "arn:aws:lambda:eu-west-1:123456789012:function:f:7", Type: thermocline.RequestResponse,
		Payload: []byte{0, 255, '{', '}'}, ClientContext: "e30=", TraceID: "Root=1", LogTail: true, Fleet: fleet,
		Received: time.Now().Add(-time.Second).Round(0), StartBy: time.Now().Add(5 * time.Second).Round(0), Attempt: 1,
	}
	for name, r := range bothModes(b.leasedBy("a"), "a") {
		got, err := b.bed.Client.Invoke(b.Context(), r, inv)
		if err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			b.Errorf("%s: result (-want +got):\n%s", name, d)
		}
		ran := m.Ran()
		last := ran[len(ran)-1]
		if last.StartBy.After(inv.StartBy) || last.StartBy.IsZero() {
			b.Errorf("%s: start-by %v is later than the caller's %v", name, last.StartBy, inv.StartBy)
		}
		last.StartBy = inv.StartBy
		if d := cmp.Diff(*inv, last); d != "" {
			b.Errorf("%s: invocation (-want +got):\n%s", name, d)
		}
	}
}

func testHome(b *bench) {
	managers := []*Manager{manager("a", 64), manager("b", 64), manager("c", 64)}
	b.setUp(Config{}, managers...)
	lessees := dispatch.Lessees(b.bed.Client.Managers(), fleet)
	for p := range dispatch.Partitions {
		res, err := b.bed.Client.Invoke(b.Context(), dispatch.Route{Fleet: fleet, Mode: dispatch.ModeQueue, Partition: p}, b.invocation())
		if err != nil {
			b.Fatalf("partition %d: %v", p, err)
		}
		if res.Report.Manager != lessees[p] {
			b.Errorf("partition %d went to %s, want its lessee %s", p, res.Report.Manager, lessees[p])
		}
	}
}

func testSecondChoice(b *bench) {
	refuser := manager("a", 0)
	b.setUp(Config{}, refuser, manager("b", 4))
	for name, r := range bothModes(b.leasedBy("a"), "a", "b") {
		began := time.Now()
		res, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
		if err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		if res.Report.Manager != "b" {
			b.Errorf("%s: ran on %q", name, res.Report.Manager)
		}
		if d := time.Since(began); d > time.Second {
			b.Errorf("%s: the second choice took %v", name, d)
		}
	}
	if n := len(refuser.Ran()); n != 0 {
		b.Errorf("the refuser ran %d", n)
	}
}

func testBusyLessee(b *bench) {
	pass, open := b.gate()
	defer open()
	busy := manager("a", 1)
	busy.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{RequestID: inv.RequestID, Report: thermocline.Report{Manager: "a"}}, nil
	}
	b.setUp(Config{}, busy, manager("b", 64))
	r := bothModes(b.leasedBy("a"), "a", "b")["queue"]
	long := b.begin(b.Context(), r, b.invocation())
	b.eventually("the long one runs", func() bool { return len(busy.Ran()) == 1 })
	for range 20 {
		res, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
		if err != nil || res.Report.Manager != "b" {
			b.Fatalf("behind a long one: %v, %v", res, err)
		}
	}
	open()
	if got := <-long; got.err != nil || got.res.Report.Manager != "a" {
		b.Errorf("the long one: %v, %v", got.res, got.err)
	}
}

func testAllRefuse(b *bench) {
	b.setUp(Config{}, manager("a", 0), manager("b", 0))
	for name, r := range bothModes(b.leasedBy("a"), "a", "b") {
		began := time.Now()
		_, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
		b.want(err, thermocline.KindThrottled)
		if e := (*thermocline.Error)(nil); errors.As(err, &e) && e.Reason != thermocline.ReasonConcurrent {
			b.Errorf("%s: reason %q", name, e.Reason)
		}
		if d := time.Since(began); d > time.Second {
			b.Errorf("%s: throttled only after %v", name, d)
		}
	}
}

func testLoad(b *bench) {
	pass, open := b.gate()
	defer open()
	m := manager("a", 3)
	m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{RequestID: inv.RequestID}, nil
	}
	b.setUp(Config{}, m)
	r := bothModes(0, "a")["direct"]
	var replies []<-chan reply
	for range 3 {
		replies = append(replies, b.begin(b.Context(), r, b.invocation()))
	}
	b.eventually("three run", func() bool { return len(m.Ran()) == 3 })
	_, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
	b.want(err, thermocline.KindThrottled)
	if got := b.bed.Client.Managers(); len(got) != 1 || got[0].Outstanding != 3 || got[0].Slots != 3 {
		b.Errorf("right after a refusal the load is %+v, want 3 of 3", got)
	}
	open()
	for _, c := range replies {
		if got := <-c; got.err != nil {
			b.Error(got.err)
		}
	}
}

func testErrors(b *bench) {
	early := thermocline.Errorf(thermocline.KindNotFound, "no such function")
	late := thermocline.WithCause(thermocline.KindInvalidRuntime, errors.New("secret"), "it did not start")
	first, second := manager("a", 4), manager("b", 4)
	var before, after error
	first.Offered = func(context.Context, *thermocline.Invocation) error { return before }
	first.Run = func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) { return nil, after }
	b.setUp(Config{}, first, second)
	for name, r := range bothModes(b.leasedBy("a"), "a", "b") {
		before = early
		_, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
		b.want(err, thermocline.KindNotFound)
		before, after = nil, late
		_, err = b.bed.Client.Invoke(b.Context(), r, b.invocation())
		b.want(err, thermocline.KindInvalidRuntime)
		if err != nil && err.Error() != late.Message {
			b.Errorf("%s: message %q, want %q without its cause", name, err, late.Message)
		}
		after = errors.New("something else")
		_, err = b.bed.Client.Invoke(b.Context(), r, b.invocation())
		b.want(err, thermocline.KindInternal)
		if n := len(second.Ran()); n != 0 {
			b.Errorf("%s: the second choice ran %d times", name, n)
		}
	}
}

func testFunctionError(b *bench) {
	m := manager("a", 1)
	m.Run = func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) {
		return &thermocline.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"E"}`)}, nil
	}
	b.setUp(Config{}, m)
	for name, r := range bothModes(0, "a") {
		res, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
		if err != nil || res.FunctionError != "Unhandled" {
			b.Errorf("%s: %v, %v", name, res, err)
		}
	}
	if n := len(m.Ran()); n != 2 {
		b.Errorf("ran %d times, want once each", n)
	}
}

func testNobody(b *bench) {
	b.setUp(Config{})
	for name, r := range bothModes(0, "a") {
		inv := b.invocation()
		inv.StartBy = time.Now().Add(300 * time.Millisecond)
		began := time.Now()
		_, err := b.bed.Client.Invoke(b.Context(), r, inv)
		b.want(err, thermocline.KindUnavailable)
		if d := time.Since(began); d > 2*time.Second {
			b.Errorf("%s: unavailable only after %v", name, d)
		}
	}
}

func testComesInTime(b *bench) {
	b.setUp(Config{StartWithin: 50 * time.Millisecond})
	var replies []<-chan reply
	for _, r := range bothModes(0, "a") {
		replies = append(replies, b.begin(b.Context(), r, b.invocation()))
	}
	time.Sleep(100 * time.Millisecond) // they have found nobody
	m := manager("late", 4)
	b.bed.Serve(m)
	for _, c := range replies {
		if got := <-c; got.err != nil {
			b.Error(got.err)
		}
	}
	if n := len(m.Ran()); n != 2 {
		b.Errorf("ran %d, want 2", n)
	}
}

func testStalled(b *bench) {
	pass, open := b.gate()
	defer open()
	m := manager("a", 4)
	m.Offered = func(context.Context, *thermocline.Invocation) error { pass(); return nil }
	b.setUp(Config{StartWithin: 100 * time.Millisecond}, m)
	for name, r := range bothModes(b.leasedBy("a"), "a") {
		inv := b.invocation()
		inv.StartBy = time.Now().Add(300 * time.Millisecond)
		began := time.Now()
		_, err := b.bed.Client.Invoke(b.Context(), r, inv)
		b.want(err, thermocline.KindUnavailable)
		if d := time.Since(began); d < 300*time.Millisecond || d > 3*time.Second {
			b.Errorf("%s: unavailable after %v", name, d)
		}
	}
	open()
	b.eventually("the stalled calls return", func() bool { return m.Handling() == 0 })
	if n := len(m.Ran()); n != 0 {
		b.Errorf("%d started after their start-by time", n)
	}
}

func testStalledSecond(b *bench) {
	pass, open := b.gate()
	defer open()
	a, second := manager("a", 4), manager("b", 4)
	a.Offered = func(context.Context, *thermocline.Invocation) error { pass(); return nil }
	b.setUp(Config{StartWithin: 100 * time.Millisecond}, a, second)
	for name, r := range bothModes(b.leasedBy("a"), "a", "b") {
		res, err := b.bed.Client.Invoke(b.Context(), r, b.invocation())
		if err != nil || res.Report.Manager != "b" {
			b.Errorf("%s: %v, %v", name, res, err)
		}
	}
	open()
	b.eventually("the stalled calls return", func() bool { return a.Handling() == 0 })
	if n := len(a.Ran()); n != 0 {
		b.Errorf("%d ran twice", n)
	}
	if n := len(second.Ran()); n != 2 {
		b.Errorf("the second choice ran %d, want 2", n)
	}
}

func testCancel(b *bench) {
	pass, open := b.gate()
	defer open()
	var finished atomic.Int64
	m := manager("a", 4)
	m.Run = func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		if ctx.Err() == nil {
			finished.Add(1)
		}
		return &thermocline.Result{RequestID: inv.RequestID}, nil
	}
	b.setUp(Config{}, m)
	for name, r := range bothModes(b.leasedBy("a"), "a") {
		before := len(m.Ran())
		ctx, cancel := context.WithCancel(b.Context())
		c := b.begin(ctx, r, b.invocation())
		b.eventually("it runs", func() bool { return len(m.Ran()) == before+1 })
		began := time.Now()
		cancel()
		if got := <-c; !errors.Is(got.err, context.Canceled) {
			b.Errorf("%s: %v, want the context's error", name, got.err)
		}
		if d := time.Since(began); d > time.Second {
			b.Errorf("%s: returned only after %v", name, d)
		}
	}
	open()
	b.eventually("both functions finish", func() bool { return finished.Load() == 2 && m.Handling() == 0 })
}

func testCancelEarly(b *bench) {
	pass, open := b.gate()
	defer open()
	m := manager("a", 4)
	m.Offered = func(context.Context, *thermocline.Invocation) error { pass(); return nil }
	b.setUp(Config{}, m)
	for name, r := range bothModes(b.leasedBy("a"), "a") {
		before := m.Handling()
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		c := b.begin(ctx, r, b.invocation())
		b.eventually("it is offered", func() bool { return m.Handling() == before+1 })
		cancel()
		if got := <-c; !errors.Is(got.err, context.Canceled) {
			b.Errorf("%s: %v, want the context's error", name, got.err)
		}
	}
	open()
	b.eventually("the handlers return", func() bool { return m.Handling() == 0 })
	if _, err := b.bed.Client.Invoke(b.Context(), bothModes(0, "a")["queue"], b.invocation()); err != nil {
		b.Errorf("afterwards: %v", err)
	}
}

func testBytes(b *bench) {
	pass, open := b.gate()
	defer open()
	m := manager("a", 64)
	m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		pass()
		return &thermocline.Result{RequestID: inv.RequestID}, nil
	}
	b.setUp(Config{MaxInFlightBytes: 8 << 20}, m)
	big := func() *thermocline.Invocation {
		inv := b.invocation()
		inv.Payload = make([]byte, 5<<20)
		return inv
	}
	for name, r := range bothModes(0, "a") {
		before := len(m.Ran())
		c := b.begin(b.Context(), r, big())
		b.eventually("the first runs", func() bool { return len(m.Ran()) == before+1 })
		began := time.Now()
		_, err := b.bed.Client.Invoke(b.Context(), r, big())
		b.want(err, thermocline.KindThrottled)
		if d := time.Since(began); d > time.Second {
			b.Errorf("%s: throttled only after %v", name, d)
		}
		open()
		if got := <-c; got.err != nil {
			b.Errorf("%s: %v", name, got.err)
		}
		if _, err := b.bed.Client.Invoke(b.Context(), r, big()); err != nil {
			b.Errorf("%s: with the bytes free again: %v", name, err)
		}
		pass, open = b.gate()
	}
	open()
}

func testLarge(b *bench) {
	const n = 64
	managers := []*Manager{manager("a", n), manager("b", n)}
	payload := make([]byte, largePayload)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	b.setUp(Config{}, managers...)
	for name, r := range bothModes(b.leasedBy("a"), "a", "b") {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				inv := b.invocation()
				inv.Payload = payload
				inv.StartBy = time.Now().Add(time.Minute)
				res, err := b.bed.Client.Invoke(b.Context(), r, inv)
				if err != nil {
					b.Errorf("%s: %v", name, err)
				} else if !bytes.Equal(res.Payload, payload) {
					b.Errorf("%s: %d bytes came back changed", name, len(res.Payload))
				}
			})
		}
		wg.Wait()
	}
	if got := len(managers[0].Ran()) + len(managers[1].Ran()); got != 2*n {
		b.Errorf("ran %d, want %d", got, 2*n)
	}
}
