package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"thermocline"
	"thermocline/sandbox"
)

// Invoke implements sandbox.Sandbox.
func (s *fakeSandbox) Invoke(ctx context.Context, inv sandbox.Invocation) (sandbox.Outcome, error) {
	if err := s.enter(); err != nil {
		return sandbox.Outcome{}, err
	}
	defer s.work.Unlock()
	s.mu.Lock()
	if s.binding == nil {
		s.mu.Unlock()
		return sandbox.Outcome{}, thermocline.Errorf(thermocline.KindInternal, "the sandbox is not bound to a function")
	}
	if s.proc == nil {
		s.proc = s.boot(s.fake.InitDelay)
	}
	if s.frozen {
		s.frozen = false
		s.proc.clock(true)
	}
	s.busy = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
	}()
	out, err := s.run(ctx, inv)
	if err != nil {
		s.end()
	}
	return out, err
}

// Initialise implements sandbox.Sandbox.
func (s *fakeSandbox) Initialise(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.work.Unlock()
	s.mu.Lock()
	p, bound, frozen := s.proc, s.binding != nil, s.frozen
	s.frozen = false
	if frozen && p != nil {
		p.clock(true)
	}
	s.mu.Unlock()
	switch {
	case !bound:
		return thermocline.Errorf(thermocline.KindInternal, "the sandbox is not bound to a function")
	case p == nil:
		return nil
	}
	if _, err := s.await(ctx, p, s.fake.initLimit()); err != nil && !errors.Is(err, errTooLong) {
		return err
	}
	return nil
}

// run waits for initialisation and runs the handler.
func (s *fakeSandbox) run(ctx context.Context, inv sandbox.Invocation) (sandbox.Outcome, error) {
	p := s.process()
	p.begin(inv.RequestID)
	left := inv.Timeout
	_, err := s.await(ctx, p, max(s.fake.initLimit()-time.Since(p.began), 1))
	if errors.Is(err, errTooLong) { // again, under the function's timeout
		s.end()
		s.mu.Lock()
		p = s.boot(s.fake.InitDelay)
		s.proc = p
		s.mu.Unlock()
		p.begin(inv.RequestID)
		left, err = s.await(ctx, p, inv.Timeout)
	}
	defer p.finish()
	switch {
	case errors.Is(err, errTooLong):
		return s.died(p, inv, sandbox.Outcome{Duration: inv.Timeout}, errTooLong), nil
	case err != nil:
		return sandbox.Outcome{}, err
	case p.failure != nil:
		out := sandbox.Outcome{Failure: sandbox.FailureInit, Init: p.initialised(), PeakMemory: fakeMemory}
		out.Payload = errorPayload("Error", p.failure.Error())
		s.end()
		return out, nil
	}
	return s.handle(ctx, p, inv, left)
}

// errTooLong says that the process did not do in time what it should.
var errTooLong = errors.New("took too long")

// await waits for initialisation and returns what is left of limit.
func (s *fakeSandbox) await(ctx context.Context, p *Process, limit time.Duration) (time.Duration, error) {
	select { // what is ready is ready, however late it is asked
	case <-p.ready:
		return limit, nil
	default:
	}
	begin := time.Now()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.ready:
		return limit - time.Since(begin), nil
	case <-t.C:
		return 0, errTooLong
	case <-s.closing:
		return 0, thermocline.Errorf(thermocline.KindInternal, "the sandbox is closed")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// handle runs the handler until it answers, the time is over, or nobody waits.
func (s *fakeSandbox) handle(ctx context.Context, p *Process, inv sandbox.Invocation, left time.Duration) (sandbox.Outcome, error) {
	type answer struct {
		payload []byte
		err     error
	}
	answers := make(chan answer, 1)
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	begin := time.Now()
	inv.Deadline = begin.Add(left)
	p.wait.Go(func() {
		payload, err := p.handler(inner, inv)
		answers <- answer{payload, err}
	})
	t := time.NewTimer(left)
	defer t.Stop()
	out := sandbox.Outcome{Init: p.initialised(), PeakMemory: fakeMemory}
	var err error
	select {
	case a := <-answers:
		out.Duration = max(time.Since(begin), 1)
		return s.answered(p, inv, out, a.payload, a.err), nil
	case <-t.C:
		err = errTooLong
	case <-s.closing:
		err = thermocline.Errorf(thermocline.KindInternal, "the sandbox is closed")
	case <-ctx.Done():
		err = ctx.Err()
	}
	cancel() // the process is killed
	<-answers
	if !errors.Is(err, errTooLong) {
		return sandbox.Outcome{}, err
	}
	out.Duration = time.Since(begin)
	return s.died(p, inv, out, errTooLong), nil
}

// answered is the outcome of what the handler returned.
func (s *fakeSandbox) answered(p *Process, inv sandbox.Invocation, out sandbox.Outcome, payload []byte, err error) sandbox.Outcome {
	var exit Exit
	switch {
	case errors.As(err, &exit), errors.Is(err, ErrOutOfMemory):
		return s.died(p, inv, out, err)
	case err != nil:
		out.Failure, out.Payload = sandbox.FailureHandler, errorPayload(typeName(err), err.Error())
	case len(payload) > thermocline.MaxResult:
		out.Failure = sandbox.FailureTooLarge
		out.Payload = errorPayload("Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", thermocline.MaxResult))
	default:
		out.Payload = payload
	}
	return out
}

// typeName is what runtimes call the type of an error.
func typeName(err error) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// died is the outcome when the process ended.
func (s *fakeSandbox) died(p *Process, inv sandbox.Invocation, out sandbox.Outcome, why error) sandbox.Outcome {
	kind, message := "Runtime.ExitError", "Runtime exited without providing a reason"
	var exit Exit
	switch {
	case errors.Is(why, errTooLong):
		out.Failure, kind = sandbox.FailureTimeout, "Sandbox.Timedout"
		message = fmt.Sprintf("Task timed out after %.2f seconds", inv.Timeout.Seconds())
	case errors.Is(why, ErrOutOfMemory):
		out.Failure, message = sandbox.FailureMemory, "Runtime exited with error: signal: killed"
		out.PeakMemory = int64(s.spec.MemoryMB) << 20
	case errors.As(why, &exit):
		out.Failure = sandbox.FailureExit
		if exit != 0 {
			message = "Runtime exited with error: " + exit.Error()
		}
	}
	out.Payload = errorPayload(kind, "RequestId: "+inv.RequestID+" Error: "+message)
	s.end()
	return out
}
