package instancetest

import (
	"context"
	"errors"
	"sync"

	"thermocline"
	"thermocline/instance"
	"thermocline/sandbox"
)

// FakeInstance is an instance of a Fake.
type FakeInstance struct {
	fake    *Fake
	number  int
	id      string
	request instance.Request
	done    chan struct{}

	closing sync.Mutex // held by the Close at work

	mu       sync.Mutex
	closed   bool
	starts   map[*context.CancelFunc]struct{}
	starting sync.WaitGroup
	boxes    map[*fakeBox]struct{}
}

var _ instance.Instance = (*FakeInstance)(nil)

// ID is unique within its Fake.
func (i *FakeInstance) ID() string { return i.id }

// Provider is "fake".
func (i *FakeInstance) Provider() string { return "fake" }

// Owner is who acquired it.
func (i *FakeInstance) Owner() string { return i.request.Owner }

// MemoryMB is its size.
func (i *FakeInstance) MemoryMB() int { return i.request.MemoryMB }

// Done is closed when it is gone.
func (i *FakeInstance) Done() <-chan struct{} { return i.done }

// Sandboxes returns the ids of its open sandboxes, in no order.
func (i *FakeInstance) Sandboxes() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var ids []string
	for b := range i.boxes {
		ids = append(ids, b.ID())
	}
	return ids
}

// Start starts a sandbox.
func (i *FakeInstance) Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return nil, errClosed()
	}
	i.starting.Add(1)
	i.starts[&cancel] = struct{}{}
	i.mu.Unlock()
	defer i.starting.Done()

	inner, err := i.fake.options.Start(ctx, s)
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.starts, &cancel)
	if err != nil {
		return nil, err
	}
	b := &fakeBox{inner, i}
	i.boxes[b] = struct{}{}
	if i.closed { // whose Close closes it
		return nil, errClosed()
	}
	return b, nil
}

func errClosed() error {
	return thermocline.Errorf(thermocline.KindUnavailable, "The instance is closed.")
}

// Lose ends the instance as a crash of its machine would: its sandboxes are
// gone, and nobody asked for it.
func (i *FakeInstance) Lose() error { return i.Close(context.Background()) }

// Close ends its sandboxes.
func (i *FakeInstance) Close(context.Context) error {
	i.mu.Lock()
	i.closed = true
	for cancel := range i.starts {
		(*cancel)()
	}
	i.mu.Unlock()

	i.closing.Lock()
	defer i.closing.Unlock()
	select {
	case <-i.done:
		return nil
	default:
	}
	i.starting.Wait()
	i.mu.Lock()
	boxes := make([]*fakeBox, 0, len(i.boxes))
	for b := range i.boxes {
		boxes = append(boxes, b)
	}
	i.mu.Unlock()
	var errs []error
	for _, b := range boxes {
		errs = append(errs, b.Close())
	}
	i.fake.giveBack(i)
	i.fake.options.Machine.remove(i)
	close(i.done)
	return errors.Join(errs...)
}

// fakeBox is a sandbox that leaves its instance when it is closed.
type fakeBox struct {
	sandbox.Sandbox
	i *FakeInstance
}

func (b *fakeBox) Close() error {
	if err := b.Sandbox.Close(); err != nil {
		return err
	}
	b.i.mu.Lock()
	defer b.i.mu.Unlock()
	delete(b.i.boxes, b)
	return nil
}
