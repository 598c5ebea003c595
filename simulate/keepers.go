package simulate

import (
	"math"
	"time"
)

// fixed keeps idle sandboxes for a fixed time; the least recently used of a
// machine goes first when memory is short.
type fixed struct {
	c    *cluster
	keep int64
}

func (k *fixed) setup(c *cluster) { k.c, k.keep = c, int64(c.o.KeepAlive) }
func (k *fixed) arrived(int32)    {}
func (k *fixed) left(int32)       {}
func (k *fixed) wait(b int32) {
	if k.keep < int64(Forever) {
		k.c.until(b, k.c.now+k.keep)
	}
}
func (k *fixed) victim(m *machine) int32 { return m.oldest }
func (k *fixed) event(event)             {}

// greedyDual is the keep-alive of FaasCache (Fuerst, Sharma, ASPLOS '21):
// priority = clock + frequency · cost / size, where the frequency is how often
// the function was called since it last had no sandbox, and the clock, each
// machine's own, is the priority of the last one evicted. The least priority
// goes when memory is short. The paper keeps until then; the keep-alive bounds
// it here.
type greedyDual struct {
	fixed
	uses []float64 // by function
	cost float64   // seconds
}

func (k *greedyDual) setup(c *cluster) {
	k.fixed.setup(c)
	k.uses = make([]float64, len(c.trace.Functions))
	k.cost = c.o.ColdStart.Mean().Seconds()
}

func (k *greedyDual) arrived(function int32) {
	if k.c.boxesOf[function] == 0 {
		k.uses[function] = 0
	}
	k.uses[function]++
}

func (k *greedyDual) wait(b int32) {
	k.fixed.wait(b)
	box := &k.c.boxes[b]
	box.priority = k.c.machines[box.machine].clock + k.uses[box.function]*k.cost/float64(k.c.memory[box.function])
}

func (k *greedyDual) victim(m *machine) int32 {
	best := m.oldest
	for b := best; b != none; b = k.c.boxes[b].later {
		if k.c.boxes[b].priority < k.c.boxes[best].priority {
			best = b
		}
	}
	box := &k.c.boxes[best]
	m.clock = max(m.clock, box.priority)
	return best
}

// The parameters of the hybrid histogram policy, as its paper has them.
const (
	binWidth   = int64(time.Minute)
	binCount   = 240 // four hours
	headShare  = 0.05
	tailShare  = 0.99
	margin     = 0.10
	leastCV    = 2
	leastIdles = 5 // before that the bins say nothing
	farMargin  = 0.15
)

// idleTimes are a function's times between the end of an invocation and the
// beginning of the next, while none runs.
type idleTimes struct {
	bins    [binCount]uint32
	n       uint32 // in bins
	beyond  uint32
	far     float64 // ns, moving mean of those beyond
	squares float64 // Σ bins²
	running int32   // invocations
	ended   int64   // the latest end while none runs, 0 before the first
	version int32   // of the plan to start a sandbox ahead
}

// hybrid is the hybrid histogram policy (Shahrad et al.: Serverless in the Wild,
// USENIX ATC '20), per function and over all machines: when the histogram of
// idle times is representative (the CV of its bins is at least 2) a sandbox goes
// when its invocation ends, is started again at the 5th percentile less a tenth,
// and kept until the 99th and a tenth more; at once and until the 99th when the
// 5th percentile is within the first bin. Before that the keep-alive is fixed,
// and so it is for sandboxes that become idle while others of the function run:
// the paper thinks of one at a time, and its windows are too short for these.
// When most idle times are over four hours the next is forecast; a moving mean
// stands for the paper's ARIMA model.
type hybrid struct {
	fixed
	of    []*idleTimes
	ahead []plan
	free  []int32
}

// plan is a sandbox to be started ahead.
type plan struct {
	function, machine int32
	version           int32
	keep              int64 // until when
}

