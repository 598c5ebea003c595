package natsdispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"thermocline"
)

// The words of JetStream's acknowledgement protocol.
var (
	ackWord      = []byte("+ACK")
	termWord     = []byte("+TERM")
	progressWord = []byte("+WPI")
)

// take starts the handling of one synchronous request, from the manager's own
// subject or pulled from a partition. It does not wait.
func (v *service) take(m *nats.Msg, pulled bool) {
	if id := cancelled(m.Data); id != "" {
		v.programs.cancel(id)
		return
	}
	q, err := decodeRequest(m.Data)
	if err != nil || q.reply == "" {
		v.link.opts.Logger.Error("malformed request thrown away", "manager", v.id, "bytes", len(m.Data))
		v.discard(m, pulled)
		return
	}
	size := int64(q.size()+q.parked) + v.link.opts.ResultReserve
	if v.stopping.Load() || !v.room.take(size) {
		// In this order: who hears of the refusal may rely on it that the
		// queue no longer holds the request.
		v.discard(m, pulled)
		v.refuse(q, thermocline.Errorf(thermocline.KindRefused, "the manager has no room"))
		return
	}
	v.handlers.Go(func() {
		defer v.room.release(size)
		if q.parked > 0 && !v.fetchPayload(q) {
			v.discard(m, pulled)
			v.refuse(q, thermocline.Errorf(thermocline.KindExpired, "the payload did not come in time"))
			return
		}
		v.handle(q, m, pulled)
	})
}

// fetchPayload gets a large payload from the client that keeps it.
func (v *service) fetchPayload(q *request) bool {
	ctx, cancel := context.WithDeadline(v.handling, q.inv.StartBy)
	defer cancel()
	payload, err := v.link.fetch(ctx, v.mux, q.reply, q.parked)
	return err == nil && q.unbundle(payload) == nil
}

// discard takes a message out of its queue for good.
func (v *service) discard(m *nats.Msg, pulled bool) {
	if pulled {
		_ = v.link.nc.Publish(m.Reply, termWord)
	}
}

// handle runs one synchronous request and answers it.
func (v *service) handle(q *request, m *nats.Msg, pulled bool) {
	var mu sync.Mutex
	called, accepted := false, false
	ctx, done := v.programs.begin(v.handling, &q.inv)
	defer done()
	res, err := v.h.Handle(ctx, &q.inv, func() error {
		mu.Lock()
		defer mu.Unlock()
		if called {
			return thermocline.Errorf(thermocline.KindInternal, "accepted twice")
		}
		called = true
		err := v.accept(q, m, pulled)
		accepted = err == nil
		return err
	})
	mu.Lock()
	defer mu.Unlock()
	if !called {
		v.discard(m, pulled)
	}
	switch {
	case err == nil && accepted && res != nil:
		v.answer(q, &answer{kind: frameResult, result: res})
	case err == nil:
		v.link.opts.Logger.Error("handler returned without a result or without acceptance", "manager", v.id, "request_id", q.inv.RequestID)
		v.answer(q, &answer{kind: frameError, accepted: accepted, err: thermocline.Errorf(thermocline.KindInternal, "internal error")})
	case called && !accepted, thermocline.KindOf(err) == thermocline.KindRefused, thermocline.KindOf(err) == thermocline.KindExpired && !accepted:
		v.refuse(q, publicError(err))
	default:
		v.answer(q, &answer{kind: frameError, accepted: accepted, err: publicError(err)})
	}
}

// accept makes sure that the invocation may start: its start-by time has not
// passed, the queue has confirmed that nobody gets it again, and the client
// waits for it still and has granted nobody else.
func (v *service) accept(q *request, m *nats.Msg, pulled bool) error {
	if now := v.link.opts.Now(); now.After(q.inv.StartBy) {
		v.discard(m, pulled)
		return thermocline.Errorf(thermocline.KindExpired, "the start-by time has passed")
	}
	ctx, cancel := context.WithTimeout(v.handling, confirmTimeout)
	defer cancel()
	// Both questions are on their way at once; the start waits for both.
	var acked chan error
	if pulled {
		acked = make(chan error, 1)
		go func() {
			_, err := v.mux.request(ctx, m.Reply, nil, ackWord)
			acked <- err
		}()
	}
	got, err := v.ask(ctx, q)
	if pulled {
		err = errors.Join(err, <-acked)
	}
	if err != nil {
		return thermocline.WithCause(thermocline.KindExpired, err, "the start was not confirmed")
	}
	if kind, _, _, err := openFrame(got.Data); err != nil || kind != frameGrant {
		return thermocline.Errorf(thermocline.KindExpired, "the caller no longer waits")
	}
	return nil
}

