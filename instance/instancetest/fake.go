package instancetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/sandbox"
)

// Machine is what fakes live on: it remembers their instances when they die.
// The zero value is ready. It is safe for concurrent use.
type Machine struct {
	mu        sync.Mutex
	instances map[*FakeInstance]string // by the id of their node
}

// Left returns the ids of the instances on the machine, sorted.
func (m *Machine) Left() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for i := range m.instances {
		ids = append(ids, i.id)
	}
	slices.Sort(ids)
	return ids
}

// of returns a node's instances.
func (m *Machine) of(node string) []*FakeInstance {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*FakeInstance
	for i, n := range m.instances {
		if n == node {
			found = append(found, i)
		}
	}
	return found
}

func (m *Machine) add(i *FakeInstance, node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instances == nil {
		m.instances = map[*FakeInstance]string{}
	}
	m.instances[i] = node
}

func (m *Machine) remove(i *FakeInstance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.instances, i)
}

// FakeOptions configure a Fake.
type FakeOptions struct {
	// TotalMB is the budget.
	TotalMB int
	// Start starts the sandboxes; sandboxtest's Fake has one.
	Start func(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error)
	// Machine and Node are for fakes that succeed or neighbour each other.
	Machine *Machine
	Node    string
	// AcquireDelay is how long Acquire takes, as booting a machine does.
	AcquireDelay time.Duration
	// AcquireError, when it returns an error, fails an Acquire.
	AcquireError func(r instance.Request) error
}

// Fake is a provider of instances that are nothing but accounts of memory. It
// works in a synctest bubble.
type Fake struct {
	options FakeOptions

	mu     sync.Mutex
	closed bool
	used   int
	count  int
	open   map[string]*FakeInstance
	making sync.WaitGroup
}

var _ instance.Provider = (*Fake)(nil)

// NewFake returns a Fake.
func NewFake(o FakeOptions) *Fake {
	if o.Machine == nil {
		o.Machine = &Machine{}
	}
	return &Fake{options: o, open: map[string]*FakeInstance{}}
}

// Name is "fake".
func (f *Fake) Name() string { return "fake" }

// Recover removes the instances of this node that are not this fake's.
func (f *Fake) Recover(ctx context.Context) error {
	var errs []error
	for _, i := range f.options.Machine.of(f.options.Node) {
		if i.fake != f {
			errs = append(errs, i.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// Capacity returns the budget and what is free of it.
func (f *Fake) Capacity() (totalMB, freeMB int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.options.TotalMB, f.options.TotalMB - f.used
}

// Acquire returns a FakeInstance.
func (f *Fake) Acquire(ctx context.Context, r instance.Request) (instance.Instance, error) {
	if r.MemoryMB <= 0 || r.Owner == "" {
		return nil, thermocline.Errorf(thermocline.KindInvalidParameter, "An instance needs an owner and a size.")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i, err := f.reserve(r)
	if err != nil {
		return nil, err
	}
	defer f.making.Done()
	if err := f.boot(ctx, r); err != nil {
		f.giveBack(i)
		return nil, err
	}
	f.mu.Lock()
	f.open[i.id] = i
	f.mu.Unlock()
	f.options.Machine.add(i, f.options.Node)
	return i, nil
}

func (f *Fake) reserve(r instance.Request) (*FakeInstance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch free := f.options.TotalMB - f.used; {
	case f.closed:
		return nil, thermocline.Errorf(thermocline.KindUnavailable, "The provider is closed.")
	case r.MemoryMB > free:
		return nil, thermocline.Errorf(thermocline.KindRefused, "No room: %d MB are wanted, %d are free.", r.MemoryMB, free)
	}
	f.making.Add(1)
	f.used += r.MemoryMB
	f.count++
	return &FakeInstance{
		fake: f, number: f.count, id: fmt.Sprintf("fake-%d", f.count), request: r, done: make(chan struct{}),
		starts: map[*context.CancelFunc]struct{}{}, boxes: map[*fakeBox]struct{}{},
	}, nil
}

// boot takes its time, and fails if it is to.
func (f *Fake) boot(ctx context.Context, r instance.Request) error {
	if f.options.AcquireDelay > 0 {
		timer := time.NewTimer(f.options.AcquireDelay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.options.AcquireError != nil {
		return f.options.AcquireError(r)
	}
	return nil
}

func (f *Fake) giveBack(i *FakeInstance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used -= i.request.MemoryMB
	delete(f.open, i.id)
}

// Instances returns the open instances in the order in which they were acquired.
func (f *Fake) Instances() []*FakeInstance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.open), func(a, b *FakeInstance) int { return a.number - b.number })
}

// Close closes all instances.
func (f *Fake) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.making.Wait()
	var errs []error
	for _, i := range f.Instances() {
		errs = append(errs, i.Close(ctx))
	}
	return errors.Join(errs...)
}
