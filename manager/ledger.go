package manager

import (
	"context"
	"sync"

	"thermocline"
	"thermocline/instance"
)

// Ledger shares a provider's memory between the managers of a node. Each has a
// guaranteed share that the others cannot take; the rest goes to who asks
// first. Without it the fleet that is busy first would leave nothing for the
// fleet that its hot functions move to.
type Ledger struct {
	provider instance.Provider

	mu     sync.Mutex
	shares []*share
}

// NewLedger returns a ledger over a provider without instances.
func NewLedger(p instance.Provider) *Ledger { return &Ledger{provider: p} }

// Share returns the provider as one more manager sees it: its Capacity is what
// this manager may have. All shares are to be taken before the first Acquire;
// half of the memory, divided among them, is what each is guaranteed.
func (l *Ledger) Share() instance.Provider {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &share{Provider: l.provider, ledger: l}
	l.shares = append(l.shares, s)
	return s
}

// GuaranteedMB is what each share is sure of, in MB.
func (l *Ledger) GuaranteedMB() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guaranteed()
}

func (l *Ledger) guaranteed() int {
	total, _ := l.provider.Capacity()
	return total / (2 * max(1, len(l.shares)))
}

// available is what s may have of what is free: not what others are guaranteed
// and have not taken yet.
func (l *Ledger) available(s *share) int {
	_, free := l.provider.Capacity()
	// What was promised and is being acquired is not in the provider's count
	// yet.
	guaranteed := l.guaranteed()
	for _, o := range l.shares {
		free -= o.pending
		if o != s {
			free -= max(0, guaranteed-o.used-o.pending)
		}
	}
	return max(0, free)
}

// share is a manager's view of the provider.
type share struct {
	instance.Provider
	ledger        *Ledger
	used, pending int // MB; guarded by the ledger's lock
}

// Capacity returns the provider's total and what this manager may have now.
func (s *share) Capacity() (totalMB, freeMB int) {
	totalMB, _ = s.Provider.Capacity()
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return totalMB, s.ledger.available(s)
}

// Acquire is the provider's, with KindRefused when the memory is somebody
// else's share.
func (s *share) Acquire(ctx context.Context, r instance.Request) (instance.Instance, error) {
	l := s.ledger
	l.mu.Lock()
	if l.available(s) < r.MemoryMB {
		l.mu.Unlock()
		return nil, refused("the node's memory is used or guaranteed to other managers")
	}
	s.pending += r.MemoryMB
	l.mu.Unlock()

	in, err := s.Provider.Acquire(ctx, r)
	l.mu.Lock()
	s.pending -= r.MemoryMB
	if err == nil {
		s.used += r.MemoryMB
	}
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	// Ends with the instance, which its manager or the provider closes.
	go func() {
		<-in.Done()
		l.mu.Lock()
		s.used -= r.MemoryMB
		l.mu.Unlock()
	}()
	return in, nil
}

// Close does nothing: the provider is not this manager's to close.
func (s *share) Close(context.Context) error { return nil }

// Recover does nothing: it is done once for all.
func (s *share) Recover(context.Context) error { return nil }

var _ instance.Provider = (*share)(nil)

// InstanceMB is the size of instances that suits shares of guaranteed MB: a
// manager gets at least one out of what it is guaranteed.
func InstanceMB(guaranteed int) int {
	return min(defaultInstanceMB, max(smallestInstanceMB, guaranteed))
}

const (
	defaultInstanceMB  = 2048
	smallestInstanceMB = 256
)

// asRefusal makes an error of a provider one that lets the next manager try.
func asRefusal(err error) error {
	if thermocline.KindOf(err) == thermocline.KindRefused {
		return refused("the node has no memory left for another instance")
	}
	return thermocline.WithCause(thermocline.KindRefused, err, "no instance could be acquired")
}
