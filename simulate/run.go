package simulate

import (
	"context"
	"fmt"
	"math"
	"time"

	"thermocline/trace"
)

// startKind is what an invocation found.
type startKind uint8

const (
	warm   startKind = iota // a sandbox of its function
	pooled                  // one of the warming pool
	full                    // nothing
)

// none is no request, sandbox, machine.
const none = -1

// request is an invocation on its way. Its place in run.requests is used again
// when it has ended.
type request struct {
	arrived  int64
	duration int64
	started  int64 // when its sandbox is ready for it
	function int32
	sandbox  int32
	machine  int32
	next     int32 // in a queue
	gen      uint16
	frontend uint16
	lost     uint8 // how often it lost its instance
	kind     startKind
}

// policy is who decides and holds the sandboxes. All times are virtual.
type policy interface {
	setup(r *run)
	// arrive takes a request, to run it now or later. It calls run.begin for
	// it in the end, or run.fail.
	arrive(req int32)
	// ended takes note that a request's invocation is over.
	ended(req int32)
	// event is called for events other than evEnd and evLoss.
	event(e event)
	// lose lets an instance die. It gives back what ran there with run.again.
	lose()
	// check panics when memory or slots are exceeded; for tests.
	check()
	// report fills in what only the policy knows.
	report(res *Result)
}

// run is one simulation.
type run struct {
	o        *Options
	trace    *trace.Trace
	stream   *trace.Stream
	p        policy
	now      int64
	end      int64 // of the trace
	events   events
	requests []request
	unused   []int32 // of requests
	live     int
	arriving bool    // there are more to come
	memory   []int32 // MB, by function
	rare     []bool  // by function
	decide   source  // for the policy's choices
	starts   source  // for what starts take
	places   source  // for the frontends of requests
	meter
}

// Run plays a trace. It stops early, with ctx's error, when ctx ends.
func Run(ctx context.Context, t *trace.Trace, o Options) (*Result, error) {
	if err := o.Validate(t); err != nil {
		return nil, err
	}
	r := &run{
		o: &o, trace: t, p: newPolicy(o.Policy),
		stream: t.Stream(trace.Options{Seed: o.Seed, Arrivals: o.Arrivals, Burst: o.Burst}),
		end:    int64(t.Minutes()) * int64(time.Minute),
		memory: make([]int32, len(t.Functions)), rare: make([]bool, len(t.Functions)),
		decide: source(mix(o.Seed ^ 0xdec1de)), starts: source(mix(o.Seed ^ 0x57a275)), places: source(mix(o.Seed ^ 0xf20e7d)),
	}
	for i := range t.Functions {
		f := &t.Functions[i]
		r.memory[i] = int32(max(1, math.Ceil(f.MemoryMB)))
		r.rare[i] = f.Total <= int64(t.Minutes())
	}
	r.meter.init(r)
	r.p.setup(r)
	if o.LoseInstance > 0 {
		r.events.push(event{at: int64(o.LoseInstance), kind: evLoss})
	}
	if err := r.play(ctx); err != nil {
		return nil, err
	}
	return r.result(), nil
}

// play is the loop over arrivals and events, in the order of time. What ends at
// the moment of an arrival has ended before it.
func (r *run) play(ctx context.Context) error {
	next, more := r.stream.Next()
	r.arriving = more
	for steps := 0; more || r.live > 0; steps++ {
		if steps&0xffff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.o.Progress != nil {
				r.o.Progress(min(1, float64(r.now)/float64(r.end)))
			}
		}
		if more && (len(r.events.heap) == 0 || int64(next.At) < r.events.heap[0].at) {
			r.now = int64(next.At)
			r.arrive(next)
			next, more = r.stream.Next()
			r.arriving = more
		} else {
			if len(r.events.heap) == 0 {
				return fmt.Errorf("the simulation of %s is stuck at %s with %d requests", r.o.Policy, time.Duration(r.now), r.live)
			}
			e := r.events.pop()
			r.now = e.at
			r.handle(e)
		}
		if r.o.Check {
			r.p.check()
		}
	}
	return nil
}

func (r *run) handle(e event) {
	switch e.kind {
	case evEnd:
		req := &r.requests[e.arg]
		if req.gen != e.gen {
			return // it was lost with its instance
		}
		r.completed(req)
		r.p.ended(e.arg)
		r.drop(e.arg)
	case evLoss:
		r.p.lose()
	default:
		r.p.event(e)
	}
}

// arrive makes a request of an invocation.
func (r *run) arrive(in trace.Invocation) {
	var i int32
	if n := len(r.unused); n > 0 {
		i = r.unused[n-1]
		r.unused = r.unused[:n-1]
	} else {
		i = int32(len(r.requests))
		r.requests = append(r.requests, request{})
	}
	req := &r.requests[i]
	*req = request{
		arrived: r.now, duration: int64(in.Duration), function: int32(in.Function), gen: req.gen,
		sandbox: none, machine: none, next: none,
		// The same request comes to the same frontend whatever the policy does.
		frontend: uint16(r.places.below(r.o.Frontends)),
	}
	r.live++
	r.arrivals++
	r.p.arrive(i)
}

// begin has a request run as soon as its sandbox is ready, after delay.
func (r *run) begin(i int32, k startKind, delay int64) {
	req := &r.requests[i]
	req.kind, req.started = k, r.now+delay
	r.events.push(event{at: req.started + req.duration, kind: evEnd, arg: i, gen: req.gen})
}

// again gives back a request whose instance died under it: it is tried once
// more, as a client would, and counted as failed the second time.
func (r *run) again(i int32) {
	req := &r.requests[i]
	req.gen++
	req.lost++
	req.sandbox, req.machine = none, none
	if req.lost > 1 {
		r.fail(i)
		return
	}
	r.retried++
	r.p.arrive(i)
}

// fail ends a request that cannot be run.
func (r *run) fail(i int32) {
	r.failedAt(&r.requests[i])
	r.drop(i)
}

func (r *run) drop(i int32) {
	r.requests[i].gen++
	r.unused = append(r.unused, i)
	r.live--
}

// coldStart draws what a start from nothing takes.
func (r *run) coldStart() int64 { return r.o.ColdStart.quantile(r.starts.float()) }

// pooledStart draws what specialising takes.
func (r *run) pooledStart() int64 { return r.o.PooledStart.quantile(r.starts.float()) }
