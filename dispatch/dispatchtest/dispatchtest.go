package dispatchtest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

// Config is what a test wants of the implementation it opens. Zero fields:
// whatever it likes.
type Config struct {
	Retry            dispatch.Retry
	StartWithin      time.Duration
	MaxInFlightBytes int64
	// MaxEvents bounds the stored events of one partition, roughly.
	MaxEvents int
}

// Bed is an implementation, opened for one test and closed with it.
type Bed struct {
	Client dispatch.Client
	// Serve begins to serve h and returns at once.
	Serve func(h dispatch.Handler) Node
}

// Node is a manager that serves.
type Node struct {
	// Stop ends it as a shutdown does and returns when Serve has returned.
	Stop func()
	// Crash ends it as kill -9 does: at once, without a word.
	Crash func()
}

// Suite runs the conformance tests. open opens an implementation whose parts
// end with t; bubble runs a test's body, in a synctest bubble or just so.
func Suite(t *testing.T, open func(t *testing.T, c Config) Bed, bubble func(t *testing.T, f func(t *testing.T))) {
	for _, tt := range []struct {
		name string
		f    func(*bench)
	}{
		{"everything is carried", testCarried},
		{"a partition has one home", testHome},
		{"second choice", testSecondChoice},
		{"busy lessee does not delay", testBusyLessee},
		{"all refuse", testAllRefuse},
		{"load in replies", testLoad},
		{"errors of the handler", testErrors},
		{"function error is a result", testFunctionError},
		{"nobody is there", testNobody},
		{"manager comes in time", testComesInTime},
		{"stalled beyond start-by", testStalled},
		{"stalled, second choice", testStalledSecond},
		{"caller cancels", testCancel},
		{"caller cancels before acceptance", testCancelEarly},
		{"a program and its output", testProgram},
		{"a program ends with its caller", testProgramCancel},
		{"crash after acceptance", testCrashAfter},
		{"crash before acceptance", testCrashBefore},
		{"crash and return", testCrashReturn},
		{"stop waits for handlers", testStopWaits},
		{"stop under load", testStopUnderLoad},
		{"bytes in flight", testBytes},
		{"large payloads", testLarge},
		{"event runs", testEvent},
		{"duplicate events", testDuplicates},
		{"failed event runs three times", testRetry},
		{"failed event recovers", testRecovers},
		{"refused event uses no attempt", testEventRefused},
		{"event after a crash", testEventCrash},
		{"event after a stop", testEventStop},
		{"events wait for a manager", testEventsWait},
		{"event queue is bounded", testEventsFull},
		{"flood leaves room", testFlood},
		{"at most once under chaos", testChaos},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tt.f(&bench{T: t, open: open})
			})
		})
	}
}

const fleet = "low-volume"

// bench is one test with its implementation.
type bench struct {
	*testing.T
	open   func(t *testing.T, c Config) Bed
	bed    Bed
	serial atomic.Int64
}

// setUp opens the implementation and serves the managers.
func (b *bench) setUp(c Config, managers ...*Manager) []Node {
	b.Helper()
	b.bed = b.open(b.T, c)
	nodes := make([]Node, len(managers))
	for i, m := range managers {
		nodes[i] = b.bed.Serve(m)
	}
	b.settled(managers...)
	return nodes
}

// settled waits until exactly these managers are there, with all partitions.
func (b *bench) settled(managers ...*Manager) {
	b.Helper()
	b.eventually("the managers settle", func() bool {
		live := slices.DeleteFunc(slices.Clone(b.bed.Client.Managers()), func(m thermocline.ManagerInfo) bool { return m.Draining })
		if len(live) != len(managers) {
			return false
		}
		for _, m := range live {
			var mine []int
			for p, id := range dispatch.Lessees(live, m.Fleet) {
				if id == m.ID {
					mine = append(mine, p)
				}
			}
			if !slices.Equal(mine, m.Partitions) {
				return false
			}
			if !slices.ContainsFunc(managers, func(w *Manager) bool { return w.ID == m.ID }) {
				return false
			}
		}
		return true
	})
}

func (b *bench) eventually(what string, cond func() bool) {
	b.Helper()
	for end := time.Now().Add(15 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("never: %s", what)
		}
	}
}

// manager returns a manager of the suite's fleet.
func manager(id string, slots int) *Manager { return &Manager{ID: id, Fleet: fleet, Slots: slots} }

// invocation returns one with a new request id.
func (b *bench) invocation() *thermocline.Invocation {
	n := b.serial.Add(1)
	return &thermocline.Invocation{
		RequestID: fmt.Sprintf("request-%d", n),
		Function:  thermocline.FunctionID{Account: "123456789012", Name: "hello", Version: thermocline.Latest},
		Type:      thermocline.RequestResponse,
		Payload:   fmt.Appendf(nil, `{"n":%d}`, n),
		Received:  time.Now(),
		StartBy:   time.Now().Add(10 * time.Second),
	}
}

// bothModes are routes on partition p, directly to the managers or with the
// others as its second choices.
func bothModes(p int, managers ...string) map[string]dispatch.Route {
	return map[string]dispatch.Route{
		"direct": {Fleet: fleet, Mode: dispatch.ModeDirect, Partition: p, Managers: managers},
		"queue":  {Fleet: fleet, Mode: dispatch.ModeQueue, Partition: p, Managers: managers[1:]},
	}
}

// leasedBy returns a partition that the manager leases.
func (b *bench) leasedBy(id string) int {
	b.Helper()
	for _, m := range b.bed.Client.Managers() {
		if m.ID == id && len(m.Partitions) > 0 {
			return m.Partitions[0]
		}
	}
	b.Fatalf("manager %s leases no partition", id)
	return 0
}

// want checks that err is of the kind.
func (b *bench) want(err error, kind thermocline.Kind) {
	b.Helper()
	if err == nil || thermocline.KindOf(err) != kind {
		b.Errorf("got error %v (kind %v), want kind %v", err, thermocline.KindOf(err), kind)
	}
}

type reply struct {
	res *thermocline.Result
	err error
}

// begin invokes in a goroutine of its own.
func (b *bench) begin(ctx context.Context, r dispatch.Route, inv *thermocline.Invocation) <-chan reply {
	c := make(chan reply, 1)
	go func() {
		res, err := b.bed.Client.Invoke(ctx, r, inv)
		c <- reply{res, err}
	}()
	return c
}

// gate returns a function that blocks until it was opened, and one that opens
// it (once or more often).
func (b *bench) gate() (pass func(), open func()) {
	c := make(chan struct{})
	var opened atomic.Bool
	open = func() {
		if opened.CompareAndSwap(false, true) {
			close(c)
		}
	}
	return func() { <-c }, open
}
