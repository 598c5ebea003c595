package natsdispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"thermocline"
	"thermocline/dispatch"
)

// Invoke implements dispatch.Client.
//
// At most once rests on one rule: nothing starts without this client's grant,
// and it grants one try of an invocation at most. A manager that has room asks
// first; a try that was given up, refused or never known is denied. So neither
// clocks nor lost messages can make an invocation run twice.
func (c *Client) Invoke(ctx context.Context, r dispatch.Route, inv *thermocline.Invocation) (*thermocline.Result, error) {
	if err := c.check(r, inv); err != nil {
		return nil, err
	}
	payload := bundled(inv)
	size := int64(len(payload)) + c.link.opts.ResultReserve
	if !c.room.take(size) {
		return nil, throttled()
	}
	defer func() { c.room.release(size) }()
	if err := c.begun(ctx); err != nil {
		return nil, err
	}
	call := c.newCall(r, inv)
	call.payload = payload
	for {
		next, last, err := call.next(ctx)
		if err != nil {
			return nil, err
		}
		o := c.attempt(ctx, call, next, last)
		if extra := int64(resultSize(o.result)) - c.link.opts.ResultReserve; extra > 0 {
			c.room.grow(extra)
			size += extra
		}
		if done := call.note(next, o); done {
			return o.result, o.err
		}
	}
}

func resultPayload(r *thermocline.Result) []byte {
	if r == nil {
		return nil
	}
	return r.Payload
}

// resultSize is the length of a result's payload and output.
func resultSize(r *thermocline.Result) int {
	if r == nil {
		return 0
	}
	return len(r.Payload) + len(r.Output)
}

// choice is where one try goes: a manager, or "" for the partition's queue.
type choice struct{ manager string }

// call is one Invoke: the choices that are left, and what came of the others.
type call struct {
	c       *Client
	route   dispatch.Route
	inv     thermocline.Invocation
	payload []byte // what travels as its payload
	startBy time.Time
	choices []choice
	tried   []string // incarnations that have answered, or had their time
	refused bool     // somebody who was there had no room
	failed  error    // the last failure before a start, for want of a refusal
	trail   []string // what came of each try, for the log
}

func (c *Client) newCall(r dispatch.Route, inv *thermocline.Invocation) *call {
	now := c.link.opts.Now()
	call := &call{c: c, route: r, inv: *inv, startBy: inv.StartBy}
	call.inv.Fleet = r.Fleet
	if call.startBy.IsZero() {
		call.startBy = now.Add(c.link.opts.StartBy)
	}
	if latest := now.Add(maxStartBy); call.startBy.After(latest) {
		call.startBy = latest
	}
	call.choices = make([]choice, 0, len(r.Managers)+1)
	if r.Mode == dispatch.ModeQueue {
		call.choices = append(call.choices, choice{})
	}
	for _, m := range r.Managers {
		if token.MatchString(m) {
			call.choices = append(call.choices, choice{m})
		}
	}
	return call
}

// next returns the next choice, and whether it is the last that is known.
func (k *call) next(ctx context.Context) (next choice, last bool, err error) {
	for {
		now := k.c.link.opts.Now()
		if !now.Before(k.startBy) {
			return choice{}, false, k.exhausted()
		}
		for len(k.choices) > 0 {
			next, k.choices = k.choices[0], k.choices[1:]
			if next.manager == "" || !slices.Contains(k.tried, k.c.roster.serving(next.manager)) {
				// A queue's message may be lost with the manager that has pulled
				// it, so there is always something to turn to.
				return next, len(k.choices) == 0 && next.manager != "", nil
			}
		}
		if k.refused || k.failed != nil {
			return choice{}, false, k.exhausted()
		}
		// Nobody whom the router knew is there any more. It may have looked at
		// the managers a moment before they changed.
		changed := k.c.roster.change()
		if k.others(); len(k.choices) > 0 {
			continue
		}
		// Who was not there may come back: as somebody new, or as the same on a
		// new connection, of which the roster says nothing.
		if err := k.await(ctx, changed, min(comebackPause, k.startBy.Sub(now))); err != nil {
			return choice{}, false, err
		}
		k.tried = nil
	}
}

