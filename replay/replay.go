package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"thermocline"
	"thermocline/trace"
)

// Outcome is what a server says of an invocation that ran.
type Outcome struct {
	Start    thermocline.StartKind
	Duration time.Duration // of the function's run, without its start
	Retried  int           // how often the server had no room before
}

// Target is a server that has the trace's functions.
type Target interface {
	// Invoke runs a function, by its index in the trace, for so long. It comes
	// again while the server has no room, as clients do. An error, of the
	// platform or of the function, is a failed invocation. It is called from many
	// goroutines at once.
	Invoke(ctx context.Context, function int, run time.Duration) (Outcome, error)
}

// Options say how to play a trace.
type Options struct {
	Seed     uint64
	Arrivals trace.Arrivals
	// Speed is how many seconds of the trace pass in one of the clock: the time
	// between two arrivals and the length of each run are divided by it.
	Speed float64
	// Warmup is what is not counted at the beginning of the trace, in its time.
	Warmup time.Duration
	// Outstanding bounds the invocations under way; 0 is 2,000.
	Outstanding int
	// Progress is called now and then with the share of the trace that is over.
	Progress func(share float64)
}

// DefaultOutstanding bounds the invocations under way.
const DefaultOutstanding = 2000

// Validate says what is wrong with the options.
func (o *Options) Validate(t *trace.Trace) error {
	length := time.Duration(t.Minutes()) * time.Minute
	switch {
	case !(o.Speed >= 0.1 && o.Speed <= 10_000):
		return fmt.Errorf("the speed is 0.1 to 10000, not %g", o.Speed)
	case o.Warmup < 0 || o.Warmup >= length:
		return fmt.Errorf("the warm-up of %s leaves nothing of a trace of %s to be measured", o.Warmup, length)
	case o.Outstanding < 0:
		return errors.New("the bound of invocations under way is negative")
	}
	return nil
}

var errBusy = errors.New("too many invocations were under way: the client cannot keep up, or the server answers none")

// Run plays a trace and returns when its last invocation has ended. It stops
// early, with ctx's error, when ctx ends; invocations under way are cancelled
// then, and Run waits for them.
func Run(ctx context.Context, t *trace.Trace, target Target, o Options) (*Result, error) {
	if err := o.Validate(t); err != nil {
		return nil, err
	}
	if o.Outstanding == 0 {
		o.Outstanding = DefaultOutstanding
	}
	p := &player{t: t, o: o, target: target, places: make(chan struct{}, o.Outstanding), meter: newMeter(t, o)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := p.play(ctx)
	if err != nil {
		cancel()
	}
	p.running.Wait()
	if err != nil {
		return nil, err
	}
	return p.meter.result(), nil
}

// player is one Run.
type player struct {
	t       *trace.Trace
	o       Options
	target  Target
	places  chan struct{} // one for each invocation under way
	running sync.WaitGroup
	meter   *meter
}

// play sends all invocations, each when it is due.
func (p *player) play(ctx context.Context) error {
	length := time.Duration(p.t.Minutes()) * time.Minute
	stream := p.t.Stream(trace.Options{Seed: p.o.Seed, Arrivals: p.o.Arrivals})
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Now()
	for n := 0; ; n++ {
		next, ok := stream.Next()
		if !ok {
			break
		}
		due := began.Add(p.clock(next.At))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.o.Progress != nil {
			p.o.Progress(float64(next.At) / float64(length))
		}
		p.send(ctx, next, due)
	}
	return nil
}

// clock is how long d of the trace is now.
func (p *player) clock(d time.Duration) time.Duration {
	return time.Duration(float64(d) / p.o.Speed)
}

// send starts one invocation.
func (p *player) send(ctx context.Context, inv trace.Invocation, due time.Time) {
	late := time.Since(due)
	select {
	case p.places <- struct{}{}:
	default:
		p.meter.failed(inv, late, errBusy)
		return
	}
	p.running.Go(func() {
		defer func() { <-p.places }()
		sent := time.Now()
		out, err := p.target.Invoke(ctx, inv.Function, p.clock(inv.Duration))
		took := time.Since(sent)
		if err != nil {
			if ctx.Err() == nil {
				p.meter.failed(inv, late, err)
			}
			return
		}
		p.meter.ran(inv, late, took, out)
	})
}
