package simulate

// view is what frontends know of the machines: everything at once, or, when
// the state's delay applies to the baselines, what was there at the last of
// moments a delay apart, and what they did themselves since then.
type view struct {
	c     *cluster
	stale bool
	next  int64 // when the next copy is taken
	loads []int32
	idles []uint16
	own   []int32  // by frontend and machine, since the copy
	taken []uint16 // idle ones, by frontend and place of idles
	marks []int32  // what of taken is not zero
}

func (v *view) setup(c *cluster) {
	v.c = c
	if v.stale = c.o.StaleBaselines && c.o.StateDelay > 0; !v.stale {
		return
	}
	v.loads, v.idles = make([]int32, len(c.machines)), make([]uint16, len(c.idleCount))
	v.own = make([]int32, c.o.Frontends*len(c.machines))
	v.taken = make([]uint16, c.o.Frontends*len(c.idleCount))
}

// fresh takes a copy when it is time.
func (v *view) fresh() {
	if v.c.now < v.next {
		return
	}
	delay := int64(v.c.o.StateDelay)
	v.next = v.c.now - v.c.now%delay + delay
	for i := range v.c.machines {
		v.loads[i] = v.c.machines[i].load()
	}
	copy(v.idles, v.c.idleCount)
	clear(v.own)
	for _, i := range v.marks {
		v.taken[i] = 0
	}
	v.marks = v.marks[:0]
}

// load is the requests of a machine, as a frontend sees it.
func (v *view) load(frontend uint16, at int32) int32 {
	if !v.stale {
		return v.c.machines[at].load()
	}
	v.fresh()
	return v.loads[at] + v.own[int(frontend)*len(v.loads)+int(at)]
}

// idle reports whether a function's sandbox waits at a machine, as a frontend
// sees it.
func (v *view) idle(frontend uint16, function, at int32) bool {
	place := v.c.slot(function, at)
	if !v.stale {
		return v.c.idleCount[place] > 0
	}
	v.fresh()
	return v.idles[place] > v.taken[int(frontend)*len(v.idles)+place]
}

// sent notes what a frontend did.
func (v *view) sent(frontend uint16, at int32) {
	if v.stale {
		v.fresh()
		v.own[int(frontend)*len(v.loads)+int(at)]++
	}
}

// took notes that a frontend counts on an idle sandbox.
func (v *view) took(frontend uint16, function, at int32) {
	if v.stale {
		i := int(frontend)*len(v.idles) + v.c.slot(function, at)
		v.taken[i]++
		v.marks = append(v.marks, int32(i))
	}
}

// messages is how many a request costs when every frontend is to know the
// load: its start and its end are told to the others, or, when the view is
// stale, each machine tells each frontend once in a delay.
func (v *view) messages() float64 {
	c := v.c
	if !v.stale {
		return 2 * float64(c.o.Frontends-1)
	}
	return float64(len(c.machines)) * float64(c.o.Frontends) * float64(c.end) / float64(c.o.StateDelay) / float64(max(1, c.arrivals))
}
