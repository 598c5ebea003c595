package host

import (
	"context"
	"errors"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"thermocline"
	"thermocline/instance"
	"thermocline/instance/host/cgroup"
	"thermocline/sandbox"
)

// slice is an instance: a control group with what runs in it.
type slice struct {
	p        *Provider
	id       string
	owner    string
	memoryMB int
	cgroup   string
	done     chan struct{}

	// closing has room for the one Close that is at work.
	closing chan struct{}

	mu       sync.Mutex
	closed   bool
	starts   map[*start]struct{}
	starting sync.WaitGroup
	boxes    map[*box]struct{}
}

// start is a Start under way, which Close gives up.
type start struct{ cancel context.CancelFunc }

var _ instance.Instance = (*slice)(nil)

func newSlice(p *Provider, r instance.Request) *slice {
	id := newID()
	return &slice{
		p: p, id: id, owner: r.Owner, memoryMB: r.MemoryMB, cgroup: path.Join(p.parent, id),
		done: make(chan struct{}), closing: make(chan struct{}, 1),
		starts: map[*start]struct{}{}, boxes: map[*box]struct{}{},
	}
}

func (s *slice) ID() string            { return s.id }
func (s *slice) Provider() string      { return "host" }
func (s *slice) Owner() string         { return s.owner }
func (s *slice) MemoryMB() int         { return s.memoryMB }
func (s *slice) Done() <-chan struct{} { return s.done }

// limits are the slice's, with room for what is charged to it beside its
// sandboxes: the kernel's own structures for groups, processes and sockets,
// and the OCI runtime while it starts a container (12 MB).
func (s *slice) limits() cgroup.Limits {
	total, _ := s.p.ledger.read()
	return cgroup.Limits{
		MemoryBytes: int64(s.memoryMB+16+s.memoryMB/32) << 20,
		CPUs:        s.p.cpus * float64(s.memoryMB) / float64(total),
	}
}

// Start starts a sandbox in the slice. It fails with KindUnavailable once the
// slice is closed; other errors are the Starter's.
func (s *slice) Start(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st := &start{cancel}
	if err := s.begin(st); err != nil {
		return nil, err
	}
	inner, err := s.p.starter.Start(ctx, spec, s.cgroup)
	var b *box
	if err == nil {
		b = &box{Sandbox: inner, s: s}
	}
	// In one step, so that Close finds either the start or the sandbox.
	s.mu.Lock()
	delete(s.starts, st)
	closed := s.closed
	if b != nil {
		s.boxes[b] = struct{}{}
	}
	s.mu.Unlock()
	s.starting.Done()
	switch {
	case closed: // Close closes the sandbox, if there is one
		return nil, errClosed()
	case err != nil:
		return nil, err
	}
	return b, nil
}

func (s *slice) begin(st *start) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed()
	}
	s.starts[st] = struct{}{}
	s.starting.Add(1)
	return nil
}

func errClosed() error {
	return thermocline.Errorf(thermocline.KindUnavailable, "The instance is closed.")
}

// Close ends the slice's sandboxes, kills whatever else is in its group, and
// removes it. When it fails, what is left stays on record and on the ledger,
// and Close may be called again.
func (s *slice) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for st := range s.starts {
		st.cancel()
	}
	s.mu.Unlock()

	select {
	case s.closing <- struct{}{}:
		defer func() { <-s.closing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.done:
		return nil
	default:
	}
	s.starting.Wait()
	boxErr := s.closeBoxes()
	if err := s.p.tree.Remove(ctx, s.cgroup); err != nil {
		return thermocline.WithCause(thermocline.KindInternal, errors.Join(err, boxErr), "An instance could not be removed")
	}
	if err := s.p.removeRecord(s.id); err != nil {
		return thermocline.WithCause(thermocline.KindInternal, errors.Join(err, boxErr), "An instance could not be forgotten")
	}
	s.p.forget(s)
	close(s.done)
	s.p.log.Info("instance closed", "instance", s.id, "manager", s.owner)
	if boxErr != nil {
		return thermocline.WithCause(thermocline.KindInternal, boxErr, "A sandbox was not removed entirely")
	}
	return nil
}

// closeBoxes closes all sandboxes, a few at a time: each costs the OCI runtime
// a process.
func (s *slice) closeBoxes() error {
	s.mu.Lock()
	boxes := make([]*box, 0, len(s.boxes))
	for b := range s.boxes {
		boxes = append(boxes, b)
	}
	s.mu.Unlock()
	errs := make([]error, len(boxes))
	var group errgroup.Group
	group.SetLimit(8)
	for i, b := range boxes {
		group.Go(func() error {
			errs[i] = b.Close()
			return nil
		})
	}
	_ = group.Wait() // its functions return nil: all are to be closed
	return errors.Join(errs...)
}

// box is a sandbox that leaves its slice when it is closed.
type box struct {
	sandbox.Sandbox
	s *slice
}

func (b *box) Close() error {
	if err := b.Sandbox.Close(); err != nil {
		return err // the slice closes it again
	}
	b.s.mu.Lock()
	delete(b.s.boxes, b)
	b.s.mu.Unlock()
	return nil
}
