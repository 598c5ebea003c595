package simulate

import (
	"fmt"
	"strconv"
	"time"

	"thermocline"
	"thermocline/fleet"
	"thermocline/history"
	"thermocline/manager/pool"
)

// node is the policy thermocline: what the program does live, with its own
// packages. Frontends count (history), classify and choose (fleet); managers
// hold instances and sandboxes (manager/pool).
type node struct {
	*run
	frontends []*frontend
	managers  []*manager
	byName    map[string]*manager
	fleets    []fleet.FleetConfig
	stock     stock
	boxes     []heldBox
	empty     []int32  // of boxes
	names     []string // of boxes
	ids       []thermocline.FunctionID
	needs     []pool.Need
	waiting   []waitQueue // by fleet: those that every manager refused
	choices   []string
	refusals  int64
	gossips   int64 // rounds
	freed     bool  // an instance has come back: others may want it
	moved     int64 // changes of class, seen by all frontends
}

// frontend is what one frontend knows.
type frontend struct {
	history *history.History
	fleets  *fleet.Set
	infos   []thermocline.ManagerInfo
}

// epoch is the virtual beginning of the trace: a whole hour.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// The periods of what a frontend does besides requests (package history).
const (
	gossipBytes  = 512 << 10
	compactEvery = int64(time.Minute)
	patience     = int64(2 * time.Hour) // after the trace, for those that wait
)

// What evTick is for: a manager when it is not negative.
const (
	tickGossip  = -1
	tickCompact = -2
)

func newThermocline() policy { return &node{} }

func (n *node) clock() time.Time { return epoch.Add(time.Duration(n.now)) }

func (n *node) setup(r *run) {
	n.run = r
	// Without a delay all frontends know the same at once, and one of them is
	// enough.
	count := r.o.Frontends
	if r.o.StateDelay == 0 {
		count = 1
	}
	for i := range count {
		set, err := fleet.New(fleet.Default())
		if err != nil {
			panic(err) // the default is tested
		}
		n.frontends = append(n.frontends, &frontend{
			history: history.New(history.Options{Slot: "frontend-" + strconv.Itoa(i) + ".1"}), fleets: set,
		})
	}
	n.fleets = n.frontends[0].fleets.Fleets()
	n.describe()
	n.hire()
	if r.o.StateDelay > 0 {
		r.events.push(event{at: int64(r.o.StateDelay), kind: evTick, arg: tickGossip})
	}
	r.events.push(event{at: compactEvery, kind: evTick, arg: tickCompact})
}

// describe makes the functions' names and needs.
func (n *node) describe() {
	runtimes := [2]string{"nodejs18.x", "python3.11"}
	for i := range n.trace.Functions {
		f := &n.trace.Functions[i]
		id := thermocline.FunctionID{Account: "000000000000", Name: f.ID, Version: thermocline.Latest}
		n.ids = append(n.ids, id)
		mb := int(n.memory[i])
		n.needs = append(n.needs, pool.Need{
			Function: id, Generation: 1, Runtime: runtimes[hash(f.ID)&1], MemoryMB: mb,
			ClassMB: (mb + 127) / 128 * 128, Late: true,
		})
	}
}

// arrive counts and routes a request, as the frontend does.
func (n *node) arrive(i int32) {
	req := &n.requests[i]
	if int(n.memory[req.function]) > n.o.MemoryMB || n.stock.total == 0 {
		n.fail(i)
		return
	}
	f := n.frontend(req)
	id, now := n.ids[req.function], n.clock()
	if req.lost == 0 {
		f.history.Started(id, now)
	}
	usage := f.history.Usage(id, now)
	d := f.fleets.Classify(id, usage, now)
	if d.Moved && d.From != "" {
		if f.history.Mark(id); n.now >= n.from {
			n.moved++
		}
	}
	if !n.route(i, d.Index, usage) {
		n.waiting[d.Index].push(n.requests, i)
	}
}

func (n *node) frontend(req *request) *frontend {
	return n.frontends[int(req.frontend)%len(n.frontends)]
}

// route asks the managers of a fleet, the first choice first.
func (n *node) route(i int32, index int, usage thermocline.Usage) bool {
	req := &n.requests[i]
	f := n.frontend(req)
	n.choices = fleet.Choose(n.choices[:0], &n.fleets[index], n.ids[req.function], usage, f.infos, n.decide.next())
	n.choices = fleet.Overflow(n.choices, &n.fleets[index], f.infos)
	for _, name := range n.choices {
		m := n.byName[name]
		if n.take(m, i, index) {
			n.heard(f, m)
			return true
		}
		n.refusals++
		n.heard(f, m)
	}
	return false
}

