package oci

import (
	"context"
	"errors"
	"time"

	"thermocline/sandbox"
	"thermocline/sandbox/runtimeapi"
)

// Invoke implements sandbox.Sandbox. The function's time begins when the
// runtime takes the invocation: initialisation does not count, unless it was
// cut off once and runs again.
func (b *box) Invoke(ctx context.Context, inv sandbox.Invocation) (sandbox.Outcome, error) {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return sandbox.Outcome{}, err
	}
	defer leave()
	if b.binding == nil {
		return sandbox.Outcome{}, errUnbound
	}
	if err := b.thaw(ctx); err != nil {
		return sandbox.Outcome{}, err
	}
	b.out.setRequest(inv.RequestID)
	defer b.out.setRequest("")
	a := &attempt{box: b, inv: inv}
	out, err := a.run(ctx)
	if err != nil {
		// Whatever runs, nobody waits for it any more.
		if e := b.discard(); e != nil {
			b.rt.log.Error("a sandbox's process could not be ended", "sandbox", b.spec.ID, "error", e)
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return sandbox.Outcome{}, platform(err, "the function could not be run")
	}
	b.endBombs()
	return out, nil
}

// endBombs kills a process that has had all the processes that it may have:
// what it has left behind would take the next invocation's, and its time.
func (b *box) endBombs() {
	p := b.process()
	if p == nil || p.ended() {
		return
	}
	if n, err := b.gauges.refusedForks(); err != nil || n == 0 {
		return
	}
	if err := p.kill(b.group); err != nil {
		b.rt.log.Error("a sandbox's process could not be ended", "sandbox", b.spec.ID, "error", err)
	}
}

