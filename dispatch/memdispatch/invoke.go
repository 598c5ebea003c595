package memdispatch

import (
	"context"
	"slices"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

// outcome is what came of one try. again says that nothing was started and
// another choice may be tried; who says who answered.
type outcome struct {
	result *thermocline.Result
	err    error
	again  bool
	who    string
}

// try is one offer of an invocation to one manager. All but done is guarded by
// the bus's mu.
type try struct {
	done    chan outcome // capacity 1, gets exactly one
	over    bool
	granted bool
}

// finish needs the bus's mu.
func (t *try) finish(o outcome) {
	if !t.over {
		t.over = true
		t.done <- o
	}
}

// Invoke implements dispatch.Client.
func (b *Bus) Invoke(ctx context.Context, r dispatch.Route, inv *thermocline.Invocation) (*thermocline.Result, error) {
	if err := check(r, inv); err != nil {
		return nil, err
	}
	size := int64(len(inv.Payload)) + b.opts.ResultReserve
	if inv.Program != nil {
		size += int64(len(inv.Program.Code))
	}
	if !b.admit(size) {
		return nil, throttled()
	}
	defer b.admit(-size)
	v := *inv
	v.Fleet = r.Fleet
	if v.StartBy.IsZero() {
		v.StartBy = time.Now().Add(b.opts.StartBy)
	}
	k := call{b: b, route: r, inv: v, startBy: v.StartBy}
	k.queue = r.Mode == dispatch.ModeQueue
	k.choices = r.Managers
	for {
		n, last, err := k.next(ctx)
		if err != nil {
			return nil, err
		}
		o := b.offer(ctx, n, k.inv, k.deadline(last))
		if !o.again {
			return o.result, o.err
		}
		k.note(n, o)
	}
}

// call is one Invoke: the choices that are left, and what came of the others.
type call struct {
	b       *Bus
	route   dispatch.Route
	inv     thermocline.Invocation
	startBy time.Time
	queue   bool     // the partition's lessee comes first
	choices []string // then these
	tried   []*node
	refused bool
	failed  error
}

func (k *call) deadline(last bool) time.Time {
	if soon := time.Now().Add(k.b.opts.StartWithin); !last && soon.Before(k.startBy) {
		return soon
	}
	return k.startBy
}

// next returns the manager to try next, waiting for one when none of the
// choices was there.
func (k *call) next(ctx context.Context) (n *node, last bool, err error) {
	b := k.b
	for {
		if !time.Now().Before(k.startBy) {
			return nil, false, k.exhausted()
		}
		b.mu.Lock()
		changed := b.changed
		if k.queue {
			if n = b.lessee(k.route.Fleet, k.route.Partition); n != nil {
				k.queue = false
			}
		}
		for n == nil && len(k.choices) > 0 {
			id := k.choices[0]
			k.choices = k.choices[1:]
			if n = b.nodes[id]; slices.Contains(k.tried, n) || n != nil && n.stopping {
				n = nil
			}
		}
		if n == nil && !k.refused && k.failed == nil {
			n = k.other()
		}
		if n == nil && k.queue {
			b.waiting[k.route.Fleet]++
		}
		b.mu.Unlock()
		if n != nil {
			return n, len(k.choices) == 0, nil
		}
		if k.refused || k.failed != nil {
			return nil, false, k.exhausted()
		}
		err := k.await(ctx, changed)
		if k.queue {
			b.mu.Lock()
			b.waiting[k.route.Fleet]--
			b.mu.Unlock()
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// other returns any manager of the fleet that was not tried. Needs b.mu.
func (k *call) other() *node {
	var best *node
	for _, n := range k.b.nodes {
		if n.fleet == k.route.Fleet && !n.stopping && !slices.Contains(k.tried, n) && (best == nil || n.id < best.id) {
			best = n
		}
	}
	return best
}

func (k *call) await(ctx context.Context, changed <-chan struct{}) error {
	t := time.NewTimer(time.Until(k.startBy))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (k *call) note(n *node, o outcome) {
	k.tried = append(k.tried, n)
	switch thermocline.KindOf(o.err) {
	case thermocline.KindRefused:
		k.refused = true
	case thermocline.KindExpired:
	default:
		k.failed = o.err
	}
}

func (k *call) exhausted() error {
	switch {
	case k.refused:
		return throttled()
	case k.failed != nil:
		return k.failed
	}
	return thermocline.Errorf(thermocline.KindUnavailable, "no instance manager accepted the invocation in time; it was not started")
}

// offer gives the invocation to one manager and waits for what comes of it.
func (b *Bus) offer(ctx context.Context, n *node, inv thermocline.Invocation, deadline time.Time) outcome {
	t := &try{done: make(chan outcome, 1)}
	inv.StartBy = deadline
	b.mu.Lock()
	if n.stopping {
		b.mu.Unlock()
		return outcome{again: true, err: thermocline.Errorf(thermocline.KindExpired, "the manager stops")}
	}
	n.tries[t] = true
	handling, end := n.handling, context.CancelFunc(func() {})
	if inv.Program != nil { // ends with its caller
		handling, end = context.WithCancel(n.handling)
	}
	n.handlers.Go(func() {
		defer end()
		n.handle(handling, t, &inv)
	})
	b.mu.Unlock()

	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		select {
		case o := <-t.done:
			return o
		case <-timer.C:
			b.mu.Lock()
			if !t.granted {
				t.finish(outcome{again: true, err: thermocline.Errorf(thermocline.KindExpired, "not accepted in time")})
			}
			b.mu.Unlock()
		case <-ctx.Done():
			b.mu.Lock()
			t.finish(outcome{})
			b.mu.Unlock()
			end()
			return outcome{err: ctx.Err()}
		}
	}
}

// handle runs one synchronous invocation on the manager.
func (n *node) handle(ctx context.Context, t *try, inv *thermocline.Invocation) {
	b := n.bus
	accepted := false // guarded by b.mu
	res, err := n.h.Handle(ctx, inv, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if t.over || t.granted || n.crashed || time.Now().After(inv.StartBy) {
			return thermocline.Errorf(thermocline.KindExpired, "the caller no longer waits")
		}
		t.granted, accepted = true, true
		return nil
	})
	kind := thermocline.KindOf(err)
	if kind == thermocline.KindRefused && n.h.Info().Draining {
		// Whether there is room a draining manager does not say.
		kind, err = thermocline.KindExpired, thermocline.Errorf(thermocline.KindExpired, "the manager drains")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(n.tries, t)
	switch {
	case n.crashed:
		// The caller has been told, or gives up by itself.
	case err == nil && accepted && res != nil:
		t.finish(outcome{result: res, who: n.id})
	case err == nil:
		t.finish(outcome{err: thermocline.Errorf(thermocline.KindInternal, "internal error")})
	case kind == thermocline.KindRefused, kind == thermocline.KindExpired && n.stopping:
		t.finish(outcome{again: true, err: err, who: n.id})
	case !accepted && mayTryAgain(kind):
		t.finish(outcome{again: true, err: err, who: n.id})
	default:
		t.finish(outcome{err: public(err), who: n.id})
	}
}

func mayTryAgain(k thermocline.Kind) bool {
	return k == thermocline.KindInternal || k == thermocline.KindUnavailable || k == thermocline.KindThrottled || k == thermocline.KindExpired
}

// admit adds n bytes to what is in flight; false when that is too much.
func (b *Bus) admit(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > 0 && b.bytes+n > b.opts.MaxInFlightBytes {
		return false
	}
	b.bytes += n
	return true
}

func check(r dispatch.Route, inv *thermocline.Invocation) error {
	switch {
	case inv.RequestID == "":
		return thermocline.Errorf(thermocline.KindInvalidParameter, "malformed request id")
	case r.Partition < 0 || r.Partition >= dispatch.Partitions:
		return thermocline.Errorf(thermocline.KindInternal, "partition %d is out of range", r.Partition)
	case inv.Program != nil && len(inv.Payload)+len(inv.Program.Code) > thermocline.MaxProgram:
		return thermocline.Errorf(thermocline.KindRequestTooLarge, "The code, %d bytes as a zip, and the payload of %d bytes are more than %d bytes together", len(inv.Program.Code), len(inv.Payload), thermocline.MaxProgram)
	case len(inv.Payload) > thermocline.MaxPayload:
		return thermocline.Errorf(thermocline.KindRequestTooLarge, "%d byte payload is too large for the RequestResponse invocation type (limit %d bytes)", len(inv.Payload), thermocline.MaxPayload)
	}
	return nil
}

func throttled() *thermocline.Error {
	return &thermocline.Error{Kind: thermocline.KindThrottled, Reason: thermocline.ReasonConcurrent, Message: "Rate Exceeded."}
}