// others makes the untried live managers of the fleet the choices.
func (k *call) others() {
	for _, m := range k.c.roster.managers() {
		if m.Fleet == k.route.Fleet && !m.Draining && !slices.Contains(k.tried, k.c.roster.serving(m.ID)) {
			k.choices = append(k.choices, choice{m.ID})
		}
	}
}

// await waits until somebody comes or goes, or d is over.
func (k *call) await(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-k.c.stopped:
		return stoppedError()
	}
	return nil
}

func (k *call) exhausted() error {
	switch {
	case k.refused:
		return throttled()
	case k.failed != nil:
		return k.failed
	}
	return thermocline.WithCause(thermocline.KindUnavailable, fmt.Errorf("tried: %q", k.trail), "no instance manager accepted the invocation in time; it was not started")
}

// note takes in what came of a try and reports whether that ends the call.
func (k *call) note(to choice, o outcome) (done bool) {
	if !o.again {
		return true
	}
	name := to.manager
	if name == "" {
		name = fmt.Sprintf("queue %d", k.route.Partition)
	}
	k.trail = append(k.trail, fmt.Sprintf("%s (%s): %v", name, o.tried, o.err))
	if o.tried != "" {
		k.tried = append(k.tried, o.tried)
	}
	switch thermocline.KindOf(o.err) {
	case thermocline.KindRefused:
		k.refused = true
	case thermocline.KindExpired:
	default:
		k.failed = o.err
	}
	return false
}

// outcome is what came of one try.
type outcome struct {
	result  *thermocline.Result
	err     error
	manager string // who answered
	tried   string // the incarnation that answered, or should have
	parked  int    // bytes of the result's payload that the manager keeps
	output  int    // of these, the last are a program's output
	keeper  string // and the subject to fetch them
	// again says that it was not started and another choice may be tried. err
	// is then KindRefused for want of room, KindExpired when nobody accepted
	// it in time or nobody was there, anything else for a failure.
	again bool
}

var (
	errNobody  = thermocline.Errorf(thermocline.KindExpired, "nobody is there")
	errTooLate = thermocline.Errorf(thermocline.KindExpired, "not accepted in time")
)

// attempt sends the invocation to one choice and waits for what comes of it.
func (c *Client) attempt(ctx context.Context, k *call, to choice, last bool) outcome {
	now := c.link.opts.Now()
	deadline := k.startBy
	if soon := now.Add(c.link.opts.StartWithin); !last && soon.Before(deadline) {
		deadline = soon
	}
	t := &try{c: c, done: make(chan outcome, 1), payload: k.payload, fetches: make(chan string, 1)}
	changed := c.roster.change()
	if t.target = to.manager; t.target == "" {
		t.fleet, t.partition = k.route.Fleet, k.route.Partition
		t.target = c.roster.lessee(t.fleet, t.partition)
	}
	t.expected = c.roster.serving(t.target)
	tok, reply := c.mux.open(t)
	defer c.mux.close(tok)
	q := request{inv: k.inv, reply: reply}
	if n := len(k.payload); n > inlineLimit {
		q.parked = n
	}
	q.inv.StartBy = deadline
	msg := &nats.Msg{Reply: reply}
	if to.manager == "" {
		msg.Subject = c.link.names.queue(k.route.Fleet, k.route.Partition)
	} else {
		msg.Subject = c.link.names.direct(to.manager)
	}
	err := withFrame(len(k.payload)-q.parked, func(b []byte) []byte { return appendRequest(b, &q) }, func(b []byte) error {
		msg.Data = b
		return c.link.nc.PublishMsg(msg)
	})
	if err != nil {
		return outcome{again: true, err: thermocline.WithCause(thermocline.KindUnavailable, err, "the invocation could not be sent; it was not started")}
	}
	o := t.wait(ctx, deadline.Sub(now), changed)
	if ctx.Err() != nil && k.inv.Program != nil {
		t.cancel(k.inv.RequestID)
	}
	if to.manager == "" {
		c.unqueue(ctx, t, o)
	}
	if o.tried == "" && to.manager != "" {
		o.tried = t.expected
	}
	if o.parked > 0 {
		return c.collect(ctx, o)
	}
	return o
}

