package natsdispatch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"thermocline"
	"thermocline/dispatch"
)

var _ dispatch.Server = (*Server)(nil)

// Server is the managers' side over NATS. One Server may serve several
// managers at once.
type Server struct{ link *link }

// NewServer makes the streams and the bucket that are missing. Nothing runs
// before Serve.
func NewServer(ctx context.Context, nc *nats.Conn, o Options) (*Server, error) {
	l, err := newLink(ctx, nc, o)
	if err != nil {
		return nil, err
	}
	return &Server{link: l}, nil
}

// service is one Serve: a manager and what it takes.
type service struct {
	link        *link
	h           dispatch.Handler
	id, fleet   string
	incarnation string
	mux         *mux
	roster      *roster
	room        admission
	events      *events
	stopping    atomic.Bool
	handlers    sync.WaitGroup // Handle calls with what follows them
	handling    context.Context
	lease       lease
	programs    programs
}

// Serve implements dispatch.Server.
func (s *Server) Serve(ctx context.Context, h dispatch.Handler) error {
	info := h.Info()
	if !token.MatchString(info.ID) || !token.MatchString(info.Fleet) {
		return thermocline.Errorf(thermocline.KindInternal, "natsdispatch: manager %q of fleet %q: names may have letters, digits, - and _ only", info.ID, info.Fleet)
	}
	handling, endHandlers := context.WithCancel(context.WithoutCancel(ctx))
	defer endHandlers()
	v := &service{
		link: s.link, h: h, id: info.ID, fleet: info.Fleet, incarnation: nuid.Next(),
		roster: newRoster(s.link), handling: handling,
		room: admission{maxBytes: s.link.opts.MaxInFlightBytes, maxCount: int64(s.link.opts.MaxInFlight)},
	}
	v.mux = newMux(s.link, nil)
	v.events = newEvents(v)
	v.lease.init()
	if err := v.mux.start(); err != nil {
		return fmt.Errorf("natsdispatch: replies: %w", err)
	}
	defer v.mux.stop()
	direct, err := subscribe(v.link.nc, v.link.names.direct(v.id), func(m *nats.Msg) { v.take(m, false) })
	if err != nil {
		return fmt.Errorf("natsdispatch: requests: %w", err)
	}
	probes, err := v.answerProbes()
	if err != nil {
		direct.drain()
		return fmt.Errorf("natsdispatch: probes: %w", err)
	}
	defer probes.drain()
	stopParts := v.start(context.WithoutCancel(ctx))
	<-ctx.Done()
	v.stop(direct, stopParts, endHandlers)
	return nil
}

// start begins what lives as long as the service: the roster's watch, the
// lease, the progress of events. The returned function ends them and waits.
func (v *service) start(ctx context.Context) (stop func()) {
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { v.roster.run(running, func() { close(v.lease.known) }) })
	wg.Go(func() { v.keepLease(running) })
	wg.Go(func() { v.events.keepProgress(running) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// stop is the order in which a manager leaves: others take over its
// partitions, it takes no more, what it runs ends, it is gone.
func (v *service) stop(direct *subscription, stopParts, endHandlers func()) {
	v.stopping.Store(true)
	v.lease.kick()
	if !v.link.nc.IsClosed() {
		v.lease.awaitWithdrawn(apiTimeout)
	}
	direct.drain()
	v.events.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.handlers.Wait()
	}()
	deadline := time.NewTimer(v.link.opts.DrainTimeout)
	defer deadline.Stop()
	select {
	case <-done:
	case <-deadline.C:
		v.link.opts.Logger.Warn("handlers outlive the drain timeout; ending their context", "manager", v.id)
		endHandlers()
		<-done
	}
	stopParts()
	v.leave()
}

// subscription is a subscription whose goroutine can be waited for.
type subscription struct {
	sub    *nats.Subscription
	closed chan struct{}
}

func subscribe(nc *nats.Conn, subject string, f func(*nats.Msg)) (*subscription, error) {
	s := &subscription{closed: make(chan struct{})}
	var err error
	if s.sub, err = nc.Subscribe(subject, f); err != nil {
		return nil, err
	}
	s.sub.SetClosedHandler(func(string) { close(s.closed) })
	return s, unlimited(s.sub)
}

// drain stops the subscription at the server, lets what was delivered be
// handled, and waits for that.
func (s *subscription) drain() {
	if err := s.sub.Drain(); err != nil {
		_ = s.sub.Unsubscribe()
	}
	t := time.NewTimer(apiTimeout)
	defer t.Stop()
	select {
	case <-s.closed:
	case <-t.C:
		_ = s.sub.Unsubscribe()
		<-s.closed
	}
}
