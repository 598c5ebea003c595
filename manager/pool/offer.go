package pool

import "time"

// Offer is the instance that could be given back with the least harm.
type Offer struct {
	Instance string
	MemoryMB int
	BusyMB   int     // promised to sandboxes that are busy or starting
	Value    float64 // what waits there: the sum of the Greedy-Dual priorities above the clock
	Used     time.Time
}

// Offer returns the instance that is best given back, false when there is none:
// one in which nothing runs before one with little that does, then the one
// whose waiting sandboxes are worth the least. It is O(n) in the sandboxes.
func (p *Pool) Offer() (Offer, bool) {
	if len(p.order) == 0 {
		return Offer{}, false
	}
	at := make(map[*place]*Offer, len(p.order))
	for _, b := range p.boxes {
		o := at[b.instance]
		if o == nil {
			o = &Offer{}
			at[b.instance] = o
		}
		if used := time.Unix(0, b.lastUsed); used.After(o.Used) {
			o.Used = used
		}
		if b.state == busy || b.state == starting {
			o.BusyMB += b.memory
		} else {
			o.Value += max(0, b.priority-p.clock)
		}
	}
	var best Offer
	for _, place := range p.order {
		if place.removing {
			continue
		}
		o := Offer{}
		if known := at[place]; known != nil {
			o = *known
		}
		o.Instance, o.MemoryMB = place.id, place.memory
		if best.Instance == "" || o.BusyMB < best.BusyMB || o.BusyMB == best.BusyMB && o.Value < best.Value {
			best = o
		}
	}
	return best, best.Instance != ""
}
