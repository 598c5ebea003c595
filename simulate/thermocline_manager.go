package simulate

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"thermocline"
	"thermocline/manager/pool"
)

// manager is one instance manager: the pool decides, this carries it out on
// virtual time, as package manager does live.
type manager struct {
	index       int
	fleet       int
	info        thermocline.ManagerInfo // what does not change of it
	pool        *pool.Pool
	instances   []int32 // held, by number
	usedMB      int     // promised to sandboxes
	sandboxes   int
	busy        int // of these, start or run for a request
	waitMB      int // promised to those that wait
	outstanding int
	parked      map[int32]*parking // by instance
	next        int64              // when the pool is to be asked for what is over, 0: not

	giving map[string]bool // instances that go when nothing runs there any more
	asked  int64           // when nobody could spare anything
	leaner int64           // when it last asked for memory without need

	ahead   []pool.Need // to be prepared
	working bool        // in the background: one sandbox at a time
}

// heldBox is one sandbox. Places are used again, with the same name.
type heldBox struct {
	manager  int32
	instance int32
	mb       int32
	request  int32
	gen      uint16 // of the place
	waits    bool   // its memory counts as idle
	live     bool
	ahead    bool // made ready in the background
	cost     int64
}

// hire makes the managers of every fleet.
func (n *node) hire() {
	// Each manager has to find an instance of its own.
	each := max(1, min(n.o.Managers, n.o.Instances/len(n.fleets)))
	n.byName = map[string]*manager{}
	for index := range n.fleets {
		f := &n.fleets[index]
		n.waiting = append(n.waiting, waitQueue{none, none})
		for k := range each {
			m := &manager{
				index: len(n.managers), fleet: index,
				info: thermocline.ManagerInfo{ID: fmt.Sprintf("node-%s-%d", f.Name, k+1), Fleet: f.Name, Node: "node"},
				pool: pool.New(pool.Config{KeepAlive: f.KeepAlive, Slots: n.o.Slots}), giving: map[string]bool{}, parked: map[int32]*parking{},
			}
			n.managers = append(n.managers, m)
			n.byName[m.info.ID] = m
		}
	}
	n.stock.fill(n.o, len(n.managers), n.clock())
	for _, f := range n.frontends {
		for _, m := range n.managers {
			f.infos = append(f.infos, n.infoOf(m))
		}
	}
}

// smallestMB is the memory that a sandbox is thought to take at least.
const smallestMB = 128

// infoOf is what a manager says of itself, as Manager.Info has it live: what
// it runs, and what free memory would hold of sandboxes like those it has, as
// far as there are slots.
func (n *node) infoOf(m *manager) thermocline.ManagerInfo {
	more := n.stock.available(m, n.clock())
	memory := (len(m.instances)+more)*n.o.MemoryMB - m.usedMB + m.waitMB
	each := smallestMB
	if m.sandboxes > 0 {
		each = max(each, m.usedMB/m.sandboxes)
	}
	info := m.info
	info.Outstanding = m.outstanding
	info.Slots = min(m.busy+memory/each, (len(m.instances)+more)*n.o.Slots)
	return info
}

// take asks a manager to run a request, and reports whether it does.
func (n *node) take(m *manager, i int32, fleet int) bool {
	req := &n.requests[i]
	d, need := n.acquire(m, req.function, fleet)
	var b int32
	k := warm
	switch d.Action {
	case pool.Warm:
		b = n.boxOf(d.Sandbox)
		n.setWaits(b, false)
		n.boxes[b].cost = 0
	case pool.Specialise:
		k, b = pooled, n.boxOf(d.Sandbox)
		n.setWaits(b, false)
		n.resize(b, int32(need.MemoryMB))
		n.boxes[b].cost = n.pooledStart()
	case pool.Start:
		k, b = full, n.create(m, d.Instance, need)
		n.boxes[b].cost = n.coldStart()
	case pool.Wait:
		m.park(n.requests, d.Instance, i)
		return true
	default:
		return false
	}
	box := &n.boxes[b]
	box.request, req.sandbox = i, b
	m.busy++
	m.outstanding++
	if k != warm { // up before its invocation ends, however short that is
		n.events.push(event{at: n.now + box.cost, kind: evReady, arg: b, gen: box.gen})
	}
	n.begin(i, k, box.cost)
	if k != warm {
		n.scale(m)
		n.background(m)
	}
	n.schedule(m)
	return true
}

