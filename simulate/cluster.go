package simulate

import "fmt"

// cluster is the machines of the baselines: a balancer picks one for each
// request, which runs there, or waits there, and a keeper says how long idle
// sandboxes stay.
type cluster struct {
	*run
	b balancer
	k keeper

	machines []machine
	alive    int
	sandboxes
	idleTop   []int32  // by function·machines + machine: the idle sandbox used last
	idleCount []uint16 // the same way: how many there are
	view      view
	running   int // everywhere, with those that wait
	dropped   int64
	ends      int64
	idleMost  int // the most idle sandboxes at a time
	idleNow   int
}

// machine is one instance.
type machine struct {
	used   int32 // MB, of all sandboxes
	busy   int32 // MB, of those that run something
	slots  int32 // invocations that run or start
	queued int32
	first  int32 // of the queue
	last   int32
	dead   bool
	oldest int32   // idle sandbox, and so on by sandbox.later
	newest int32   //
	idleMB int32   //
	clock  float64 // Greedy-Dual's
}

// balancer picks the machine for a request.
type balancer interface {
	setup(c *cluster)
	// pick returns a machine that is alive.
	pick(req *request) int32
	// state is the bytes that the balancer must know, and the messages that
	// keep it.
	state() (bytes int64, messages float64)
}

// keeper decides how long a sandbox that has become idle stays.
type keeper interface {
	setup(c *cluster)
	// arrived notes a request of a function.
	arrived(function int32)
	// left notes that a request has ended, or has lost its machine.
	left(function int32)
	// wait is called when a sandbox is idle from now on; it sets expires and
	// priority, or lets it go.
	wait(sandbox int32)
	// victim returns the idle sandbox of a machine that goes first.
	victim(m *machine) int32
	event(e event)
}

func (c *cluster) setup(r *run) {
	c.run = r
	n, f := r.o.Instances, len(r.trace.Functions)
	c.machines = make([]machine, n)
	for i := range c.machines {
		c.machines[i] = machine{first: none, last: none, oldest: none, newest: none}
	}
	c.alive = n
	c.idleTop, c.idleCount = make([]int32, n*f), make([]uint16, n*f)
	for i := range c.idleTop {
		c.idleTop[i] = none
	}
	c.boxesOf = make([]int32, f)
	c.view.setup(c)
	c.b.setup(c)
	c.k.setup(c)
	r.hold(n)
}

// load is the requests of a machine, running and waiting.
func (m *machine) load() int32 { return m.slots + m.queued }

func (c *cluster) arrive(i int32) {
	req := &c.requests[i]
	if c.alive == 0 || int(c.memory[req.function]) > c.o.MemoryMB {
		c.fail(i)
		return
	}
	c.k.arrived(req.function)
	at := c.b.pick(req)
	c.view.sent(req.frontend, at)
	c.running++
	req.machine = at
	m := &c.machines[at]
	if m.first != none || !c.start(i, at) {
		c.enqueue(i, m)
	}
}

func (c *cluster) enqueue(i int32, m *machine) {
	c.requests[i].next = none
	if m.last == none {
		m.first = i
	} else {
		c.requests[m.last].next = i
	}
	m.last = i
	m.queued++
}

// start runs a request on a machine if there is a slot and, unless a sandbox of
// the function waits there, room.
func (c *cluster) start(i, at int32) bool {
	m := &c.machines[at]
	if int(m.slots) >= c.o.Slots {
		return false
	}
	req := &c.requests[i]
	mb := c.memory[req.function]
	if b := c.idleTop[c.slot(req.function, at)]; b != none {
		c.unwait(b)
		c.boxes[b].state = boxBusy
		req.sandbox = b
		c.boxes[b].request = i
		m.slots++
		m.busy += mb
		c.begin(i, warm, 0)
		return true
	}
	if !c.makeRoom(at, mb) {
		return false
	}
	b := c.create(req.function, at, boxBusy)
	req.sandbox = b
	c.boxes[b].request = i
	m.slots++
	m.busy += mb
	c.begin(i, full, c.coldStart())
	return true
}

