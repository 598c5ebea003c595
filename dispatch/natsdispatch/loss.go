package natsdispatch

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// losses finds out which managers are gone for good. A lease that has expired
// may only be late, on a machine that is busy; so the manager is asked. When
// nobody is there the NATS server says so at once.
type losses struct {
	c  *Client
	wg sync.WaitGroup

	mu     sync.Mutex
	asking map[string]bool      // incarnations that are being asked
	spared map[string]time.Time // incarnations that answered, and when
}

func newLosses(c *Client) *losses {
	return &losses{c: c, asking: map[string]bool{}, spared: map[string]time.Time{}}
}

// sweep looks after the invocations whose manager the roster has lost.
func (s *losses) sweep(ctx context.Context, now time.Time) {
	if !s.c.link.nc.IsConnected() {
		return // answers may be waiting on the other side
	}
	suspects := map[string]string{} // incarnation → manager
	s.c.mux.each(func(r receiver) {
		t, ok := r.(*try)
		if !ok {
			return
		}
		manager, incarnation, at, granted := t.grantedTo()
		if !granted {
			return
		}
		since, known, lost := s.c.roster.lost(manager, incarnation)
		if lost && (known && now.Sub(since) >= lossGrace || !known && now.Sub(at) >= 2*s.c.link.opts.Lease) {
			suspects[incarnation] = manager
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for incarnation, at := range s.spared {
		if now.Sub(at) >= s.c.link.opts.Lease {
			delete(s.spared, incarnation)
		}
	}
	for incarnation, manager := range suspects {
		if _, spared := s.spared[incarnation]; spared || s.asking[incarnation] {
			continue
		}
		s.asking[incarnation] = true
		s.wg.Go(func() { s.settle(ctx, manager, incarnation) })
	}
}

// settle asks a manager whether it is there, and fails its invocations when it
// is not.
func (s *losses) settle(ctx context.Context, manager, incarnation string) {
	alive := s.alive(ctx, manager, incarnation)
	s.mu.Lock()
	delete(s.asking, incarnation)
	if alive {
		s.spared[incarnation] = time.Now()
	}
	s.mu.Unlock()
	if alive || ctx.Err() != nil {
		return
	}
	s.c.mux.each(func(r receiver) {
		if t, ok := r.(*try); ok {
			if _, to, _, granted := t.grantedTo(); granted && to == incarnation {
				t.finish(outcome{err: possiblyStarted("the instance manager was lost while it ran the invocation")})
			}
		}
	})
}

func (s *losses) alive(ctx context.Context, manager, incarnation string) bool {
	ctx, cancel := context.WithTimeout(ctx, s.c.link.opts.Lease)
	defer cancel()
	got, err := s.c.mux.request(ctx, s.c.link.names.probe(manager, incarnation), nil, nil)
	return err == nil && status(got) == ""
}

// answerProbes subscribes to the question whether this incarnation is there.
func (v *service) answerProbes() (*subscription, error) {
	return subscribe(v.link.nc, v.link.names.probe(v.id, v.incarnation), func(m *nats.Msg) {
		_ = v.link.nc.Publish(m.Reply, bareFrame(frameGrant))
	})
}