// acquire asks the pool, and has the manager take another instance where that
// helps: as long as one can be had nothing is evicted. Where there is no room
// other managers are asked to give some back.
func (n *node) acquire(m *manager, function int32, fleet int) (pool.Decision, pool.Need) {
	need := n.needs[function]
	if need.Guest = fleet != m.fleet; need.Guest {
		d := m.pool.Acquire(need, n.clock())
		n.evicted(d.Evict)
		return d, need
	}
	d := n.tryAcquire(m, &need)
	if d.Action == pool.Wait && m.parkedAt(d.Instance).n >= parkedMost {
		need.NoWait = true
		d = n.tryAcquire(m, &need)
	}
	if d.Action != pool.Refuse {
		if len(d.Evict) > 0 {
			n.ask(m, false) // the next one need not cost a warm sandbox
		}
		return d, need
	}
	if n.ask(m, true) {
		d = n.tryAcquire(m, &need)
	}
	return d, need
}

func (n *node) tryAcquire(m *manager, need *pool.Need) pool.Decision {
	for {
		need.NoEvict = n.stock.available(m, n.clock()) > 0
		d := m.pool.Acquire(*need, n.clock())
		n.evicted(d.Evict)
		if d.Action != pool.Refuse || !need.NoEvict {
			return d
		}
		n.grow(m)
	}
}

// grow gives a manager another instance; there must be one for it.
func (n *node) grow(m *manager) {
	at := n.stock.take(m, n.clock())
	m.instances = append(m.instances, at)
	m.pool.AddInstance(instanceName(at), n.o.MemoryMB, n.clock())
	n.hold(1)
}

func instanceName(at int32) string { return strconv.Itoa(int(at)) }

// finish gives a sandbox back after its invocation.
func (n *node) finish(m *manager, b int32) {
	box := &n.boxes[b]
	m.busy--
	m.outstanding--
	box.request = none
	if m.pool.Release(n.names[b], 0, n.clock()) {
		n.setWaits(b, true)
	} else {
		n.forget(b)
	}
	n.unpark(m, box.instance)
	n.left(m, box.instance)
	n.schedule(m)
}

// parkedMost is how many requests may wait for a slot of an instance.
const parkedMost = 2

// parking is the requests that wait for a slot of an instance.
type parking struct {
	waitQueue
	n int
}

func (m *manager) parkedAt(instance string) *parking {
	at, _ := strconv.Atoi(instance) // instanceName made it
	q := m.parked[int32(at)]
	if q == nil {
		q = &parking{waitQueue: waitQueue{none, none}}
		m.parked[int32(at)] = q
	}
	return q
}

// park has a request wait for a slot of an instance, in which a sandbox of its
// function waits.
func (m *manager) park(requests []request, instance string, i int32) {
	q := m.parkedAt(instance)
	q.push(requests, i)
	q.n++
	m.outstanding++
}

func (m *manager) unparkOne(requests []request, q *parking) int32 {
	i := q.first
	q.pop(requests)
	q.n--
	m.outstanding--
	return i
}

// unpark gives the slots that have come free to who waits for them there.
func (n *node) unpark(m *manager, at int32) {
	q := m.parked[at]
	for q != nil && q.n > 0 {
		before := q.n
		n.rerouted(m, m.unparkOne(n.requests, q))
		if q.n >= before { // it waits again
			return
		}
	}
}

// rerouted gives a request that was parked to its manager, or, if that has no
// room any more, to who has.
func (n *node) rerouted(m *manager, i int32) {
	if !n.take(m, i, m.fleet) && !n.route(i, m.fleet, n.frontend(&n.requests[i]).history.Usage(n.ids[n.requests[i].function], n.clock())) {
		n.waiting[m.fleet].push(n.requests, i)
	}
}

// ready notes that a sandbox is up: one that was made ready in the background
// waits from now on.
func (n *node) ready(e event) {
	box := &n.boxes[e.arg]
	if !box.live || box.gen != e.gen {
		return
	}
	m := n.managers[box.manager]
	m.pool.Started(n.names[e.arg], time.Duration(box.cost))
	if !box.ahead {
		return
	}
	box.ahead, m.working = false, false
	at := box.instance
	if !m.pool.Release(n.names[e.arg], 0, n.clock()) {
		n.forget(e.arg)
	}
	n.left(m, at)
	n.background(m)
	n.schedule(m)
	n.retry(m.fleet)
}