// unqueue removes a request from the queue that no manager has answered: nobody
// may have pulled it, or somebody who was lost before it was acknowledged. It
// would be denied, but it would fill the queue until then. It makes the queue again
// when the server has forgotten it.
func (c *Client) unqueue(ctx context.Context, t *try, o outcome) {
	if errors.Is(o.err, errNobody) && o.manager == "" {
		c.restore(ctx)
		return
	}
	if seq := t.queued(); seq > 0 && o.manager == "" {
		_ = c.link.nc.PublishRequest("$JS.API.STREAM.MSG.DELETE."+c.link.names.queueStream(), c.mux.unheard(), fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, seq))
	}
}

// collect fetches a result's payload from the manager that keeps it.
func (c *Client) collect(ctx context.Context, o outcome) outcome {
	ctx, cancel := context.WithTimeout(ctx, parkTimeout)
	defer cancel()
	payload, err := c.link.fetch(ctx, c.mux, o.keeper, o.parked)
	if errors.Is(err, context.Canceled) {
		_ = c.link.nc.Publish(o.keeper, bareFrame(frameDeny))
		return outcome{err: err}
	}
	if err != nil {
		return outcome{err: thermocline.WithCause(thermocline.KindPossiblyStarted, err, "the result of the invocation was lost")}
	}
	splitOutput(o.result, payload, o.output) // as long as was announced
	return o
}

// try is one sending of an invocation. It is over when done has the outcome.
type try struct {
	c    *Client
	done chan outcome // capacity 1, gets exactly one
	// payload is what a manager may fetch; fetches has the subject to send it
	// to. Capacity 1: a manager fetches once.
	payload []byte
	fetches chan string
	// target is who should get it: the manager, or the lessee of the partition
	// (fleet is set then).
	target    string
	expected  string // its incarnation; "" when it was not known
	fleet     string
	partition int

	mu          sync.Mutex
	over        bool
	granted     time.Time // zero: not granted
	manager     string    // whom it was granted to
	incarnation string
	seq         uint64 // in the queue's stream
}

// queued returns where in the queue's stream the try is, 0 when it is not.
func (t *try) queued() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq
}

// wait returns the outcome. Without a grant within d the try is given up.
// changed tells of changes of the roster since the target was looked up.
func (t *try) wait(ctx context.Context, d time.Duration, changed <-chan struct{}) outcome {
	timer := time.NewTimer(d)
	defer timer.Stop()
	end := time.Now().Add(d)
	for {
		select {
		case o := <-t.done:
			return o
		case <-changed:
			// What was on its way to a manager that leaves may be lost. It is
			// not worth the whole wait: nothing starts without our grant.
			changed = t.c.roster.change()
			if t.moved() {
				changed = nil
				timer.Reset(min(movedGrace, time.Until(end)))
			}
		case subject := <-t.fetches:
			if err := t.c.link.deliver(subject, t.payload); err != nil {
				t.c.link.opts.Logger.Warn("cannot send a payload", "error", err)
			}
		case <-timer.C:
			if t.giveUp() {
				return outcome{again: true, err: errTooLate}
			}
			if t.isOver() {
				return <-t.done
			}
			timer.Reset(t.c.link.opts.MaxRun)
			t.expireAfterGrant()
		case <-ctx.Done():
			t.finish(outcome{})
			return outcome{err: ctx.Err()}
		case <-t.c.stopped:
			if t.giveUp() {
				return outcome{err: stoppedError()}
			}
			t.finish(outcome{err: possiblyStarted("the server stopped while the invocation ran")})
			return <-t.done
		}
	}
}

// moved reports whether the try waits for a manager that no longer takes it.
func (t *try) moved() bool {
	if _, _, _, granted := t.grantedTo(); granted || t.expected == "" {
		return false
	}
	return t.c.roster.serving(t.target) != t.expected ||
		t.fleet != "" && t.c.roster.lessee(t.fleet, t.partition) != t.target
}

