package simulate

// boxState is what a sandbox of the baselines does.
type boxState uint8

const (
	boxNone  boxState = iota // there is none at this place
	boxBusy                  // starts or runs for a request
	boxIdle                  // waits
	boxAhead                 // starts, for nobody yet
)

// sandbox is one sandbox of the baselines.
type sandbox struct {
	expires  int64
	priority float64 // Greedy-Dual
	function int32
	machine  int32
	request  int32
	state    boxState
	gen      uint16 // of its place
	looked   int64  // when an event of its place looks at it, 0 for never

	earlier, later int32 // among the idle of its machine
	below, above   int32 // among the idle of its function there; above is newer
}

// sandboxes are all sandboxes; places are used again.
type sandboxes struct {
	boxes   []sandbox
	empty   []int32
	boxesOf []int32 // by function, in whatever state
}

func (c *cluster) slot(function, machine int32) int {
	return int(function)*len(c.machines) + int(machine)
}

// create puts a sandbox on a machine, whose memory must be there.
func (c *cluster) create(function, at int32, state boxState) int32 {
	var b int32
	if n := len(c.empty); n > 0 {
		b = c.empty[n-1]
		c.empty = c.empty[:n-1]
	} else {
		b = int32(len(c.boxes))
		c.boxes = append(c.boxes, sandbox{})
	}
	box := &c.boxes[b]
	*box = sandbox{function: function, machine: at, request: none, state: state, looked: box.looked, gen: box.gen + 1}
	c.machines[at].used += c.memory[function]
	c.boxesOf[function]++
	c.startedOne()
	return b
}

// wait makes a sandbox idle.
func (c *cluster) wait(b int32) {
	box := &c.boxes[b]
	box.state, box.request = boxIdle, none
	mb := c.memory[box.function]
	m := &c.machines[box.machine]
	m.idleMB += mb
	box.earlier, box.later = m.newest, none
	if m.newest == none {
		m.oldest = b
	} else {
		c.boxes[m.newest].later = b
	}
	m.newest = b
	s := c.slot(box.function, box.machine)
	box.below, box.above = c.idleTop[s], none
	if box.below != none {
		c.boxes[box.below].above = b
	}
	c.idleTop[s] = b
	c.idleCount[s]++
	c.idleNow++
	c.idleMost = max(c.idleMost, c.idleNow)
	c.idle(mb)
}

// unwait takes an idle sandbox from those that wait.
func (c *cluster) unwait(b int32) {
	box := &c.boxes[b]
	mb := c.memory[box.function]
	m := &c.machines[box.machine]
	m.idleMB -= mb
	if box.earlier == none {
		m.oldest = box.later
	} else {
		c.boxes[box.earlier].later = box.later
	}
	if box.later == none {
		m.newest = box.earlier
	} else {
		c.boxes[box.later].earlier = box.earlier
	}
	s := c.slot(box.function, box.machine)
	if box.below != none {
		c.boxes[box.below].above = box.above
	}
	if box.above != none {
		c.boxes[box.above].below = box.below
	} else {
		c.idleTop[s] = box.below
	}
	c.idleCount[s]--
	c.idleNow--
	c.idle(-mb)
}

// remove ends a sandbox in whatever state.
func (c *cluster) remove(b int32) {
	box := &c.boxes[b]
	switch box.state {
	case boxIdle:
		c.unwait(b)
		c.dropped++
	case boxAhead:
		c.idle(-c.memory[box.function])
	}
	c.machines[box.machine].used -= c.memory[box.function]
	c.boxesOf[box.function]--
	box.state = boxNone
	c.empty = append(c.empty, b)
}

// until keeps an idle sandbox to a time. One event is under way for a place: it
// looks again at what has become of the sandbox.
func (c *cluster) until(b int32, at int64) {
	box := &c.boxes[b]
	box.expires = at
	if box.looked == 0 || at < box.looked {
		c.look(b, at)
	}
}

func (c *cluster) look(b int32, at int64) {
	c.boxes[b].looked = at
	c.events.push(event{at: at, kind: evTimer, arg: b})
}

func (c *cluster) timer(b int32) {
	box := &c.boxes[b]
	if box.looked != c.now {
		return // an earlier look has taken this one's place
	}
	box.looked = 0
	switch {
	case box.state != boxIdle:
	case box.expires <= c.now:
		c.remove(b)
	default:
		c.look(b, box.expires)
	}
}