// background prepares what the pool wants before it is called, and then boots
// what the warming pool wants: one sandbox at a time.
func (n *node) background(m *manager) {
	if len(m.ahead) == 0 {
		m.ahead = m.pool.Ahead(n.clock())
	}
	for !m.working && len(m.ahead) > 0 {
		need := m.ahead[0]
		if m.ahead = m.ahead[1:]; len(m.ahead) == 0 {
			m.ahead = m.pool.Ahead(n.clock())
		}
		n.prepare(m, need)
	}
	if !m.working {
		n.warmUp(m)
	}
}

// prepare makes a sandbox ready for a function, in another instance if there is
// one to be had. Nothing is evicted for it.
func (n *node) prepare(m *manager, need pool.Need) {
	d := m.pool.Prepare(need, n.clock())
	if d.Action == pool.Refuse && n.stock.available(m, n.clock()) > 0 {
		n.grow(m)
		d = m.pool.Prepare(need, n.clock())
	}
	switch d.Action {
	case pool.Specialise:
		b := n.boxOf(d.Sandbox)
		n.resize(b, int32(need.MemoryMB))
		n.work(m, b, n.pooledStart())
	case pool.Start:
		need.Ahead = true
		n.work(m, n.create(m, d.Instance, need), n.coldStart())
	}
}

// warmUp boots what the warming pool wants most.
func (n *node) warmUp(m *manager) {
	for _, spare := range m.pool.Refill(n.clock()) {
		if at := m.pool.Room(spare.MemoryMB); at != "" {
			n.work(m, n.create(m, at, pool.Need{Runtime: spare.Runtime, MemoryMB: spare.MemoryMB}), n.coldStart())
			return
		}
	}
}

// work has a sandbox ready after cost. Its memory waits for somebody meanwhile.
func (n *node) work(m *manager, b int32, cost int64) {
	m.working = true
	n.setWaits(b, true)
	box := &n.boxes[b]
	box.ahead, box.cost = true, cost
	n.events.push(event{at: n.now + cost, kind: evReady, arg: b, gen: box.gen})
}

// schedule has tick called when the pool has something to do.
func (n *node) schedule(m *manager) {
	if n.o.StateDelay == 0 {
		n.heard(n.frontends[0], m)
	}
	next := m.pool.Next()
	if next.IsZero() {
		return
	}
	at := max(int64(next.Sub(epoch)), n.now)
	if m.next == 0 || at < m.next {
		m.next = at
		n.events.push(event{at: at, kind: evTick, arg: int32(m.index)})
	}
}

// tick ends what is over, gives empty instances back and prepares what is due.
func (n *node) tick(m *manager, at int64) {
	if at != m.next {
		return // an earlier one has taken its place
	}
	m.next = 0
	now := n.clock()
	n.evicted(m.pool.Expire(now))
	for _, name := range m.pool.IdleInstances(now) {
		n.giveBack(m, name)
	}
	n.scale(m)
	n.background(m)
	n.schedule(m)
}

// scale has a manager take the instances that its pool asks for.
func (n *node) scale(m *manager) {
	for range m.pool.Scale(n.clock()) {
		if n.stock.available(m, n.clock()) == 0 && !n.ask(m, false) {
			return
		}
		n.grow(m)
	}
}

// giveBack removes an instance, which is empty or dead, from a manager, and
// returns the sandboxes that were in it.
func (n *node) giveBack(m *manager, name string) (gone []string) {
	gone = m.pool.RemoveInstance(name, n.clock())
	delete(m.giving, name)
	at, _ := strconv.Atoi(name) // instanceName made it
	m.instances = slices.DeleteFunc(m.instances, func(i int32) bool { return i == int32(at) })
	n.stock.put(m, int32(at), n.clock())
	n.hold(-1)
	n.freed = true
	return gone
}