// makeRoom evicts idle sandboxes of a machine until there is room for mb more.
func (c *cluster) makeRoom(at, mb int32) bool {
	m := &c.machines[at]
	if int(m.used-m.idleMB+mb) > c.o.MemoryMB {
		return false
	}
	for int(m.used+mb) > c.o.MemoryMB {
		c.remove(c.k.victim(m))
	}
	return true
}

func (c *cluster) ended(i int32) {
	req := &c.requests[i]
	b, at := req.sandbox, req.machine
	m := &c.machines[at]
	m.slots--
	m.busy -= c.memory[req.function]
	c.running--
	c.ends++
	c.k.left(req.function)
	c.wait(b)
	c.k.wait(b)
	c.serve(at)
}

// lookahead is how many of those that wait are looked at for one that can start
// when the first cannot: for want of memory only, so it is rare.
const lookahead = 16

// serve starts what waits at a machine, in order.
func (c *cluster) serve(at int32) {
	m := &c.machines[at]
	before := int32(none)
	tried := 0
	for i := m.first; i != none && int(m.slots) < c.o.Slots && tried < lookahead; {
		next := c.requests[i].next
		if !c.start(i, at) {
			before, i = i, next
			tried++
			continue
		}
		if before == none {
			m.first = next
		} else {
			c.requests[before].next = next
		}
		if m.last == i {
			m.last = before
		}
		m.queued--
		i = next
	}
}

func (c *cluster) event(e event) {
	switch e.kind {
	case evTimer:
		c.timer(e.arg)
	default:
		c.k.event(e)
	}
}

// lose kills a machine, any of those alive.
func (c *cluster) lose() {
	if c.alive == 0 {
		return
	}
	nth := c.decide.below(c.alive)
	at := int32(0)
	for ; c.machines[at].dead || nth > 0; at++ {
		if !c.machines[at].dead {
			nth--
		}
	}
	m := &c.machines[at]
	m.dead = true
	c.alive--
	c.hold(-1)
	c.warmAt = c.idleNow
	var back []int32
	for b := range c.boxes {
		box := &c.boxes[b]
		if box.machine != at || box.state == boxNone {
			continue
		}
		switch box.state {
		case boxIdle:
			c.warmOff++
		case boxBusy:
			back = append(back, box.request)
			c.running--
		}
		c.remove(int32(b))
	}
	var waiting []int32
	for i := m.first; i != none; i = c.requests[i].next {
		waiting = append(waiting, i)
		c.running--
	}
	m.first, m.last, m.queued, m.slots, m.busy = none, none, 0, 0, 0
	c.b.setup(c)
	for _, i := range append(back, waiting...) {
		c.k.left(c.requests[i].function)
	}
	for _, i := range back {
		c.again(i)
	}
	for _, i := range waiting {
		c.arrive(i)
	}
}

func (c *cluster) check() {
	for i := range c.machines {
		m := &c.machines[i]
		var used, idle, slots int32
		for b := range c.boxes {
			if box := &c.boxes[b]; box.state != boxNone && box.machine == int32(i) {
				used += c.memory[box.function]
				switch box.state {
				case boxIdle:
					idle += c.memory[box.function]
				case boxBusy:
					slots++
				}
			}
		}
		if used != m.used || idle != m.idleMB || slots != m.slots || int(used) > c.o.MemoryMB || int(slots) > c.o.Slots || m.dead && used > 0 {
			panic(fmt.Sprintf("machine %d: %d MB used (counted %d), %d idle (%d), %d slots (%d)", i, m.used, used, m.idleMB, idle, m.slots, slots))
		}
	}
}

func (c *cluster) report(res *Result) {
	res.StateBytes, res.MessagesPerRequest = c.b.state()
}
