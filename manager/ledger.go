package manager

import (
	"context"
	"strconv"
	"sync"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/manager/ledger"
)

// Ledger shares a provider's memory between the managers of a node: each has a
// guaranteed share that the others cannot take, the rest follows the load. What
// it decides is manager/ledger's; this is the shell that carries it out.
type Ledger struct {
	provider instance.Provider

	mu      sync.Mutex // never held while a manager's lock is taken
	shares  []*share
	book    *ledger.Ledger // nil until something is acquired
	changed chan struct{}  // closed, and replaced, when memory was given back
}

// NewLedger returns a ledger over a provider without instances.
func NewLedger(p instance.Provider) *Ledger {
	return &Ledger{provider: p, changed: make(chan struct{})}
}

// Share returns the provider as one more manager sees it: its Capacity is what
// this manager may have. All shares are to be taken before the first Acquire;
// half of the memory, divided among them, is what each is guaranteed. The
// manager that is made with it also gives memory back for others.
func (l *Ledger) Share() instance.Provider {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &share{Provider: l.provider, ledger: l, id: strconv.Itoa(len(l.shares))}
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

// open returns the book. Callers hold mu.
func (l *Ledger) open(now time.Time) *ledger.Ledger {
	if l.book == nil {
		total, _ := l.provider.Capacity()
		l.book = ledger.New(total, ledger.Config{})
		for _, s := range l.shares {
			l.book.Join(s.id, l.guaranteed(), now) // half of the total: there is room
		}
	}
	return l.book
}

// giver is a manager, as the ledger sees it.
type giver interface {
	// offer says what it could give back.
	offer() ledger.Offer
	// vacate begins to give an instance of that size back and reports whether
	// it does.
	vacate(mb int) bool
}

// share is a manager's view of the provider.
type share struct {
	instance.Provider
	ledger *Ledger
	id     string

	// Guarded by the ledger's lock.
	owner  giver
	asked  time.Time // when nobody could spare anything
	leaner time.Time // when it last asked without need
}

// attach says who gives back what this share has.
func (s *share) attach(g giver) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.owner = g
}

// Capacity returns the provider's total and what this manager may have now.
func (s *share) Capacity() (totalMB, freeMB int) {
	totalMB, free := s.Provider.Capacity()
	now := time.Now()
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return totalMB, min(free, s.ledger.open(now).Available(s.id, now))
}

// Acquire is the provider's, with KindRefused when the memory is somebody
// else's share.
func (s *share) Acquire(ctx context.Context, r instance.Request) (instance.Instance, error) {
	l := s.ledger
	now := time.Now()
	l.mu.Lock()
	ok := l.open(now).Take(s.id, r.MemoryMB, now)
	l.mu.Unlock()
	if !ok {
		return nil, refused("the node's memory is used or guaranteed to other managers")
	}
	in, err := s.Provider.Acquire(ctx, r)
	if err != nil {
		l.give(s, r.MemoryMB)
		return nil, err
	}
	// Ends with the instance, which its manager or the provider closes.
	go func() {
		<-in.Done()
		l.give(s, r.MemoryMB)
	}()
	return in, nil
}

// give notes that memory came back and tells those who wait for some.
func (l *Ledger) give(s *share, mb int) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open(now).Give(s.id, mb, now)
	close(l.changed)
	l.changed = make(chan struct{})
}

const (
	// askEvery is how long a manager that was told that nobody can spare
	// anything takes that for the state of things.
	askEvery = 50 * time.Millisecond
	// leanEvery is how often a manager asks that could do without.
	leanEvery = time.Second
)

// ask has others give back mb for this share, if they can. It returns at once:
// with a channel that is closed when memory has come back, or nil when none is
// on its way. See ledger.Ask for needed.
func (s *share) ask(mb int, needed bool) <-chan struct{} {
	l := s.ledger
	now := time.Now()
	l.mu.Lock()
	if needed && now.Sub(s.asked) < askEvery || !needed && now.Sub(s.leaner) < leanEvery {
		l.mu.Unlock()
		return nil
	}
	if !needed {
		s.leaner = now
	}
	owners := make(map[string]giver, len(l.shares))
	for _, o := range l.shares {
		if o != s && o.owner != nil {
			owners[o.id] = o.owner
		}
	}
	l.mu.Unlock()
	// Without our lock: they take theirs, under which they ask us for Capacity.
	offers := make(map[string]ledger.Offer, len(owners))
	for id, o := range owners {
		offers[id] = o.offer()
	}
	l.mu.Lock()
	book := l.open(now)
	for id, o := range offers {
		book.Report(id, o)
	}
	reclaim, answer := book.Ask(s.id, mb, needed, now)
	changed := l.changed
	if answer == ledger.None && needed {
		s.asked = now
	}
	l.mu.Unlock()
	switch answer {
	case ledger.Free:
		return closed
	case ledger.Moving:
		return changed
	case ledger.Asked:
		if owners[reclaim.From].vacate(reclaim.MB) {
			return changed
		}
		l.mu.Lock()
		book.Cancel(reclaim.From)
		l.mu.Unlock()
	}
	return nil
}

// closed is a channel that always is.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

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
