package history

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// slot is an incarnation of a frontend, other than this one.
type slot struct {
	name  string
	heard atomic.Int64 // the time of its latest gossip, Unix ns; 0: none
	gone  atomic.Bool  // its counts were taken over by another slot
}

func (s *slot) alive(now int64, stale time.Duration) bool {
	at := s.heard.Load()
	return at != 0 && now-at <= int64(stale)
}

// SlotInfo describes a slot.
type SlotInfo struct {
	Name  string
	Own   bool
	Heard time.Time // its latest gossip; zero when it was only loaded
	Alive bool      // its concurrency counts
}

// Slots returns all slots that are counted, by name.
func (h *History) Slots(now time.Time) []SlotInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	infos := []SlotInfo{{Name: h.opts.Slot, Own: true, Heard: now, Alive: true}}
	for name, s := range h.slots {
		info := SlotInfo{Name: name, Alive: s.alive(now.UnixNano(), h.opts.Stale)}
		if at := s.heard.Load(); at != 0 {
			info.Heard = time.Unix(0, at)
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b SlotInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos
}

// frontendOf returns the part of a slot's name that all incarnations share.
func frontendOf(slot string) string {
	if i := strings.LastIndexByte(slot, '.'); i >= 0 {
		return slot[:i]
	}
	return slot
}

// predecessor reports whether a slot is an earlier incarnation of this one's
// frontend.
func (h *History) predecessor(name string) bool {
	return name != h.opts.Slot && frontendOf(name) == frontendOf(h.opts.Slot)
}

// maxTombstones bounds the names of slots that were taken over; a name is
// needed only until nobody sends or stores that slot any more.
const maxTombstones = 1024

// tombstones remembers names, the oldest first.
type tombstones struct {
	names []string
	has   map[string]bool
}

func (t *tombstones) add(name string) {
	if t.has[name] {
		return
	}
	if t.has == nil {
		t.has = make(map[string]bool)
	}
	if len(t.names) == maxTombstones {
		delete(t.has, t.names[0])
		t.names = slices.Delete(t.names, 0, 1)
	}
	t.has[name] = true
	t.names = append(t.names, name)
}

// bury marks a slot as taken over. h.mu is held.
func (h *History) bury(name string) {
	h.gone.add(name)
	if h.predecessor(name) {
		h.done[name] = true
	}
	if s := h.slots[name]; s != nil {
		s.gone.Store(true)
		delete(h.slots, name)
	}
}
