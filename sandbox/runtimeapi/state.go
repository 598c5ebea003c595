package runtimeapi

import (
	"time"

	"thermocline"
)

// phase is the state of the runtime, as doc.go tabulates it.
type phase int

const (
	booting phase = iota
	ready
	busy
	receiving
	answered
	failed
)

// call is one Invoke.
type call struct {
	inv       Invocation
	handed    time.Time
	init      time.Duration
	abandoned bool         // its Invoke has returned
	done      chan outcome // takes one; written under Server.mu, at most once
	settled   bool
}

type outcome struct {
	response Response
	err      error
}

func (c *call) settle(o outcome) {
	if !c.settled {
		c.settled = true
		c.done <- o
	}
}

// waiter is one parked GET next. Its channel takes one call, or is closed when
// a newer one takes its place.
type waiter struct {
	work chan *call
	conn *conn // that the call is written to; nil: its own goroutine does that
}

// dismiss ends the wait without work. Callers hold Server.mu.
func (w *waiter) dismiss() {
	close(w.work)
	if w.conn != nil {
		w.conn.wake()
	}
}

// forget puts the state back to that of a new process. Callers hold mu, or are
// New.
func (s *Server) forget() {
	s.phase = booting
	s.waiter, s.queued, s.current = nil, nil, nil
	s.failure = Response{}
	s.initStart, s.initTime, s.initNew = time.Now(), 0, false
	s.receiving = nil
	s.initDone = make(chan struct{})
	s.polled, s.isPolled = make(chan struct{}), false
	s.binding, s.bound = nil, make(chan struct{})
	s.epoch = make(chan struct{})
}

// fail ends the pending calls with err. Callers hold mu.
func (s *Server) fail(err error) {
	if s.queued != nil {
		s.queued.settle(outcome{err: err})
		s.queued = nil
	}
	if c := s.current; c != nil {
		c.settle(outcome{Response{Started: true, Init: c.init, Duration: time.Since(c.handed)}, err})
	}
	if s.waiter != nil {
		s.waiter.dismiss()
		s.waiter = nil
	}
}

func (s *Server) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return ErrProcessGone
}

// submit queues c, or hands it over if the runtime waits. done says that the
// runtime's initialisation has failed and r is the response.
func (s *Server) submit(c *call) (r Response, done bool, err error) {
	var to *conn
	defer func() {
		if to != nil {
			to.deliver(c) // without the lock
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return Response{}, false, ErrClosed
	case s.queued != nil, s.current != nil && !s.current.settled && !s.current.abandoned:
		return Response{}, false, thermocline.Errorf(thermocline.KindInternal, "the sandbox is busy")
	case s.phase == failed:
		return s.failure, true, nil
	}
	s.queued = c
	if w := s.waiter; w != nil {
		s.waiter = nil
		w.work <- s.handOver()
		if to = w.conn; to != nil {
			to.write.Lock() // free: its goroutine reads
		}
	}
	return Response{}, false, nil
}

// handOver makes the queued call the current one. Callers hold mu and give the
// call to a waiter.
func (s *Server) handOver() *call {
	c := s.queued
	s.queued, s.current, s.phase = nil, c, busy
	if s.initNew {
		c.init, s.initNew = s.initTime, false
	}
	c.handed = time.Now()
	return c
}

// takeBack queues a call again that did not reach the runtime.
func (s *Server) takeBack(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != c || s.phase != busy || c.settled {
		return
	}
	s.current, s.phase = nil, ready
	if c.init > 0 {
		s.initNew = true
	}
	if !c.abandoned {
		s.queued = c
	}
}

// abandon ends c's Invoke with err unless an answer came in between.
func (s *Server) abandon(c *call, err error) (Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.settled {
		o := <-c.done
		return o.response, o.err
	}
	c.abandoned = true
	if s.queued == c {
		s.queued = nil
		return Response{}, err
	}
	return Response{Started: true, Init: c.init, Duration: time.Since(c.handed)}, err
}

// withdraw takes c out of the queue, and reports whether it was there.
func (s *Server) withdraw(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued != c {
		return false
	}
	s.queued, c.abandoned = nil, true
	return true
}

// park enters a call of next: it gives the call to hand over, or the waiter
// that will get one, or neither if the state does not allow it. A waiter with a
// conn has its call written there by who submits it.
func (s *Server) park(on *conn) (*call, *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	switch s.phase {
	case booting:
		s.initTime, s.initNew = time.Since(s.initStart), true
		close(s.initDone)
	case ready:
		if s.waiter != nil {
			s.waiter.dismiss()
			s.waiter = nil
		}
	case answered:
	default:
		return nil, nil
	}
	s.phase, s.current = ready, nil
	if s.queued != nil {
		return s.handOver(), nil
	}
	s.waiter = &waiter{work: make(chan *call, 1), conn: on}
	return nil, s.waiter
}

// unpark ends a parked call whose connection is gone. It returns the call that
// had been given to it just before, if any.
func (s *Server) unpark(w *waiter) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiter == w {
		s.waiter = nil
		return nil
	}
	return <-w.work // given, or closed
}

// claim begins an answer to the invocation id. A nil call comes with what is
// wrong.
func (s *Server) claim(id string) (*call, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current
	if c == nil || c.inv.RequestID != id {
		return nil, &invalidRequestID
	}
	if s.phase != busy {
		return nil, &invalidTransition
	}
	s.phase = receiving
	s.receiving = make(chan struct{})
	return c, nil
}

// release undoes claim: the answer did not arrive.
func (s *Server) release(c *call) {
	s.finish(c, func() { s.phase = busy })
}

// answer completes c.
func (s *Server) answer(c *call, r Response) {
	s.finish(c, func() {
		s.phase = answered
		r.Started, r.Init, r.Duration = true, c.init, time.Since(c.handed)
		c.settle(outcome{response: r})
	})
}

func (s *Server) finish(c *call, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != c || s.phase != receiving {
		return // reset in between
	}
	f()
	close(s.receiving)
	s.receiving = nil
}

// failInit records what init/error said and tells a waiting Invoke.
func (s *Server) failInit(r Response) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.phase != booting {
		return false
	}
	r.InitError, r.Init = true, time.Since(s.initStart)
	s.phase, s.failure = failed, r
	close(s.initDone)
	if c := s.queued; c != nil {
		s.queued = nil
		c.settle(outcome{response: r})
	}
	return true
}

// claimInit lets one init/error call at a time read its body. It returns nil if
// the state does not allow it; endInit takes what it returned.
func (s *Server) claimInit() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.phase != booting || s.receiving != nil {
		return nil
	}
	s.receiving = make(chan struct{})
	return s.receiving
}

func (s *Server) endInit(claim chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(claim)
	if s.receiving == claim {
		s.receiving = nil
	}
}

// poll enters a call of binding: it gives the channels to wait on, or false if
// the binding has been given away.
func (s *Server) poll() (bound, epoch <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.phase != booting {
		return nil, nil, false
	}
	if !s.isPolled {
		s.isPolled = true
		close(s.polled)
	}
	return s.bound, s.epoch, true
}

// message returns the binding.
func (s *Server) message() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.binding
}
