package simulate

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"thermocline/trace"
)

// Campaign is runs that are held against each other: policies and seeds on the
// same trace and the same cluster.
type Campaign struct {
	Options  // Policy, Seed, Progress and Series are set for each run
	Policies []string
	Seeds    []uint64
	// Tuned picks the baselines' keep-alive; see tune.
	Tuned bool
	// Parallel is how many runs go on at once, 0 for GOMAXPROCS.
	Parallel int
	// Done is called, from several goroutines, with the share that is over. As
	// tuning takes as many runs as it takes, the share is a guess there.
	Done func(share float64)
}

// campaign is a Campaign under way.
type campaign struct {
	*Campaign
	trace *trace.Trace
	slots chan struct{}
	total atomic.Int64 // runs, as far as known
	mu    sync.Mutex
	parts map[int]float64 // of runs under way
	next  int
	over  float64
}

// Run runs all of it. The results are in the order of the policies, and of the
// seeds within a policy, however many run at once.
func (c Campaign) Run(ctx context.Context, t *trace.Trace) ([]*Result, error) {
	for _, p := range c.Policies {
		o := c.Options
		o.Policy = p
		if err := o.Validate(t); err != nil {
			return nil, err
		}
	}
	if c.Parallel <= 0 {
		c.Parallel = runtime.GOMAXPROCS(0)
	}
	k := &campaign{Campaign: &c, trace: t, slots: make(chan struct{}, c.Parallel), parts: map[int]float64{}}
	k.total.Store(int64(len(c.Policies) * len(c.Seeds) * k.pairs()))
	results := make([]*Result, len(c.Policies)*len(c.Seeds))
	g, ctx := errgroup.WithContext(ctx)
	for s, seed := range c.Seeds {
		g.Go(func() error { return k.seed(ctx, seed, func(p int, r *Result) { results[p*len(c.Seeds)+s] = r }) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return results, nil
}

// pairs is how many runs one result takes.
func (k *campaign) pairs() int {
	if k.Burst != nil || k.LoseInstance > 0 {
		return 2
	}
	return 1
}

// seed runs all policies with one seed: ours first where the others are tuned
// to its idle memory.
func (k *campaign) seed(ctx context.Context, seed uint64, put func(policy int, r *Result)) error {
	g, ctx := errgroup.WithContext(ctx)
	budget := math.Inf(1)
	var ours *Result
	if k.Tuned {
		o := k.options(Thermocline, seed)
		var err error
		if ours, err = k.compared(ctx, o); err != nil {
			return err
		}
		budget = ours.IdleGBs
	}
	for p, policy := range k.Policies {
		g.Go(func() error {
			o := k.options(policy, seed)
			var r *Result
			var err error
			switch {
			case policy == Thermocline && ours != nil:
				r = ours
			case k.Tuned:
				r, err = k.tune(ctx, o, budget)
			default:
				r, err = k.compared(ctx, o)
			}
			if err == nil {
				put(p, r)
			}
			return err
		})
	}
	return g.Wait()
}

func (k *campaign) options(policy string, seed uint64) Options {
	o := k.Options
	o.Policy, o.Seed, o.Series = policy, seed, k.Series || k.LoseInstance > 0
	return o
}

// grid is the keep-alives that tuning looks at first.
var grid = []time.Duration{
	0, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 20 * time.Minute,
	30 * time.Minute, 45 * time.Minute, time.Hour, 90 * time.Minute, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, Forever,
}

// bisections is how often tuning halves what lies between two of the grid.
const bisections = 6

// tune finds the keep-alive with the fewest cold starts of those whose idle
// memory stays within budget GB·s: the longest such of the grid, by halving,
// then by halving what lies between it and the next. Idle memory grows with the
// keep-alive, cold starts fall; all that were looked at and stay within the
// budget are compared.
func (k *campaign) tune(ctx context.Context, o Options, budget float64) (*Result, error) {
	var best *Result
	var bestKeep time.Duration
	runs := 0
	alone := o
	alone.Series = false
	fits := func(keep time.Duration) (bool, error) {
		alone.KeepAlive = keep
		k.total.Add(1)
		r, err := k.run(ctx, alone)
		if err != nil {
			return false, err
		}
		runs++
		ok := r.IdleGBs <= budget
		if ok && (best == nil || r.Cold < best.Cold || r.Cold == best.Cold && r.IdleGBs < best.IdleGBs) {
			best, bestKeep = r, keep
		}
		return ok, nil
	}
	low, high := 0, len(grid) // grid[low] fits, or nothing does; grid[high] does not
	if _, err := fits(grid[0]); err != nil {
		return nil, err
	}
	for high-low > 1 {
		mid := (low + high) / 2
		ok, err := fits(grid[mid])
		if err != nil {
			return nil, err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	if high < len(grid) {
		short, long := grid[low], min(grid[high], 2*grid[low]+8*time.Hour)
		for range bisections {
			mid := ((short + long) / 2).Round(time.Second)
			ok, err := fits(mid)
			if err != nil {
				return nil, err
			}
			if ok {
				short = mid
			} else {
				long = mid
			}
		}
	}
	o.KeepAlive = bestKeep
	r := best
	if r == nil || k.pairs() > 1 || o.Series {
		var err error
		if r, err = k.compared(ctx, o); err != nil {
			return nil, err
		}
	}
	r.Tuning = &Tuning{BudgetGBs: budget, Runs: runs}
	return r, nil
}

// compared runs o, and once more without the burst or the loss where there is
// one, to hold the two against each other.
func (k *campaign) compared(ctx context.Context, o Options) (*Result, error) {
	if k.pairs() == 1 {
		return k.run(ctx, o)
	}
	g, ctx := errgroup.WithContext(ctx)
	var r, without *Result
	g.Go(func() (err error) { r, err = k.run(ctx, o); return err })
	g.Go(func() (err error) {
		plain := o
		plain.Burst, plain.LoseInstance = nil, 0
		without, err = k.run(ctx, plain)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if b := o.Burst; b != nil {
		r.Burst = &Burst{
			Factor: b.Factor, AtS: b.From.Seconds(), ForS: (b.To - b.From).Seconds(), Functions: len(b.Functions),
			WithoutColdRatioRare: without.ColdRatioRare, WithoutDelayMeanRare: without.StartDelayMeanRare,
			WithoutColdRatio: without.ColdRatio, WithoutStartDelayMean: without.StartDelayMean,
			ColdRatioRareChange:  change(without.ColdRatioRare, r.ColdRatioRare),
			StartDelayRareChange: change(without.StartDelayMeanRare, r.StartDelayMeanRare),
		}
	}
	if r.Loss != nil {
		r.Loss.ExtraCold = r.Cold - without.Cold
		r.Loss.RecoveryS = recovery(r.Minutes, without.Minutes, o.LoseInstance)
	}
	return r, nil
}

// change is relative; 0 when there was nothing and still is.
func change(from, to float64) float64 {
	if from == to {
		return 0
	}
	if from == 0 {
		return math.MaxFloat32 // JSON has no infinity
	}
	return to/from - 1
}

// recoveryWindow is the minutes over which cold starts are compared.
const recoveryWindow = 5

// recovery is how long after at, in seconds, the cold starts of five minutes
// were first no more than without the loss, beyond what chance makes of such a
// number (two standard deviations, and one); -1 when never.
func recovery(with, without []Minute, at time.Duration) float64 {
	first := int(at / time.Minute)
	for m := first; m+recoveryWindow <= len(with); m++ {
		var a, b float64
		for i := m; i < m+recoveryWindow; i++ {
			a += float64(with[i].Cold)
			b += float64(without[i].Cold)
		}
		if a <= b+2*math.Sqrt(b)+1 {
			return max(0, (time.Duration(m)*time.Minute - at).Seconds())
		}
	}
	return -1
}

// run is Run when one of the slots is free.
func (k *campaign) run(ctx context.Context, o Options) (*Result, error) {
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-k.slots }()
	k.mu.Lock()
	id := k.next
	k.next++
	k.mu.Unlock()
	o.Progress = func(share float64) { k.progress(id, share, false) }
	r, err := Run(ctx, k.trace, o)
	k.progress(id, 1, true)
	return r, err
}

func (k *campaign) progress(id int, share float64, ended bool) {
	if k.Done == nil {
		return
	}
	k.mu.Lock()
	k.parts[id] = share
	if ended {
		delete(k.parts, id)
		k.over++
	}
	sum := k.over
	for _, p := range k.parts {
		sum += p
	}
	k.mu.Unlock()
	k.Done(min(1, sum/float64(max(1, k.total.Load()))))
}