// expireAfterGrant ends a try whose result is overdue.
func (t *try) expireAfterGrant() {
	if _, _, at, granted := t.grantedTo(); granted && time.Since(at) >= t.c.link.opts.MaxRun {
		t.finish(outcome{err: possiblyStarted("the result of the invocation did not come")})
	}
}

// giveUp ends a try that was not granted: it never will be. False when it was,
// or when it is over.
func (t *try) giveUp() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || !t.granted.IsZero() {
		return false
	}
	t.over = true
	return true
}

// cancel asks the manager that has the grant to end the program. When the word
// is lost the program's timeout ends it.
func (t *try) cancel(requestID string) {
	t.mu.Lock()
	manager := t.manager
	t.mu.Unlock()
	if manager != "" {
		_ = t.c.link.nc.Publish(t.c.link.names.direct(manager), cancelFrame(requestID))
	}
}

func (t *try) isOver() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

func (t *try) finish(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over = true
		t.done <- o
	}
}

// grant decides on an ask: yes once, while the try is not over.
func (t *try) grant(l load) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || !t.granted.IsZero() {
		return false
	}
	t.granted, t.manager, t.incarnation = time.Now(), l.manager, l.incarnation
	return true
}

// heeds reports whether an answer counts: once one manager has the grant, only
// its. Another that got the request too (two of one name, a message that came
// twice) says that it was denied.
func (t *try) heeds(l load) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.granted.IsZero() || t.incarnation == l.incarnation
}

func (t *try) grantedTo() (manager, incarnation string, at time.Time, granted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.manager, t.incarnation, t.granted, !t.granted.IsZero() && !t.over
}

// receive takes what comes on the try's reply subject: the queue's
// acknowledgement, the server's word that nobody is there, or an answer.
func (t *try) receive(m *nats.Msg) {
	if nobodyThere(m) {
		if t.giveUp() {
			t.done <- outcome{again: true, err: errNobody}
		}
		return
	}
	if len(m.Data) > 0 && m.Data[0] == '{' {
		t.stored(m.Data)
		return
	}
	if isFetch(m) {
		select {
		case t.fetches <- m.Reply:
		default:
		}
		return
	}
	a, err := decodeAnswer(m.Data)
	if err != nil {
		t.c.link.opts.Logger.Warn("malformed answer", "error", err)
		return
	}
	t.c.roster.update(a.load)
	switch a.kind {
	case frameAsk:
		verdict := frameDeny
		if t.grant(a.load) {
			verdict = frameGrant
		}
		if err := t.c.link.nc.Publish(m.Reply, bareFrame(verdict)); err != nil {
			t.c.link.opts.Logger.Warn("cannot answer a manager", "error", err, "manager", a.load.manager)
		}
		return
	}
	if !t.heeds(a.load) {
		return
	}
	switch a.kind {
	case frameRefused:
		err := error(a.err)
		if a.load.draining {
			err = errNobody // whether there is room it does not say
		}
		t.finish(outcome{again: true, err: err, manager: a.load.manager, tried: a.load.incarnation})
	case frameResult:
		t.finish(outcome{result: a.result, manager: a.load.manager, parked: a.parked, output: a.output, keeper: m.Reply})
	case frameError:
		t.finish(outcome{again: !a.accepted && mayTryAgain(a.err.Kind), err: a.err, manager: a.load.manager, tried: a.load.incarnation})
	}
}

// stored takes the queue's acknowledgement.
func (t *try) stored(ack []byte) {
	seq, err := storedAt(ack)
	t.mu.Lock()
	t.seq = seq
	t.mu.Unlock()
	if err != nil && t.giveUp() {
		full := thermocline.KindOf(err) == thermocline.KindThrottled
		t.done <- outcome{again: !full, err: err}
	}
}

// mayTryAgain says which failures before the acceptance are the manager's own,
// so that another may do better.
func mayTryAgain(k thermocline.Kind) bool {
	return k == thermocline.KindInternal || k == thermocline.KindUnavailable || k == thermocline.KindThrottled
}
