package trace

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Arrivals is how a minute's invocations are spread in it.
type Arrivals int

const (
	// Uniform spaces a minute's invocations of a function evenly, from a random
	// beginning.
	Uniform Arrivals = iota
	// Poisson puts each at a time of its own, equally likely anywhere in the
	// minute: that is what a Poisson process is whose count is known.
	Poisson
	// PoissonCounts is a Poisson process with the minute's rate: its count is
	// random too, with the trace's as its mean. Timers lose their rhythm in it.
	PoissonCounts
)

var arrivals = [...]string{"uniform", "poisson", "poisson-counts"}

// ParseArrivals reads what String returns.
func ParseArrivals(s string) (Arrivals, error) {
	if i := slices.Index(arrivals[:], s); i >= 0 {
		return Arrivals(i), nil
	}
	return 0, fmt.Errorf("arrivals are uniform, poisson or poisson-counts, not %q", s)
}

func (a Arrivals) String() string { return arrivals[a] }

// Burst multiplies the calls of some functions for some time. The invocations
// that there are without it stay what they are.
type Burst struct {
	Functions []int
	Factor    float64       // at least 1
	From, To  time.Duration // since the beginning of the trace
}

// Options say how invocations are drawn from a trace.
type Options struct {
	Seed     uint64
	Arrivals Arrivals
	Burst    *Burst // nil: none
}

// Invocation is one request to run a function.
type Invocation struct {
	At       time.Duration // since the beginning of the trace
	Duration time.Duration // how long it runs once it has started
	Function int           // index of Trace.Functions
}

// Stream gives a trace's invocations in the order of time. It holds a minute of
// them at a time. It is not safe for concurrent use.
type Stream struct {
	trace  *Trace
	o      Options
	hashes []uint64
	burst  []bool // by function
	minute int    // the next to be drawn
	buffer []drawn
	next   int // in buffer
}

// drawn is an invocation in a minute's buffer.
type drawn struct {
	at, duration int64 // ns
	function     int32
	n            int32 // of its function in the minute
}

// Stream begins a stream.
func (t *Trace) Stream(o Options) *Stream {
	s := &Stream{trace: t, o: o, hashes: make([]uint64, len(t.Functions))}
	for i := range t.Functions {
		s.hashes[i] = hash(t.Functions[i].ID)
	}
	if o.Burst != nil {
		s.burst = make([]bool, len(t.Functions))
		for _, f := range o.Burst.Functions {
			s.burst[f] = true
		}
	}
	return s
}

// Next returns the next invocation, false when there are no more.
func (s *Stream) Next() (Invocation, bool) {
	for s.next >= len(s.buffer) {
		if s.minute >= len(s.trace.minutes) {
			return Invocation{}, false
		}
		s.draw()
	}
	d := &s.buffer[s.next]
	s.next++
	return Invocation{At: time.Duration(d.at), Duration: time.Duration(d.duration), Function: int(d.function)}, true
}

// draw fills the buffer with a minute.
func (s *Stream) draw() {
	s.buffer, s.next = s.buffer[:0], 0
	minute := s.minute
	s.minute++
	for _, c := range s.trace.minutes[minute] {
		r := seeded(s.o.Seed, s.hashes[c.function], uint64(minute), 0)
		s.add(minute, c.function, float64(c.n), &r, nil)
		if s.burst != nil && s.burst[c.function] {
			r := seeded(s.o.Seed, s.hashes[c.function], uint64(minute), 1)
			s.add(minute, c.function, float64(c.n)*(s.o.Burst.Factor-1), &r, s.o.Burst)
		}
	}
	slices.SortFunc(s.buffer, func(a, b drawn) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.function, b.function), cmp.Compare(a.n, b.n))
	})
}

// add draws n invocations of a function, of which only those within the burst
// are kept when there is one.
func (s *Stream) add(minute int, function int32, n float64, r *source, within *Burst) {
	begin := int64(minute) * int64(time.Minute)
	durations := &s.trace.Functions[function].Duration
	number := int32(0)
	put := func(at int64) {
		d := drawn{at: begin + at, function: function, n: number, duration: int64(durations.At(r.float()))}
		number++
		if within != nil {
			d.n |= 1 << 30
			if at := time.Duration(d.at); at < within.From || at >= within.To {
				return
			}
		}
		s.buffer = append(s.buffer, d)
	}
	switch calls := int(n + 0.5); s.o.Arrivals {
	case Uniform:
		from := r.float()
		for k := range calls {
			put(int64((from + float64(k)) / float64(calls) * float64(time.Minute)))
		}
	case Poisson:
		for range calls {
			put(int64(r.float() * float64(time.Minute)))
		}
	case PoissonCounts:
		for t := r.exp(); t < n; t += r.exp() {
			put(int64(t / n * float64(time.Minute)))
		}
	}
}
