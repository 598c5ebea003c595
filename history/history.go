package history

import (
	"sync"
	"time"

	"thermocline"
)

// Options configure a History. Zero values take the defaults.
type Options struct {
	// Slot names this incarnation: the frontend's name, a dot, and something
	// that no earlier incarnation had ("frontend-1.1763895600"). At most 128
	// bytes. Slots with the same name before the last dot are predecessors.
	Slot string

	// MaxFunctions bounds the functions that are remembered (default
	// 1,000,000, about 300 bytes each). Beyond it those unused for longest go.
	MaxFunctions int

	// MaxSlots bounds the slots of others that are remembered (default 256).
	MaxSlots int

	// Stale is how long a slot's concurrency counts after its last heartbeat
	// (default 15 s). Clocks of frontends must agree within it.
	Stale time.Duration

	// MaxRun is how long after a function's latest start in another slot that
	// slot's running invocations of it count (default 16 min, the longest
	// timeout and a minute), so that a lost end is not counted for ever.
	MaxRun time.Duration

	// Retain is how long a function is remembered, with its Total, after its
	// last start (default 30 days).
	Retain time.Duration

	// Threshold is the relative growth that Changed finds worth telling
	// (default 0.1).
	Threshold float64
}

func (o Options) withDefaults() Options {
	if o.Slot == "" {
		o.Slot = "frontend.0"
	}
	if o.MaxFunctions <= 0 {
		o.MaxFunctions = 1_000_000
	}
	if o.MaxSlots <= 0 {
		o.MaxSlots = 256
	}
	if o.Stale <= 0 {
		o.Stale = 15 * time.Second
	}
	if o.MaxRun <= 0 {
		o.MaxRun = 16 * time.Minute
	}
	if o.Retain <= 0 {
		o.Retain = 30 * 24 * time.Hour
	}
	if o.Threshold <= 0 {
		o.Threshold = 0.1
	}
	return o
}

// History counts. Its methods are safe for concurrent use; Started, Finished
// and Usage take one shard's lock for well under a microsecond.
type History struct {
	opts   Options
	shards [shardCount]shard

	// mu guards the slots and makes merging, loading and compacting exclude
	// each other. It is taken before a shard's lock, and never by the calls
	// that a request makes.
	mu    sync.Mutex
	slots map[string]*slot
	gone  tombstones      // slots whose counts were taken over
	done  map[string]bool // taken over, and to be returned by Compact
}

// New returns an empty history.
func New(o Options) *History {
	h := &History{opts: o.withDefaults(), slots: make(map[string]*slot), done: make(map[string]bool)}
	limit := max(1, h.opts.MaxFunctions/shardCount)
	for i := range h.shards {
		h.shards[i].limit = limit
		h.shards[i].byID = make(map[thermocline.FunctionID]*entry)
	}
	return h
}

// Slot returns the name of this incarnation's slot.
func (h *History) Slot() string { return h.opts.Slot }

// Started counts the start of an invocation.
func (h *History) Started(id thermocline.FunctionID, now time.Time) {
	s := h.shard(id)
	s.mu.Lock()
	e := s.get(id)
	e.own.start(now.UnixNano())
	e.forgotten = false
	s.touch(e)
	s.mu.Unlock()
}

// Finished counts the end of an invocation that Started counted. duration is
// the time it ran; an invocation that was never run (refused, expired) should
// be reported with Cancelled instead. An end without a start is ignored.
func (h *History) Finished(id thermocline.FunctionID, duration time.Duration, now time.Time) {
	s := h.shard(id)
	s.mu.Lock()
	if e := s.byID[id]; e != nil && e.own.finished < e.own.started {
		e.own.finish(now.UnixNano(), duration)
		s.touch(e)
	}
	s.mu.Unlock()
}

// Cancelled ends an invocation that Started counted and that did not run: its
// start remains counted, no duration is.
func (h *History) Cancelled(id thermocline.FunctionID) {
	s := h.shard(id)
	s.mu.Lock()
	if e := s.byID[id]; e != nil && e.own.finished < e.own.started {
		e.own.finished++
		s.touch(e)
	}
	s.mu.Unlock()
}

// Usage returns what all slots together know of a function, decayed to now;
// the zero Usage when nothing is known.
func (h *History) Usage(id thermocline.FunctionID, now time.Time) thermocline.Usage {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil || e.forgotten {
		return thermocline.Usage{}
	}
	return h.usage(e, now.UnixNano())
}

// usage adds up an entry whose shard is locked.
func (h *History) usage(e *entry, now int64) thermocline.Usage {
	// A clock that went back must not let the counts grow again.
	now = max(now, e.last())
	t := total{counters: counters{epoch: epochOf(now)}}
	t.add(&e.own, true)
	for i := range e.peers {
		p := &e.peers[i]
		if p.slot.gone.Load() {
			continue
		}
		alive := p.slot.alive(now, h.opts.Stale) && now-p.last <= int64(h.opts.MaxRun)
		t.add(&p.counters, alive)
	}
	return t.usage(now)
}

// Each calls f for every function, in no order, until f returns false. f runs
// under a shard's lock: it must be short and must not call the history.
func (h *History) Each(now time.Time, f func(thermocline.FunctionID, thermocline.Usage) bool) {
	ns := now.UnixNano()
	for i := range h.shards {
		if !h.eachIn(&h.shards[i], ns, f) {
			return
		}
	}
}

func (h *History) eachIn(s *shard, now int64, f func(thermocline.FunctionID, thermocline.Usage) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.list {
		if !e.forgotten && !f(e.id, h.usage(e, now)) {
			return false
		}
	}
	return true
}

// Forget drops a function that was deleted. Every frontend forgets for itself:
// until all have, gossip may bring it back.
func (h *History) Forget(id thermocline.FunctionID) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return
	}
	if e.own.running() == 0 {
		s.remove(e)
		return
	}
	// The ends that are still to come must be counted and gossiped, or others
	// would see them running; Compact drops the entry after that.
	e.forgotten = true
	e.peers = nil
	e.own.minute, e.own.hour, e.own.ended, e.own.duration = 0, 0, 0, 0
}

// Mark makes Changed tell of a function at its next call, whatever its growth:
// for functions that crossed a threshold.
func (h *History) Mark(id thermocline.FunctionID) {
	s := h.shard(id)
	s.mu.Lock()
	if e := s.byID[id]; e != nil {
		e.marked = true
		s.touch(e)
	}
	s.mu.Unlock()
}

// Len returns the number of functions that are remembered.
func (h *History) Len() int {
	n := 0
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		n += len(s.list)
		s.mu.Unlock()
	}
	return n
}