// heard is what a reply tells a frontend of its manager.
func (n *node) heard(f *frontend, m *manager) { f.infos[m.index] = n.infoOf(m) }

func (n *node) ended(i int32) {
	req := &n.requests[i]
	b := req.sandbox
	m := n.managers[n.boxes[b].manager]
	n.finish(m, b)
	f := n.frontend(req)
	f.history.Finished(n.ids[req.function], time.Duration(n.now-req.started), n.clock())
	n.heard(f, m)
	n.retry(m.fleet)
	n.settle()
}

// passes bounds how often those that wait are asked for in a row.
const passes = 4

// settle lets those that wait have what has come back.
func (n *node) settle() {
	for range passes {
		if !n.freed {
			return
		}
		n.freed = false
		for index := range n.waiting {
			n.retry(index)
		}
	}
}

// retry asks again for those that wait for a fleet, in order, until one is
// refused.
func (n *node) retry(index int) {
	q := &n.waiting[index]
	for q.first != none {
		i := q.first
		req := &n.requests[i]
		next := req.next // who routes may put it into another queue
		if !n.route(i, index, n.frontend(req).history.Usage(n.ids[req.function], n.clock())) {
			return
		}
		q.first = next
	}
}

func (n *node) event(e event) {
	defer n.settle()
	if e.kind == evReady {
		n.ready(e)
		return
	}
	switch e.arg {
	case tickGossip:
		n.gossip()
		n.events.push(event{at: n.now + int64(n.o.StateDelay), kind: evTick, arg: tickGossip})
	case tickCompact:
		for _, f := range n.frontends {
			f.history.Compact(n.clock())
		}
		n.events.push(event{at: n.now + compactEvery, kind: evTick, arg: tickCompact})
		n.abandon()
	default:
		n.tick(n.managers[e.arg], e.at)
	}
}

// gossip has every frontend tell the others what changed, and every manager
// announce itself.
func (n *node) gossip() {
	n.gossips++
	now := n.clock()
	for _, from := range n.frontends {
		delta, _ := from.history.Changed(now, gossipBytes)
		for _, to := range n.frontends {
			if to == from {
				continue
			}
			if err := to.history.Merge(delta, now); err != nil {
				panic(fmt.Sprintf("a history does not understand another: %v", err))
			}
		}
	}
	for _, m := range n.managers {
		info := n.infoOf(m)
		for _, f := range n.frontends {
			f.infos[m.index] = info
		}
	}
	for index := range n.waiting {
		n.retry(index)
	}
}

// abandon fails those that wait long after the trace: nobody has room for them.
func (n *node) abandon() {
	for index := range n.waiting {
		n.retry(index)
		if n.arriving || n.now < n.end+patience {
			continue
		}
		for q := &n.waiting[index]; q.first != none; {
			i := q.first
			q.pop(n.requests)
			n.fail(i)
		}
	}
}

func (n *node) report(res *Result) {
	res.KeepAlive = -1
	res.Refusals = n.refusals
	res.ClassChanges = float64(n.moved) / float64(len(n.frontends))
	now := n.clock()
	for _, f := range n.frontends {
		res.StateBytes += int64(len(f.history.Snapshot(now)))
	}
	const announcement = 64
	res.StateBytes += int64(len(n.frontends[0].fleets.Snapshot()) + announcement*len(n.managers))
	others := float64(n.o.Frontends - 1)
	messages := 2 * float64(n.refusals)
	if n.o.StateDelay > 0 {
		messages += float64(n.gossips) * float64(n.o.Frontends) * (others + float64(len(n.managers)))
	} else {
		messages += 2 * others * float64(n.arrivals)
	}
	res.MessagesPerRequest = messages / float64(max(1, n.arrivals))
}

// waitQueue is a queue of requests through themselves.
type waitQueue struct{ first, last int32 }

func (q *waitQueue) push(requests []request, i int32) {
	requests[i].next = none
	if q.first == none {
		q.first = i
	} else {
		requests[q.last].next = i
	}
	q.last = i
}

func (q *waitQueue) pop(requests []request) { q.first = requests[q.first].next }