func (k *hybrid) setup(c *cluster) {
	k.fixed.setup(c)
	k.of = make([]*idleTimes, len(c.trace.Functions))
}

func (k *hybrid) arrived(function int32) {
	h := k.of[function]
	if h == nil {
		h = &idleTimes{}
		k.of[function] = h
	}
	if h.running == 0 && h.ended > 0 {
		h.add(k.c.now - h.ended)
	}
	h.running++
	h.version++ // what was to be started ahead comes too late
}

func (h *idleTimes) add(idle int64) {
	if i := idle / binWidth; i < binCount {
		h.squares += 2*float64(h.bins[i]) + 1
		h.bins[i]++
		h.n++
		return
	}
	h.beyond++
	if h.far == 0 {
		h.far = float64(idle)
	}
	h.far += 0.3 * (float64(idle) - h.far)
}

func (k *hybrid) left(function int32) {
	h := k.of[function]
	if h.running--; h.running == 0 {
		h.ended = k.c.now
	}
}

// windows returns when a sandbox should be there again after an end, and until
// when, in ns; ok is false when the histogram says nothing.
func (h *idleTimes) windows() (again, until int64, ok bool) {
	if h.n+h.beyond < leastIdles {
		return 0, 0, false
	}
	if h.beyond > h.n {
		return int64(h.far * (1 - farMargin)), int64(h.far * (1 + farMargin)), true
	}
	mean := float64(h.n) / binCount
	if variance := h.squares/binCount - mean*mean; variance < leastCV*leastCV*mean*mean {
		return 0, 0, false
	}
	head, tail := -1, 0
	var sum uint32
	for i, n := range h.bins {
		sum += n
		if head < 0 && float64(sum) >= headShare*float64(h.n) {
			head = i // rounded down
		}
		if float64(sum) >= tailShare*float64(h.n) {
			tail = i + 1 // rounded up
			break
		}
	}
	return int64(float64(head) * (1 - margin) * float64(binWidth)), int64(float64(tail) * (1 + margin) * float64(binWidth)), true
}

func (k *hybrid) wait(b int32) {
	c := k.c
	box := &c.boxes[b]
	h := k.of[box.function]
	again, until, ok := h.windows()
	if !ok || h.running > 0 {
		k.fixed.wait(b)
		return
	}
	if again < binWidth {
		c.until(b, c.now+until)
		return
	}
	function, at := box.function, box.machine
	c.remove(b)
	p := plan{function: function, machine: at, version: h.version, keep: c.now + until}
	var i int32
	if n := len(k.free); n > 0 {
		i, k.free = k.free[n-1], k.free[:n-1]
		k.ahead[i] = p
	} else {
		i = int32(len(k.ahead))
		k.ahead = append(k.ahead, p)
	}
	c.events.push(event{at: c.now + again, kind: evWarm, arg: i})
}

func (k *hybrid) event(e event) {
	c := k.c
	switch e.kind {
	case evWarm:
		p := k.ahead[e.arg]
		k.free = append(k.free, e.arg)
		m := &c.machines[p.machine]
		if p.version != k.of[p.function].version || m.dead || int(m.used+c.memory[p.function]) > c.o.MemoryMB {
			return
		}
		b := c.create(p.function, p.machine, boxAhead)
		c.idle(c.memory[p.function])
		box := &c.boxes[b]
		box.expires = p.keep
		c.events.push(event{at: c.now + c.coldStart(), kind: evReady, arg: b, gen: box.gen})
	case evReady:
		box := &c.boxes[e.arg]
		if box.state != boxAhead || box.gen != e.gen {
			return
		}
		c.idle(-c.memory[box.function])
		at := box.machine
		c.wait(e.arg)
		c.until(e.arg, max(box.expires, c.now))
		c.serve(at)
	}
}

// keepAliveOf is what a result shows.
func keepAliveOf(d time.Duration) float64 {
	if d >= Forever {
		return -1
	}
	return math.Round(d.Seconds()*1000) / 1000
}
