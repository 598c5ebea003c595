package fleet

import (
	"math"
	"slices"

	"thermocline"
)

const (
	// beta is the headroom of square-root staffing, c = ρ + β√ρ.
	beta = 2
	// cold is ε, the share of cold starts up to which a function may be spread.
	cold = 0.01
	// sureCount is how many calls the fast window needs to be believed.
	sureCount = 10
	// most bounds what is computed of a usage.
	most = 1 << 20
)

// candidate is a manager that may be chosen.
type candidate struct {
	weight uint64 // rendezvous
	index  int    // in the managers
}

// Choose appends to buf the managers of a fleet to ask, the first choice
// first, at most c.Alternatives of them. None are returned when the fleet has
// no manager that is not draining. rnd is a random number; it matters in
// direct fleets only.
//
// All choices follow the function's rendezvous order (Thaler, Ravishankar
// 1998): when a manager goes only its own functions move.
//
// In a queue fleet the home is the first in that order whose load is bounded
// (consistent hashing with bounded loads, Mirrokni et al. 2018): no more than
// c.Bound times the mean of outstanding invocations per manager, or than the
// share c.Pack of its slots. Dispatch sends to the lessee of the function's
// partition first; these are then the second choices.
//
// In a direct fleet the function is spread over the first k in its order
// (Breadth), and the better of two random ones of them comes first (power of
// two choices, on outstanding invocations per slot). Managers without a free
// slot come last in either.
func Choose(buf []string, c *FleetConfig, id thermocline.FunctionID, u thermocline.Usage, managers []thermocline.ManagerInfo, rnd uint64) []string {
	var space [64]candidate
	list := candidates(space[:0], c, id, managers)
	if len(list) == 0 {
		return buf
	}
	if c.Dispatch == DispatchQueue {
		return chooseBounded(buf, c, list, managers)
	}
	return chooseSpread(buf, c, &u, list, managers, rnd)
}

// candidates returns the managers that may be chosen, in rendezvous order.
func candidates(list []candidate, c *FleetConfig, id thermocline.FunctionID, managers []thermocline.ManagerInfo) []candidate {
	h := hashFunction(id)
	for i := range managers {
		m := &managers[i]
		if m.Fleet != c.Name || m.Draining {
			continue
		}
		list = append(list, candidate{mix(hashString(h, m.ID)), i})
	}
	slices.SortFunc(list, func(a, b candidate) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return a.index - b.index
	})
	return list
}

// chooseBounded takes, in order, those whose load is bounded, then the others
// that have room, then the full.
func chooseBounded(buf []string, c *FleetConfig, list []candidate, managers []thermocline.ManagerInfo) []string {
	total, slots := 1, 0 // with the invocation that is to be placed
	for _, k := range list {
		total += managers[k.index].Outstanding
		slots += max(0, managers[k.index].Slots)
	}
	rank := func(m *thermocline.ManagerInfo) int {
		if full(m) {
			return 2
		}
		share := float64(total) / float64(len(list))
		if slots > 0 {
			share = float64(total) * float64(m.Slots) / float64(slots)
		}
		bound := max(math.Ceil(c.Bound*share), c.Pack*float64(m.Slots))
		if float64(m.Outstanding+1) <= bound {
			return 0
		}
		return 1
	}
	left := c.Alternatives
	for want := range 3 {
		for _, k := range list {
			if left > 0 && rank(&managers[k.index]) == want {
				buf = append(buf, managers[k.index].ID)
				left--
			}
		}
	}
	return buf
}

// chooseSpread takes the better of two of the first k, then the rest in order;
// the full come last.
func chooseSpread(buf []string, c *FleetConfig, u *thermocline.Usage, list []candidate, managers []thermocline.ManagerInfo, rnd uint64) []string {
	slots := 0
	for _, k := range list {
		slots += max(1, managers[k.index].Slots)
	}
	k := min(Breadth(c, u, float64(slots)/float64(len(list))), len(list))

	first := int(uint32(rnd) % uint32(k))
	if k > 1 {
		second := int(uint32(rnd>>32) % uint32(k-1))
		if second >= first {
			second++
		}
		if load(&managers[list[second].index]) < load(&managers[list[first].index]) {
			first, second = second, first
		}
		toFront(list, second)
		if first < second {
			first++ // second has passed it
		}
	}
	toFront(list, first)

	left := c.Alternatives
	for _, want := range [2]bool{false, true} {
		for _, k := range list {
			if m := &managers[k.index]; left > 0 && full(m) == want {
				buf = append(buf, m.ID)
				left--
			}
		}
	}
	return buf
}

// overflow is how many managers of other fleets are asked, and spare the share of
// its slots that a manager keeps for its own fleet.
const (
	overflow = 2
	spare    = 0.25
)

// Overflow appends to buf the managers of other fleets that have the most room,
// to be asked when all of the function's own fleet refuse: at most two, and none
// that has less than a quarter of its slots free. They take guests only into
// room that nobody uses (manager/pool), so that a burst in one fleet finds what
// is idle in the others and cannot push anything out there.
func Overflow(buf []string, c *FleetConfig, managers []thermocline.ManagerInfo) []string {
	var best [overflow]*thermocline.ManagerInfo
	for i := range managers {
		m := &managers[i]
		if m.Fleet == c.Name || m.Draining || float64(m.Slots-m.Outstanding) < spare*float64(m.Slots) || full(m) {
			continue
		}
		for k := range best {
			if best[k] == nil || m.Slots-m.Outstanding > best[k].Slots-best[k].Outstanding {
				m, best[k] = best[k], m
				if m == nil {
					break
				}
			}
		}
	}
	for _, m := range best {
		if m != nil {
			buf = append(buf, m.ID)
		}
	}
	return buf
}

// toFront moves list[i] to the front and keeps the order of the others.
func toFront(list []candidate, i int) {
	c := list[i]
	copy(list[1:i+1], list[:i])
	list[0] = c
}

// Breadth returns over how many managers with so many slots each a function is
// spread: k = max(c.Spread within locality, k_cap), where
// k_cap = ⌈(ρ + 2√ρ) / slots⌉ is what its load needs, and
// k_loc = ⌊λT / ln(1/ε)⌋ how far its calls keep a sandbox warm in each place
// (cold ≈ e^(−λT/k) at keep-alive T under Poisson arrivals).
func Breadth(c *FleetConfig, u *thermocline.Usage, slots float64) int {
	rate := u.RateHour
	if u.CountMinute >= sureCount {
		rate = max(rate, u.RateMinute)
	}
	capacity := int(math.Ceil(staffed(u) / max(1, slots)))
	locality := int(min(most, rate*c.KeepAlive.Seconds()/math.Log(1/cold)))
	return max(1, capacity, min(c.Spread, locality))
}

// staffed is ρ + 2√ρ, of the load as far as it is sure.
func staffed(u *thermocline.Usage) float64 {
	rho := max(u.Concurrency, u.RateHour*u.MeanDuration.Seconds())
	if u.CountMinute >= sureCount {
		rho = max(rho, u.Offered)
	}
	return min(most, rho+beta*math.Sqrt(rho))
}

func full(m *thermocline.ManagerInfo) bool { return m.Slots <= m.Outstanding }

func load(m *thermocline.ManagerInfo) float64 {
	return float64(m.Outstanding+1) / float64(max(1, m.Slots))
}