// ask asks the client for its grant.
func (v *service) ask(ctx context.Context, q *request) (got *nats.Msg, err error) {
	a := &answer{kind: frameAsk, load: v.load()}
	err = withFrame(0, func(b []byte) []byte { return appendAnswer(b, a) }, func(b []byte) error {
		got, err = v.mux.request(ctx, q.reply, nil, b)
		return err
	})
	return got, err
}

func (v *service) refuse(q *request, err *thermocline.Error) {
	v.answer(q, &answer{kind: frameRefused, err: err})
}

// answer sends an answer with the manager's load.
func (v *service) answer(q *request, a *answer) {
	a.load = v.load()
	if a.result != nil {
		if len(a.result.LogTail) > maxHeader/4 {
			r := *a.result
			r.LogTail = r.LogTail[len(r.LogTail)-maxHeader/4:]
			a.result = &r
		}
	}
	var err error
	switch size := resultSize(a.result); {
	case len(resultPayload(a.result)) > thermocline.MaxResult || size > maxParked:
		v.answer(q, &answer{kind: frameError, accepted: true, err: thermocline.Errorf(thermocline.KindInternal, "the result of %d bytes is too large", size)})
		return
	case size > inlineLimit:
		a.parked = size
		err = v.park(q, a)
	default:
		err = v.send(q, "", a)
	}
	if err != nil {
		v.link.opts.Logger.Error("cannot answer", "manager", v.id, "request_id", q.inv.RequestID, "error", err)
	}
}

func (v *service) send(q *request, reply string, a *answer) error {
	return withFrame(resultSize(a.result)-a.parked, func(b []byte) []byte { return appendAnswer(b, a) }, func(b []byte) error {
		return v.link.nc.PublishMsg(&nats.Msg{Subject: q.reply, Reply: reply, Data: b})
	})
}

// park announces a large result and keeps it until the client has fetched it or
// does not want it.
func (v *service) park(q *request, a *answer) error {
	s := make(single, 1)
	token, subject := v.mux.open(s)
	defer v.mux.close(token)
	if err := v.send(q, subject, a); err != nil {
		return err
	}
	timer := time.NewTimer(parkTimeout)
	defer timer.Stop()
	select {
	case m := <-s:
		if isFetch(m) {
			return v.link.deliver(m.Reply, resultBundle(a.result))
		}
		return nil // the client is gone, or no longer waits
	case <-v.handling.Done():
		return v.handling.Err()
	case <-timer.C:
		return errors.New("the client has not fetched its result")
	}
}

func (v *service) load() load {
	info := v.h.Info()
	return load{
		manager: v.id, incarnation: v.incarnation,
		outstanding: info.Outstanding, slots: info.Slots,
		draining: info.Draining || v.stopping.Load(),
	}
}

// publicError returns what of err may be sent: never the cause.
func publicError(err error) *thermocline.Error {
	var e *thermocline.Error
	if !errors.As(err, &e) {
		return thermocline.Errorf(thermocline.KindInternal, "internal error")
	}
	message := e.Message
	if len(message) > maxHeader/8 {
		message = message[:maxHeader/8]
	}
	return &thermocline.Error{Kind: e.Kind, Message: message, Reason: e.Reason}
}

// confirm sends a word of the acknowledgement protocol and waits until the
// server has taken it.
func (v *service) confirm(subject string, word []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	_, err := v.mux.request(ctx, subject, nil, word)
	return err
}

// wait sleeps in a handler's goroutine, shorter when the handlers must end.
func (v *service) wait(d time.Duration) { pause(v.handling, d) }
