package history

import (
	"strings"
	"time"

	"thermocline"
)

// skew is how far another frontend's clock may be ahead.
const skew = 5 * time.Minute

// Merge takes in what another frontend gossips: its Changed, its Unsaved or its
// Snapshot. Repeating, losing and reordering does no harm. The own slot's and
// a taken-over slot's bytes are ignored.
//
// Errors are of KindValidation and leave the history as it was: bytes that are
// no snapshot, damaged, out of bounds, or more than five minutes in the
// future; one slot more than Options.MaxSlots.
func (h *History) Merge(snapshot []byte, now time.Time) error {
	return h.merge(snapshot, now, true)
}

// Load is Merge for stored snapshots, whose writer may be dead: it counts
// everything but the concurrency, until Merge hears of the slot.
func (h *History) Load(snapshot []byte, now time.Time) error {
	return h.merge(snapshot, now, false)
}

func (h *History) merge(snapshot []byte, now time.Time, alive bool) error {
	head, err := readHeader(snapshot)
	if err != nil {
		return err
	}
	if head.at > now.Add(skew).UnixNano() {
		return invalid("it is from the future")
	}
	if head.slot == h.opts.Slot {
		return nil
	}
	// All of it is checked before any of it counts.
	if err := head.each(func(thermocline.FunctionID, counters) {}); err != nil {
		return err
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone.has[head.slot] {
		if !alive && h.predecessor(head.slot) {
			h.done[head.slot] = true // still stored
		}
		return nil
	}
	s, err := h.slot(head.slot)
	if err != nil {
		return err
	}
	if err := head.each(func(id thermocline.FunctionID, c counters) { h.mergeEntry(s, id, c) }); err != nil {
		return err
	}
	for _, name := range head.past {
		if frontendOf(name) == frontendOf(head.slot) && name != h.opts.Slot {
			h.bury(name)
		}
	}
	if alive && head.at > s.heard.Load() {
		s.heard.Store(head.at)
	}
	return nil
}

// slot returns a slot by its name, a new one if there is room. h.mu is held.
func (h *History) slot(name string) (*slot, error) {
	if s := h.slots[name]; s != nil {
		return s, nil
	}
	if len(h.slots) >= h.opts.MaxSlots {
		return nil, invalid("there are more slots than the history's limit")
	}
	s := &slot{name: name}
	h.slots[name] = s
	return s, nil
}

func (h *History) mergeEntry(from *slot, id thermocline.FunctionID, c counters) {
	s := h.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		// The strings are parts of the whole snapshot; keep only what is needed.
		e = s.get(thermocline.FunctionID{
			Account: strings.Clone(id.Account),
			Name:    strings.Clone(id.Name),
			Version: strings.Clone(id.Version),
		})
	}
	if !e.forgotten {
		e.peer(from).merge(c)
	}
}
