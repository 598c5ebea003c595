package history

import (
	"math"
	"sync"

	"thermocline"
)

const shardCount = 64

// probes is how many entries are looked at to find one to drop when a shard
// is full.
const probes = 16

// shard is a part of the functions with a lock of its own.
type shard struct {
	mu    sync.Mutex
	limit int
	byID  map[thermocline.FunctionID]*entry
	list  []*entry // all entries, in no order
	hand  int      // where the next search for something to drop begins

	gossip  []*entry // may be worth telling (see entry.inGossip)
	unsaved []*entry // changed since Unsaved (see entry.inUnsaved)

	_ [64]byte // keeps neighbours' locks off one cache line
}

// entry is one function.
type entry struct {
	id    thermocline.FunctionID
	own   counters
	peers []peer
	pos   int // in shard.list, -1 when removed

	told told // what the others were told last

	inGossip, inUnsaved bool
	marked              bool // tell at the next occasion
	forgotten           bool // deleted, waits for its last end
}

// peer is what another slot knows of the function.
type peer struct {
	slot *slot
	counters
}

// told is the state of a counter when it was gossiped last.
type told struct {
	epoch        int64
	minute, hour float64
	running      int64
}

// shard picks by name and account (FNV-1a): it is stable, so that the
// simulator repeats itself.
func (h *History) shard(id thermocline.FunctionID) *shard {
	x := uint64(14695981039346656037)
	for i := 0; i < len(id.Account); i++ {
		x = (x ^ uint64(id.Account[i])) * 1099511628211
	}
	for i := 0; i < len(id.Name); i++ {
		x = (x ^ uint64(id.Name[i])) * 1099511628211
	}
	x ^= x >> 32
	return &h.shards[x%shardCount]
}

// get returns the entry of a function, a new one if need be.
func (s *shard) get(id thermocline.FunctionID) *entry {
	if e := s.byID[id]; e != nil {
		return e
	}
	if len(s.list) >= s.limit {
		s.dropOldest()
	}
	e := &entry{id: id, pos: len(s.list), own: counters{epoch: math.MinInt32}}
	s.byID[id] = e
	s.list = append(s.list, e)
	return e
}

// dropOldest makes room for one more. Looking at a few entries from a moving
// hand is enough to find an old one, and costs the same in the worst case.
func (s *shard) dropOldest() {
	var victim *entry
	for range min(probes, len(s.list)) {
		s.hand++
		if s.hand >= len(s.list) {
			s.hand = 0
		}
		e := s.list[s.hand]
		if victim == nil || e.before(victim) {
			victim = e
		}
	}
	s.remove(victim)
}

// before tells which of two entries should be dropped first: one that is not
// running here, then the one unused for longer.
func (e *entry) before(o *entry) bool {
	if a, b := e.own.running() == 0, o.own.running() == 0; a != b {
		return a
	}
	return e.last() < o.last()
}

func (e *entry) last() int64 {
	last := e.own.last
	for i := range e.peers {
		last = max(last, e.peers[i].last)
	}
	return last
}

// remove takes an entry out; the lists of changed entries skip it later.
func (s *shard) remove(e *entry) {
	n := len(s.list) - 1
	moved := s.list[n]
	s.list[e.pos], moved.pos = moved, e.pos
	s.list[n] = nil
	s.list = s.list[:n]
	e.pos = -1
	delete(s.byID, e.id)
}

// touch notes that the entry's own counters changed.
func (s *shard) touch(e *entry) {
	if !e.inGossip {
		e.inGossip = true
		s.gossip = append(s.gossip, e)
	}
	if !e.inUnsaved {
		e.inUnsaved = true
		s.unsaved = append(s.unsaved, e)
	}
}

// peer returns the counters of a slot, new ones if need be.
func (e *entry) peer(of *slot) *counters {
	for i := range e.peers {
		if e.peers[i].slot == of {
			return &e.peers[i].counters
		}
	}
	e.peers = append(e.peers, peer{slot: of, counters: counters{epoch: math.MinInt32}})
	return &e.peers[len(e.peers)-1].counters
}

// worth reports whether the others should hear of the entry: it grew by more
// than the threshold in units of its epoch, or its running invocations changed
// by one and by the threshold.
func (e *entry) worth(threshold float64) bool {
	if e.marked {
		return true
	}
	minute, hour := rescale(max(0, e.own.epoch-e.told.epoch), e.told.minute, e.told.hour)
	grown := 1 + threshold
	if e.own.minute > grown*minute || e.own.hour > grown*hour {
		return true
	}
	d := e.own.running() - e.told.running
	return d != 0 && math.Abs(float64(d)) >= threshold*float64(e.told.running)
}

func (e *entry) tell() {
	e.marked = false
	e.told = told{epoch: e.own.epoch, minute: e.own.minute, hour: e.own.hour, running: e.own.running()}
}
