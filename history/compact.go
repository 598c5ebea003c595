package history

import (
	"maps"
	"slices"
	"time"
)

// Compact drops what is not worth remembering and takes over the slots of this
// frontend's earlier incarnations: their counts become the own slot's, and
// Snapshot says so to everybody. It returns the names of slots that were taken
// over and may still be stored: save and publish Snapshot, then delete them. Call it after loading at the start, and about once a minute.
//
// Dropped are functions unused for Options.Retain, and slots that were taken
// over or in which nothing is left.
func (h *History) Compact(now time.Time) (absorbed []string) {
	h.mu.Lock()
	defer h.mu.Unlock()

	takeover := make(map[*slot]bool)
	for name, s := range h.slots {
		// One that is alive is somebody else who was given the same name.
		if h.predecessor(name) && !s.alive(now.UnixNano(), h.opts.Stale) {
			takeover[s] = true
		}
	}
	used := make(map[*slot]bool)
	for i := range h.shards {
		h.compactShard(&h.shards[i], now.UnixNano(), takeover, used)
	}
	for s := range takeover {
		h.bury(s.name)
	}
	for name, s := range h.slots {
		if !used[s] && !s.alive(now.UnixNano(), h.opts.Stale) {
			delete(h.slots, name)
		}
	}
	absorbed = slices.Sorted(maps.Keys(h.done))
	clear(h.done)
	return absorbed
}

func (h *History) compactShard(s *shard, now int64, takeover, used map[*slot]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.list) - 1; i >= 0; i-- {
		e := s.list[i]
		e.peers = slices.DeleteFunc(e.peers, func(p peer) bool {
			if takeover[p.slot] && !p.slot.gone.Load() {
				e.own.absorb(p.counters)
				e.marked = true
				s.touch(e)
				return true
			}
			return p.slot.gone.Load()
		})
		if e.own.running() == 0 && (e.forgotten || now-e.last() > int64(h.opts.Retain)) {
			s.remove(e) // the last takes its place, and was seen already
			continue
		}
		for j := range e.peers {
			used[e.peers[j].slot] = true
		}
	}
}
