package memdispatch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

// duplicates is how long an event's request id is remembered.
const duplicates = 2 * time.Minute

// event is a stored event. Guarded by the bus's mu.
type event struct {
	route     dispatch.Route
	inv       thermocline.Invocation
	notBefore time.Time
	refusals  int
	node      *node // who runs it; nil: it waits
}

// Enqueue implements dispatch.Client.
func (b *Bus) Enqueue(ctx context.Context, r dispatch.Route, inv *thermocline.Invocation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := check(r, inv); err != nil {
		return err
	}
	if len(inv.Payload) > thermocline.MaxEventPayload {
		return thermocline.Errorf(thermocline.KindRequestTooLarge, "%d byte payload is too large for the Event invocation type (limit %d bytes)", len(inv.Payload), thermocline.MaxEventPayload)
	}
	e := &event{route: r, inv: *inv}
	e.inv.Type, e.inv.Fleet, e.inv.StartBy, e.inv.Attempt = thermocline.Event, r.Fleet, time.Time{}, max(1, inv.Attempt)
	e.inv.Payload = slices.Clone(inv.Payload)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for id, t := range b.recent {
		if now.Sub(t) >= duplicates {
			delete(b.recent, id)
		}
	}
	if _, known := b.recent[inv.RequestID]; known {
		return nil
	}
	if len(b.events) >= b.opts.MaxEvents {
		return throttled()
	}
	b.recent[inv.RequestID] = now
	b.events = append(b.events, e)
	b.wake()
	return nil
}

// pump starts this manager's events until ctx ends or it crashes.
func (n *node) pump(ctx context.Context) {
	for {
		info := n.h.Info()
		n.bus.mu.Lock()
		changed := n.bus.changed
		wait := n.startDue(info, time.Now())
		n.bus.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		case <-n.gone:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil || n.isGone() {
			return
		}
	}
}

func (n *node) isGone() bool {
	select {
	case <-n.gone:
		return true
	default:
		return false
	}
}

// startDue starts what is due and has room, and returns after what time to
// look again. Needs the bus's mu.
func (n *node) startDue(info thermocline.ManagerInfo, now time.Time) time.Duration {
	wait := time.Second // the manager's load changes without a word
	slots := max(info.Slots, 1)
	mine := map[int]bool{}
	for p := range dispatch.Partitions {
		mine[p] = n.bus.lessee(n.fleet, p) == n
	}
	for _, e := range n.bus.events {
		if e.node != nil || e.route.Fleet != n.fleet || !mine[e.route.Partition] {
			continue
		}
		if d := e.notBefore.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		free := min(info.Slots-info.Outstanding-n.starting, slots-n.running)
		if free <= 0 && n.running > 0 || n.partitions[e.route.Partition] >= max(1, slots/2) {
			continue
		}
		e.node = n
		n.running++
		n.starting++
		n.partitions[e.route.Partition]++
		n.handlers.Go(func() { n.run(e) })
	}
	return wait
}

// run runs one event and settles it.
func (n *node) run(e *event) {
	b := n.bus
	var once sync.Once
	decided := func() {
		once.Do(func() {
			b.mu.Lock()
			n.starting--
			b.mu.Unlock()
		})
	}
	inv := e.inv
	res, err := n.h.Handle(n.handling, &inv, func() error {
		decided()
		return n.handling.Err()
	})
	decided()
	if ended := n.handling.Err(); err != nil && ended != nil {
		err = ended
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n.running--
	n.partitions[e.route.Partition]--
	if e.node != n {
		return // crashed in between: somebody else has it
	}
	verdict, delay := b.opts.Retry.Decide(e.inv.Attempt, e.refusals, res, err)
	switch verdict {
	case dispatch.EventDone, dispatch.EventGivenUp:
		b.events = slices.DeleteFunc(b.events, func(o *event) bool { return o == e })
	case dispatch.EventAgain:
		e.inv.Attempt++
	case dispatch.EventBack:
		e.refusals++
	}
	if verdict == dispatch.EventGivenUp {
		b.opts.Logger.Warn("event given up after its last attempt", "request_id", e.inv.RequestID, "function", e.inv.Function.String(), "manager", n.id, "error", err)
	}
	e.node, e.notBefore = nil, time.Now().Add(delay)
	b.wake()
}

// public returns err as a caller may see it.
func public(err error) error {
	var e *thermocline.Error
	if errors.As(err, &e) {
		return &thermocline.Error{Kind: e.Kind, Message: e.Message, Reason: e.Reason}
	}
	return thermocline.Errorf(thermocline.KindInternal, "internal error")
}