// lose kills an instance, any of those that are held.
func (n *node) lose() {
	held := 0
	for _, m := range n.managers {
		held += len(m.instances)
	}
	if held == 0 {
		return
	}
	nth := n.decide.below(held)
	var m *manager
	for _, m = range n.managers {
		if nth < len(m.instances) {
			break
		}
		nth -= len(m.instances)
	}
	at := m.instances[nth]
	for b := range n.boxes {
		if n.boxes[b].live && n.boxes[b].waits {
			n.warmAt++
		}
	}
	var back []int32
	for _, name := range n.giveBack(m, instanceName(at)) {
		b := n.boxOf(name)
		box := &n.boxes[b]
		if box.waits {
			n.warmOff++
		}
		if box.request != none {
			back = append(back, box.request)
			m.busy--
			m.outstanding--
		}
		n.forget(b)
	}
	n.stock.bury(at)
	if q := m.parked[at]; q != nil {
		for q.n > 0 {
			back = append(back, m.unparkOne(n.requests, q))
		}
	}
	for _, i := range back {
		n.again(i)
	}
	n.background(m)
	n.schedule(m)
}

// create adds a sandbox to a manager and its pool.
func (n *node) create(m *manager, instance string, need pool.Need) int32 {
	var b int32
	if k := len(n.empty); k > 0 {
		b = n.empty[k-1]
		n.empty = n.empty[:k-1]
	} else {
		b = int32(len(n.boxes))
		n.boxes = append(n.boxes, heldBox{})
		n.names = append(n.names, strconv.Itoa(int(b)))
	}
	at, _ := strconv.Atoi(instance) // a name that instanceName made
	n.boxes[b] = heldBox{
		manager: int32(m.index), instance: int32(at), mb: int32(need.MemoryMB), request: none,
		gen: n.boxes[b].gen + 1, live: true,
	}
	if !m.pool.Add(n.names[b], instance, need, n.clock()) {
		panic(fmt.Sprintf("%s has no room where it said it had", m.info.ID))
	}
	m.usedMB += need.MemoryMB
	m.sandboxes++
	n.startedOne()
	return b
}

// boxOf finds a sandbox by its name.
func (n *node) boxOf(name string) int32 {
	b, _ := strconv.Atoi(name) // create made it
	return int32(b)
}

// setWaits says whether a sandbox's memory waits for somebody.
func (n *node) setWaits(b int32, waits bool) {
	box := &n.boxes[b]
	if box.waits == waits {
		return
	}
	box.waits = waits
	mb := box.mb
	if !waits {
		mb = -mb
	}
	n.managers[box.manager].waitMB += int(mb)
	n.idle(mb)
}

// resize is what binding does to the memory of one of the warming pool.
func (n *node) resize(b, mb int32) {
	box := &n.boxes[b]
	waits := box.waits
	n.setWaits(b, false)
	n.managers[box.manager].usedMB += int(mb - box.mb)
	box.mb = mb
	n.setWaits(b, waits)
}

// evicted forgets sandboxes that their pool has let go.
func (n *node) evicted(names []string) {
	for _, name := range names {
		n.forget(n.boxOf(name))
	}
}

// forget ends a sandbox that is gone from its pool.
func (n *node) forget(b int32) {
	n.setWaits(b, false)
	box := &n.boxes[b]
	m := n.managers[box.manager]
	m.usedMB -= int(box.mb)
	m.sandboxes--
	if box.ahead {
		m.working = false
	}
	box.live, box.ahead = false, false
	n.empty = append(n.empty, b)
}

func (n *node) check() {
	used, busy := map[int32]int{}, map[int32]int{}
	for b := range n.boxes {
		if box := &n.boxes[b]; box.live {
			used[box.instance] += int(box.mb)
			if box.request != none {
				busy[box.instance]++
			}
		}
	}
	owner := map[int32]int{}
	for _, m := range n.managers {
		sum := 0
		for _, at := range m.instances {
			if _, twice := owner[at]; twice {
				panic(fmt.Sprintf("instance %d has two owners", at))
			}
			owner[at] = m.index
			sum += used[at]
			if used[at] > n.o.MemoryMB || busy[at] > n.o.Slots {
				panic(fmt.Sprintf("instance %d: %d MB of %d, %d of %d slots", at, used[at], n.o.MemoryMB, busy[at], n.o.Slots))
			}
		}
		if sum != m.usedMB {
			panic(fmt.Sprintf("%s: %d MB used, counted %d", m.info.ID, m.usedMB, sum))
		}
	}
	for at, mb := range used {
		if _, held := owner[at]; !held && mb > 0 {
			panic(fmt.Sprintf("instance %d is used and nobody's", at))
		}
	}
	if len(owner) > n.stock.total || n.heldN != len(owner) {
		panic(fmt.Sprintf("%d instances are held of %d, %d counted", len(owner), n.stock.total, n.heldN))
	}
}
