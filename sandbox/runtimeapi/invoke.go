package runtimeapi

import (
	"context"
	"encoding/json"
	"time"

	"thermocline"
)

// The errors of Invoke that callers tell apart.
var (
	// ErrProcessGone says that the process ended without an answer.
	ErrProcessGone error = thermocline.Errorf(thermocline.KindInternal, "the runtime's process is gone")
	// ErrNotAsking says that the runtime has not asked for work within
	// Invocation.Patience. Nothing was handed over.
	ErrNotAsking error = thermocline.Errorf(thermocline.KindInternal, "the runtime does not ask for work")
	// ErrClosed says that the server was closed.
	ErrClosed error = thermocline.Errorf(thermocline.KindInternal, "the Runtime API is closed")
)

// BindMessage is what a waiting bootstrap gets: whose sandbox it now is.
type BindMessage struct {
	// Env is the whole environment that the function sees, TZ, PATH and
	// AWS_LAMBDA_RUNTIME_API included; nothing of the old one stays.
	Env map[string]string `json:"env"`
	// Handler is the function's handler as configured.
	Handler string `json:"handler"`
}

// Invocation is what the runtime gets.
type Invocation struct {
	RequestID     string // [A-Za-z0-9-]
	Payload       []byte // not copied; must not change until Invoke returns
	ARN           string
	Deadline      time.Time
	ClientContext string // JSON, "" if none
	TraceID       string // "" if none
	// Patience bounds the wait for the runtime to ask for work, 0 for ctx alone.
	Patience time.Duration
}

// Response is what the runtime answered.
type Response struct {
	Payload []byte // the result; nil if the function failed
	// ErrorPayload is the JSON of the error, never nil if the function failed.
	ErrorPayload []byte
	// ErrorType is the runtime's word for the kind of error, for example
	// "Runtime.ImportModuleError"; "Runtime.Unknown" if it gave none that is
	// well-formed; "" if the function succeeded.
	ErrorType string
	InitError bool // the runtime could not initialise; the invocation was not handed over
	TooLarge  bool // the answer was over MaxResult; ErrorPayload says so

	ContentType string // of the result, as the runtime declared it
	Streaming   bool   // the runtime used the streaming response mode

	// Init is how long initialisation took, for the first invocation after it.
	Init time.Duration
	// Duration is the time from the handover to the complete answer.
	Duration time.Duration
	// Started says that the invocation was handed over. It is set also beside
	// an error: if false, nothing of it ran.
	Started bool
}

// Failed reports whether the function failed.
func (r *Response) Failed() bool { return r.ErrorPayload != nil }

// Booting says that the runtime's process starts now: initialisation is
// counted from here. Without it, it is counted from New, Reset or Specialise,
// whichever was last.
func (s *Server) Booting() {
	s.mu.Lock()
	s.initStart = time.Now()
	s.mu.Unlock()
}

// Booted waits until a waiting bootstrap has asked for its binding. It returns
// ctx's error, ErrProcessGone after a Reset, or ErrClosed.
func (s *Server) Booted(ctx context.Context) error {
	s.mu.Lock()
	polled, epoch := s.polled, s.epoch
	s.mu.Unlock()
	select {
	case <-polled:
		return nil
	case <-epoch:
		return s.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Initialised waits until the runtime has asked for work for the first time or
// has said that it cannot initialise, which the next Invoke tells. It returns
// ctx's error, ErrProcessGone after a Reset, or ErrClosed.
func (s *Server) Initialised(ctx context.Context) error {
	s.mu.Lock()
	done, epoch := s.initDone, s.epoch
	s.mu.Unlock()
	select { // it counts even if ctx has ended
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-epoch:
		return s.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Specialise gives a waiting bootstrap its function. It does not wait for the
// bootstrap to ask. A second call before a Reset is an error.
func (s *Server) Specialise(b BindMessage) error {
	data, err := json.Marshal(b)
	if err != nil {
		return thermocline.WithCause(thermocline.KindInternal, err, "the binding could not be encoded")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.binding != nil:
		return thermocline.Errorf(thermocline.KindInternal, "the sandbox is already bound")
	}
	s.binding = data
	s.initStart = time.Now()
	close(s.bound)
	return nil
}

// Invoke waits until the runtime asks for work, hands the invocation over and
// waits for the answer. It returns at once, with InitError, if the runtime has
// said or says that it cannot initialise.
//
// If ctx ends first Invoke returns its error; if the invocation had been handed
// over (Response.Started) the runtime still works on it, and the next Invoke
// waits until it is done. ErrProcessGone and ErrClosed come from Reset and
// Close, ErrNotAsking when Patience is over. A function's failure is not an error.
func (s *Server) Invoke(ctx context.Context, inv Invocation) (Response, error) {
	if !validID(inv.RequestID) {
		return Response{}, thermocline.Errorf(thermocline.KindInternal, "the request id is malformed")
	}
	c := &call{inv: inv, done: make(chan outcome, 1)}
	if r, done, err := s.submit(c); done || err != nil {
		return r, err
	}
	var impatient <-chan time.Time
	if inv.Patience > 0 {
		t := time.NewTimer(inv.Patience)
		defer t.Stop()
		impatient = t.C
	}
	for {
		select {
		case o := <-c.done:
			return o.response, o.err
		case <-ctx.Done():
			return s.abandon(c, ctx.Err())
		case <-impatient:
			if s.withdraw(c) {
				return Response{}, ErrNotAsking
			}
			impatient = nil
		}
	}
}

// Reset forgets the process: call it when it has ended, before another one is
// started. A pending Invoke returns ErrProcessGone, its Response says whether
// the invocation had been handed over. An answer that the process had sent
// completely before it ended still counts. The sandbox is unbound again.
func (s *Server) Reset() {
	s.awaitAnswer()
	s.mu.Lock()
	if !s.closed {
		close(s.epoch)
		s.fail(ErrProcessGone)
		s.forget()
	}
	s.mu.Unlock()
	s.conns.drop()
}

// awaitAnswer waits for an answer that is being read. Its sender is gone, so
// either all of it is here or its connection is at its end.
func (s *Server) awaitAnswer() {
	s.mu.Lock()
	receiving := s.receiving
	s.mu.Unlock()
	if receiving == nil {
		return
	}
	t := time.NewTimer(resetGrace)
	defer t.Stop()
	select {
	case <-receiving:
	case <-t.C:
	}
}
