package manager

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"thermocline"
	"thermocline/sandbox"
)

// refused is the answer of a manager without room.
func refused(message string) error {
	return thermocline.Errorf(thermocline.KindRefused, "%s", message)
}

// Handle runs one invocation; see dispatch.Handler for its contract.
func (m *Manager) Handle(ctx context.Context, inv *thermocline.Invocation, accepted func() error) (*thermocline.Result, error) {
	if m.draining.Load() {
		return nil, refused("the manager is draining")
	}
	if n := m.outstanding.Add(1); n > int64(m.o.MaxOutstanding) {
		m.outstanding.Add(-1)
		return nil, refused("the manager runs as many invocations as it may")
	}
	m.work.Add(1)
	defer func() {
		m.outstanding.Add(-1)
		m.work.Done()
	}()

	if inv.Program != nil {
		return m.runProgram(ctx, inv, accepted)
	}
	f, err := m.function(ctx, inv)
	if err != nil {
		return nil, err
	}
	p, err := m.reserve(ctx, f, inv.Fleet)
	if err != nil {
		return nil, err
	}
	defer m.coldEnds(p)
	if err := accepted(); err != nil {
		m.giveBack(p)
		return nil, err
	}
	h, err := m.obtain(ctx, p, f)
	if err != nil {
		m.giveUp(p)
		return nil, err
	}
	return m.run(ctx, h, p, f, inv)
}

// function reads the function, from the store itself when the frontend has
// seen a newer generation than the memory here.
func (m *Manager) function(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Function, error) {
	f, err := m.o.Functions.Get(ctx, inv.Function)
	switch {
	case err != nil && thermocline.KindOf(err) == thermocline.KindNotFound:
	case err != nil:
		return nil, err
	case f.Generation >= inv.Generation:
		return f, nil
	}
	return m.o.Functions.Fresh(ctx, inv.Function)
}

// run runs the invocation in h, writes its log and gives h back.
func (m *Manager) run(ctx context.Context, h *held, p *reservation, f *thermocline.Function, inv *thermocline.Invocation) (*thermocline.Result, error) {
	l := newInvocationLog(m.o.Logs, inv, f.Version, m.o.ID, h.instance.ID(), h.id)
	l.add(ctx, time.Now(), thermocline.LogStart, startText(inv.RequestID, f.Version))
	stop := m.flushWhileRunning(ctx, l)
	prepared := h.begin(ctx, l)
	out, err := h.invoke(ctx, sandbox.Invocation{
		RequestID:     inv.RequestID,
		Payload:       inv.Payload,
		ARN:           inv.ARN,
		Timeout:       f.Timeout,
		ClientContext: decodeClientContext(inv.ClientContext),
		TraceID:       inv.TraceID,
	})
	h.log.Store(nil)
	stop()
	if err != nil {
		// The platform failed, or was told to stop: what is left of the sandbox
		// is not to be trusted.
		m.giveUp(p)
		l.add(ctx, time.Now(), thermocline.LogEnd, endText(inv.RequestID))
		return nil, errors.Join(platformError(err), l.flush(context.WithoutCancel(ctx)))
	}
	if prepared && out.Failure == sandbox.FailureNone {
		out.Init = 0 // nobody waited for it
	}
	r := report(out, p.start, f)
	r.Fleet, r.Manager, r.Instance, r.Sandbox = m.o.Fleet, m.o.ID, h.instance.ID(), h.id
	m.release(h, f)

	now := time.Now()
	if out.Failure == sandbox.FailureTimeout {
		l.add(ctx, now, thermocline.LogText, fmt.Sprintf("%s %s Task timed out after %.2f seconds",
			now.UTC().Format("2006-01-02T15:04:05.000Z"), inv.RequestID, f.Timeout.Seconds()))
	}
	l.add(ctx, now, thermocline.LogEnd, endText(inv.RequestID))
	l.add(ctx, now, thermocline.LogReport, reportText(inv.RequestID, r))
	if inv.Type != thermocline.Event {
		err = l.flushSoon(ctx)
	} else if err = l.flush(ctx); err == nil {
		// An event is acknowledged when this returns: what it did must be known
		// then, whatever dies.
		err = m.o.Logs.Settle(ctx)
	}
	if err != nil {
		m.log.Warn("log lines were not stored", "request_id", inv.RequestID, "error", err)
		if inv.Type == thermocline.Event {
			return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "The outcome could not be stored.")
		}
	}
	res := &thermocline.Result{
		RequestID:       inv.RequestID,
		Payload:         out.Payload,
		ExecutedVersion: f.Version,
		LogTail:         l.tailBytes(),
		Report:          r,
	}
	if out.Failure != sandbox.FailureNone {
		res.FunctionError = "Unhandled"
	}
	return res, nil
}

// flushWhileRunning stores lines now and then until the returned function is
// called, which waits for it to end.
func (m *Manager) flushWhileRunning(ctx context.Context, l *invocationLog) (stop func()) {
	// A timer, not a goroutine: nearly all invocations end before it fires.
	done := make(chan struct{})
	t := time.AfterFunc(flushEvery, func() {
		defer close(done)
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for !l.finished.Load() {
			if err := l.flush(ctx); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-l.end:
				return
			}
		}
	})
	return func() {
		l.finished.Store(true)
		if !t.Stop() {
			close(l.end)
			<-done
		}
	}
}

// platformError hides what the caller must not see.
func platformError(err error) error {
	var e *thermocline.Error
	if errors.As(err, &e) {
		return err
	}
	return thermocline.WithCause(thermocline.KindInternal, err, "The invocation was ended by the platform.")
}

// decodeClientContext returns the JSON of a client context, "" if it is none.
// The frontend has checked it; an event of an older release may differ.
func decodeClientContext(s string) string {
	if s == "" {
		return ""
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
