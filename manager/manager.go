package manager

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/manager/pool"
)

// Functions is where the manager reads functions; store.Functions is one.
type Functions interface {
	Get(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error)
	Fresh(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error)
}

// Code gives the unpacked code of a package; *code.Cache is one.
type Code interface {
	Dir(ctx context.Context, sha256 string) (dir string, release func(), err error)
}

// Logs stores log lines; store.Logs is one.
type Logs interface {
	Append(ctx context.Context, lines []thermocline.LogLine) error
	Settle(ctx context.Context) error
}

// Options is what a manager needs.
type Options struct {
	ID    string
	Fleet string
	Node  string

	Provider  instance.Provider
	Functions Functions
	Code      Code
	Logs      Logs
	Programs  Programs // nil: programs are refused

	// InstanceMB is the memory of the instances it acquires; a function that
	// needs more gets an instance of its size. Default 2,048.
	InstanceMB int
	// FreezeAfter is how long a sandbox is idle before it is frozen. Default
	// 100 ms; negative: never.
	FreezeAfter time.Duration
	// MaxOutstanding bounds the invocations that it accepts at once. Default
	// 1,000.
	MaxOutstanding int
	// Pool tunes keep-alive, eviction and the warming pool.
	Pool pool.Config
	// Pace is how fast time goes for the pool.
	Pace thermocline.Pace
	// Spares, when not nil, is asked once, soon after the start, for what is to
	// wait booted in any case; it takes the place of Pool.Spares.
	Spares func(ctx context.Context) ([]pool.Spare, error)

	Logger *slog.Logger
}

func (o *Options) defaults() {
	if o.InstanceMB == 0 {
		o.InstanceMB = defaultInstanceMB
	}
	if o.FreezeAfter == 0 {
		o.FreezeAfter = 100 * time.Millisecond
	}
	if o.MaxOutstanding == 0 {
		o.MaxOutstanding = 1000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Manager is one instance manager. Its methods are safe for concurrent use.
type Manager struct {
	o       Options
	log     *slog.Logger
	freezer *freezer
	prefix  string // of sandbox ids
	share   *share // of the node's memory, nil if all of it is this manager's

	growing sync.Mutex // held while an instance is acquired; before mu

	mu        sync.Mutex // guards the pool and the maps, never held over I/O
	pool      paced
	held      map[string]*held
	instances map[string]instance.Instance
	giving    map[string]bool // instances that are given back; see vacate.go
	closed    bool            // no new sandboxes

	ahead []pool.Need // what keepReady has still to prepare; its own

	outstanding atomic.Int64
	slotsNow    atomic.Int64 // as of slotsAt, Unix nanoseconds
	slotsAt     atomic.Int64
	draining    atomic.Bool
	next        atomic.Int64   // numbers sandboxes
	colds       atomic.Int64   // invocations under way that found no warm sandbox
	quiet       chan struct{}  // there are none of these any more
	todo        chan struct{}  // keepReady should look again
	wake        chan struct{}  // the pool's next deadline may have moved
	work        sync.WaitGroup // starts, closes and handlers under way
}

// New returns a manager. It holds nothing until Run or Handle is called.
func New(o Options) *Manager {
	o.defaults()
	m := &Manager{
		o:         o,
		log:       o.Logger.With("manager", o.ID, "fleet", o.Fleet),
		freezer:   newFreezer(o.FreezeAfter),
		prefix:    sandboxPrefix(o.ID, time.Now()),
		pool:      paced{pool.New(o.Pool), o.Pace},
		held:      map[string]*held{},
		instances: map[string]instance.Instance{},
		giving:    map[string]bool{},
		quiet:     make(chan struct{}, 1),
		todo:      make(chan struct{}, 1),
		wake:      make(chan struct{}, 1),
	}
	if s, ok := o.Provider.(*share); ok {
		m.share = s
		s.attach(m)
	}
	return m
}

// sandboxPrefix makes the ids of sandboxes short and unique on the machine,
// between managers and between starts.
func sandboxPrefix(manager string, now time.Time) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(manager)) // never fails
	return fmt.Sprintf("%08x-%s", h.Sum32(), strconv.FormatInt(now.UnixMilli(), 36))
}

// nameSandbox returns a new sandbox id.
func (m *Manager) nameSandbox() string {
	return fmt.Sprintf("%s-%d", m.prefix, m.next.Add(1))
}

// Info says who the manager is and how loaded it is.
func (m *Manager) Info() thermocline.ManagerInfo {
	return thermocline.ManagerInfo{
		ID: m.o.ID, Fleet: m.o.Fleet, Node: m.o.Node,
		Outstanding: int(m.outstanding.Load()),
		Slots:       m.slots(),
		Draining:    m.draining.Load(),
	}
}

// slotsEvery is how old the estimate of slots may be: Info is asked for every
// reply.
const slotsEvery = 100 * time.Millisecond

// slots estimates how many invocations the manager could run at once: what it
// runs, and what its free memory, the provider's included, would hold of
// sandboxes like those it has.
func (m *Manager) slots() int {
	now := time.Now().UnixNano()
	if at := m.slotsAt.Load(); at != 0 && now-at < int64(slotsEvery) {
		return int(m.slotsNow.Load())
	}
	m.mu.Lock()
	free, counts, used, boxes := m.pool.FreeMB(), m.pool.Counts(), 0, 0
	for _, in := range m.pool.Instances() {
		used += in.UsedMB
		boxes += in.Sandboxes
	}
	m.mu.Unlock()
	_, more := m.o.Provider.Capacity()
	each := 128 // the smallest, and by far the most common
	if boxes > 0 {
		each = max(each, used/boxes)
	}
	slots := min(m.o.MaxOutstanding, counts.Busy+counts.Starting+(free+more)/each)
	m.slotsNow.Store(int64(slots))
	m.slotsAt.Store(now)
	return slots
}