// Initialise implements sandbox.Sandbox.
func (b *box) Initialise(ctx context.Context) error {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if b.binding == nil {
		return errUnbound
	}
	if err := b.thaw(ctx); err != nil {
		return err
	}
	p := b.process()
	if p == nil || p.ended() {
		return nil // Invoke starts it, and says why it went
	}
	inner, cancel := p.during(ctx)
	defer cancel()
	inner, cancel = context.WithDeadline(inner, b.began.Add(b.rt.cfg.InitTimeout))
	defer cancel()
	if err := b.api.Initialised(inner); err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// attempt is one Invoke.
type attempt struct {
	box      *box
	inv      sandbox.Invocation
	deadline time.Time // set when initialisation runs again, else at the handover
	again    bool      // initialisation runs under the function's timeout
	kills    int64     // for memory, when it began
	patience time.Duration
}

// askGrace is how long a runtime that has answered may take, once it runs
// again, to ask for more. Then it is replaced: nothing that it was given is
// lost by that.
const askGrace = time.Second

// run brings the process up if there is none, waits for it and invokes.
func (a *attempt) run(ctx context.Context) (sandbox.Outcome, error) {
	b := a.box
	if p := b.process(); p == nil || p.ended() {
		if err := b.startProcess(ctx); err != nil {
			return a.noProcess(err)
		}
	}
	if b.used {
		a.patience = askGrace
	}
	used := b.used
	out, r, err := a.try(ctx)
	gone := errors.Is(err, runtimeapi.ErrProcessGone) && !r.Started
	if used && (gone || errors.Is(err, runtimeapi.ErrNotAsking)) {
		// It went, or stopped to ask, after its last answer: not this
		// invocation's fault.
		a.patience = 0
		if err := b.startProcess(ctx); err != nil {
			return a.noProcess(err)
		}
		out, r, err = a.try(ctx)
	}
	if errors.Is(err, runtimeapi.ErrProcessGone) {
		return a.died(r)
	}
	return out, err
}

// try waits for initialisation and invokes. The error is ErrProcessGone if the
// process ended.
func (a *attempt) try(ctx context.Context) (sandbox.Outcome, runtimeapi.Response, error) {
	b := a.box
	err := a.initialise(ctx)
	if errors.Is(err, errInitTime) {
		a.again, a.deadline = true, a.end()
		if err := b.startProcess(ctx); err != nil {
			return sandbox.Outcome{}, runtimeapi.Response{}, err
		}
		err = a.initialise(ctx)
	}
	switch {
	case errors.Is(err, runtimeapi.ErrProcessGone):
		return sandbox.Outcome{}, runtimeapi.Response{Init: time.Since(b.began)}, err
	case errors.Is(err, errInitTime):
		r := runtimeapi.Response{Init: time.Since(b.began), Duration: a.inv.Timeout}
		out, err := a.timedOut(r)
		return out, r, err
	case err != nil:
		return sandbox.Outcome{}, runtimeapi.Response{}, err
	}
	if !a.again {
		a.deadline = a.end()
	}
	b.used = true
	return a.invoke(ctx)
}

// end is when the function's time is over if it begins now.
func (a *attempt) end() time.Time {
	if a.inv.Timeout > 0 {
		return time.Now().Add(a.inv.Timeout)
	}
	return a.inv.Deadline
}

// errInitTime says that initialisation took too long.
var errInitTime = errors.New("initialisation took too long")

// initialise waits for the end of initialisation. A process that takes too
// long is killed.
func (a *attempt) initialise(ctx context.Context) error {
	b := a.box
	limit := b.began.Add(b.rt.cfg.InitTimeout)
	if a.again {
		limit = a.deadline
	}
	if k, err := b.gauges.oomKills(); err == nil {
		a.kills = k
	}
	if b.used && !a.again {
		return nil // long ago; whether it is still there shows at once
	}
	p := b.process()
	inner, cancel := p.until(ctx, limit)
	defer cancel()
	err := b.api.Initialised(inner)
	switch {
	case err == nil:
		return nil
	case p.ended():
		return runtimeapi.ErrProcessGone
	case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
		return err
	}
	if err := b.process().kill(b.group); err != nil {
		return err
	}
	return errInitTime
}

// invoke hands the invocation over and waits for its end.
func (a *attempt) invoke(ctx context.Context) (sandbox.Outcome, runtimeapi.Response, error) {
	b := a.box
	p := b.process()
	inner, cancel := p.until(ctx, a.deadline)
	defer cancel()
	r, err := b.api.Invoke(inner, runtimeapi.Invocation{
		RequestID: a.inv.RequestID, Payload: a.inv.Payload, ARN: a.inv.ARN,
		Deadline: a.deadline, ClientContext: a.inv.ClientContext, TraceID: a.inv.TraceID,
		Patience: a.patience,
	})
	var out sandbox.Outcome
	switch {
	case err != nil && (errors.Is(err, runtimeapi.ErrProcessGone) || p.ended()):
		err = runtimeapi.ErrProcessGone
	case err != nil && ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		out, err = a.timedOut(r)
	case err != nil:
	case r.InitError:
		out, err = a.failedInit(r)
	default:
		out = a.answered(r)
	}
	return out, r, err
}

// answered is the outcome of an answer.
func (a *attempt) answered(r runtimeapi.Response) sandbox.Outcome {
	out := sandbox.Outcome{Payload: r.Payload}
	switch {
	case r.TooLarge:
		out.Failure, out.Payload = sandbox.FailureTooLarge, r.ErrorPayload
	case r.Failed():
		out.Failure, out.Payload = sandbox.FailureHandler, r.ErrorPayload
	}
	return a.finish(out, r)
}

// noProcess is the outcome when there is nothing to run.
func (a *attempt) noProcess(err error) (sandbox.Outcome, error) {
	if !errors.Is(err, errNoEntrypoint) {
		return sandbox.Outcome{}, err
	}
	return sandbox.Outcome{Failure: sandbox.FailureInit, Payload: entrypointPayload(a.inv.RequestID)}, nil
}

// timedOut kills the process.
func (a *attempt) timedOut(r runtimeapi.Response) (sandbox.Outcome, error) {
	if err := a.box.process().kill(a.box.group); err != nil {
		return sandbox.Outcome{}, err
	}
	out := sandbox.Outcome{Failure: sandbox.FailureTimeout, Payload: timeoutPayload(a.inv.RequestID, a.inv.Timeout)}
	return a.finish(out, r), nil
}

// failedInit ends the process, which has told why.
func (a *attempt) failedInit(r runtimeapi.Response) (sandbox.Outcome, error) {
	p := a.box.process()
	// It may have more to say before it goes by itself.
	t := time.NewTimer(exitGrace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
	}
	if err := p.kill(a.box.group); err != nil {
		return sandbox.Outcome{}, err
	}
	return a.finish(sandbox.Outcome{Failure: sandbox.FailureInit, Payload: r.ErrorPayload}, r), nil
}

// exitGrace is how long a process that cannot initialise may take to exit.
const exitGrace = 100 * time.Millisecond

// died tells how the process ended.
func (a *attempt) died(r runtimeapi.Response) (sandbox.Outcome, error) {
	p := a.box.process()
	if err := p.kill(a.box.group); err != nil { // waits; its end may not be known everywhere yet
		return sandbox.Outcome{}, err
	}
	out := sandbox.Outcome{Failure: sandbox.FailureExit, Payload: exitPayload(a.inv.RequestID, p.exit)}
	if kills, err := a.box.gauges.oomKills(); err == nil && kills > a.kills {
		out.Failure, out.Payload = sandbox.FailureMemory, memoryPayload(a.inv.RequestID)
	}
	return a.finish(out, r), nil
}

// finish gives all output away and fills in the measurements.
func (a *attempt) finish(out sandbox.Outcome, r runtimeapi.Response) sandbox.Outcome {
	if p := a.box.process(); p != nil {
		p.out.drain()
	}
	out.Init, out.Duration = r.Init, r.Duration
	if peak, err := a.box.gauges.peak(); err == nil {
		out.PeakMemory = peak
	}
	return out
}
