package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thermocline/manager"
	"thermocline/replay"
	"thermocline/simulate"
	"thermocline/trace"
)

// replaying is the flags of replay.
type replaying struct {
	workload simulation // those of its flags that choose the trace

	endpoint    string
	speed       float64
	size        float64
	maxRate     float64
	warmup      time.Duration
	seed        uint64
	arrivals    string
	outstanding int
	runtimes    []string
	memoryMB    int
	managers    int
	json        bool
	noPredict   bool
}

func newReplayCmd(g *globals) *cobra.Command {
	r := &replaying{}
	c := &cobra.Command{
		Use:   "replay --invocations FILE --durations FILE --memory FILE",
		Short: "Play a trace against a live server, beside what the simulator predicts",
		Long: `Play a trace against a live server and print what was measured, with the
simulator's prediction for the same arrivals beside it.

By default it starts a server of its own, in a temporary directory, whose
policies see time pass --speed times as fast (time_scale), so that keep-alives,
rates and dwell times fit; that needs root. With --endpoint an existing server
is used, whose keep-alives are what they are.

For each function of the trace one is deployed that sleeps as long as the trace
says, divided by --speed. Functions and server are removed at the end, also on
Ctrl-C. docs/replay.md explains the figures.`,
		Example: `  sudo thermocline replay --invocations invocations.csv.gz --durations durations.csv.gz --memory memory.csv.gz --speed 60
  sudo thermocline replay --durations day.csv.gz --functions 200 --to 30m --speed 60 --json`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return r.run(c.Context(), g) },
	}
	f := c.Flags()
	w := &r.workload
	f.StringVar(&w.invocations, "invocations", "", "`file` with the invocations per minute")
	f.StringVar(&w.durations, "durations", "", "`file` with the functions' durations")
	f.StringVar(&w.memory, "memory", "", "`file` with the functions' memory")
	f.IntVar(&w.minutes, "minutes", 240, "length of a synthetic trace (of a durations file alone)")
	f.IntVar(&w.functions, "functions", 0, "take only so many of the functions; 0 takes all")
	f.DurationVar(&w.from, "from", 0, "leave out what is before this time of the trace (whole minutes)")
	f.DurationVar(&w.to, "to", 0, "leave out what is after it; 0 is the end")
	f.Float64Var(&r.speed, "speed", 60, "seconds of the trace in one of the clock: arrivals and runs")
	f.Float64Var(&r.size, "size", 1, "multiply the functions' memory; 128 MB is the least")
	f.Float64Var(&r.maxRate, "max-rate", 100, "invocations per second of the clock, on average: the hottest functions are left out until it holds; 0: no bound")
	f.DurationVar(&r.warmup, "warmup", 0, "what is not counted at the beginning of the trace")
	f.Uint64Var(&r.seed, "seed", 1, "seed of the arrivals")
	f.StringVar(&r.arrivals, "arrivals", "uniform", "how calls are spread in a minute: uniform, poisson, or poisson-counts, which draws their number too")
	f.IntVar(&r.outstanding, "outstanding", replay.DefaultOutstanding, "invocations that may be under way; what does not fit fails")
	f.StringSliceVar(&r.runtimes, "runtimes", nil, "runtimes of the functions, by commas (default: the newest Node.js and Python that can run)")
	f.StringVar(&r.endpoint, "endpoint", "", "an existing server: that of --data or the environment, or with them the one at =`URL`")
	f.Lookup("endpoint").NoOptDefVal = foundEndpoint
	f.IntVar(&r.memoryMB, "memory-mb", 16384, "`MB` for sandboxes of the server that it starts, or that the one at --endpoint has")
	f.IntVar(&r.managers, "managers-per-fleet", 2, "the same for its instance managers")
	f.BoolVar(&r.noPredict, "no-prediction", false, "leave the simulator out")
	f.BoolVar(&r.json, "json", false, "print JSON: what was measured, and what was predicted")
	return c
}

// foundEndpoint stands for the server that every command finds.
const foundEndpoint = "found"

// comparison is what replay prints.
type comparison struct {
	Measured  *replay.Result   `json:"measured"`
	Predicted *simulate.Result `json:"predicted,omitempty"` // delays are of the clock too
	// ColdRatioError is predicted cold starts over measured ones, less 1; the
	// other leaves each function's first out.
	ColdRatioError float64 `json:"cold_ratio_error"`
	ColdAgainError float64 `json:"cold_again_error"`
	PredictedAgain int64   `json:"predicted_cold_again"`
	LeftOut        int     `json:"functions_left_out"`
	LeftOutShare   float64 `json:"invocations_left_out"` // share of all
	InstanceHours  float64 `json:"instance_hours"`       // measured, of the trace's time
	MaxInstances   int     `json:"max_instances"`
}

func (r *replaying) run(ctx context.Context, g *globals) error {
	o, err := r.options()
	if err != nil {
		return fail(exitUsage, "`thermocline replay --help` shows the flags", "%w", err)
	}
	w := r.workload
	w.minMemoryMB, w.seed = 128, r.seed
	t, err := w.load()
	if err != nil {
		return err
	}
	var c comparison
	t = r.fit(t, &c)
	if len(t.Functions) == 0 {
		return fail(exitUsage, "raise --max-rate, or lower --speed", "nothing of the trace is left below %g invocations per second", r.maxRate)
	}
	if err := o.Validate(t); err != nil {
		return fail(exitUsage, "", "%w", err)
	}
	seconds := float64(t.Minutes()) * 60 / r.speed
	fmt.Fprintf(g.env.stderr, "%d functions, %d invocations in %d minutes of the trace, %s of the clock; %d functions with %s of the invocations are left out\n",
		len(t.Functions), t.Invocations(0, t.Minutes()), t.Minutes(), time.Duration(seconds*float64(time.Second)).Round(time.Second), c.LeftOut, percent(c.LeftOutShare))
	left := r.measure(ctx, g, t, o, &c)
	if c.Measured == nil {
		return left
	}
	if !r.noPredict {
		if err := r.predict(ctx, g.env, t, &c); err != nil {
			return err
		}
	}
	if err := r.print(g.env, &c); err != nil {
		return err
	}
	return left // what could not be removed is worth an exit code, and not the figures
}

func (r *replaying) options() (replay.Options, error) {
	o := replay.Options{Seed: r.seed, Speed: r.speed, Warmup: r.warmup, Outstanding: r.outstanding}
	var err error
	if o.Arrivals, err = trace.ParseArrivals(r.arrivals); err != nil {
		return o, fmt.Errorf("--%w", err)
	}
	switch {
	case !(r.size > 0 && r.size <= 100):
		return o, fmt.Errorf("--size is more than 0 and at most 100, not %g", r.size)
	case !(r.maxRate >= 0):
		return o, fmt.Errorf("--max-rate is not negative")
	case r.memoryMB < 512:
		return o, fmt.Errorf("--memory-mb is at least 512, not %d", r.memoryMB)
	case r.managers < 1 || r.managers > 64:
		return o, fmt.Errorf("--managers-per-fleet is 1 to 64, not %d", r.managers)
	}
	return o, nil
}

// fit leaves the hottest functions out until the rest is no more than the
// machine is to take, and scales the memory.
func (r *replaying) fit(t *trace.Trace, c *comparison) *trace.Trace {
	all := t.Invocations(0, t.Minutes())
	left := all
	out := map[int]bool{}
	for _, f := range t.Hottest(len(t.Functions)) {
		if rate := float64(left) / float64(t.Minutes()) / 60 * r.speed; r.maxRate == 0 || rate <= r.maxRate {
			break
		}
		out[f] = true
		left -= t.Functions[f].Total
	}
	c.LeftOut = len(out)
	if all > 0 {
		c.LeftOutShare = float64(all-left) / float64(all)
	}
	fitted := t.Only(func(f int) bool { return !out[f] })
	largest := float64(r.instanceMB())
	for i := range fitted.Functions {
		f := &fitted.Functions[i]
		f.MemoryMB = float64(int(min(max(f.MemoryMB*r.size, 128), largest)))
	}
	return fitted
}

// instanceMB is the size of the server's instances.
func (r *replaying) instanceMB() int {
	return manager.InstanceMB(r.memoryMB / (2 * 2 * r.managers)) // half of it, over the managers of two fleets
}

// measure plays the trace, and removes what it has made. It has measured if
// c.Measured is not nil, whatever the error.
func (r *replaying) measure(ctx context.Context, g *globals, t *trace.Trace, o replay.Options, c *comparison) (err error) {
	s, stop, err := r.server(ctx, g)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	target, err := newTarget(ctx, s, t, r.runtimes)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer func() {
		if r.endpoint != "" {
			err = errors.Join(err, target.remove())
		}
		target.close()
	}()
	bar := newProgressBar(g.env, "deploying")
	err = target.deploy(ctx, t, bar.set)
	bar.clear()
	if err != nil {
		return s.explain(ctx, err)
	}
	counting, stopCounting := context.WithCancel(ctx)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		target.countInstances(counting, r.speed, c)
	}()
	bar = newProgressBar(g.env, "replaying")
	o.Progress = bar.set
	c.Measured, err = replay.Run(ctx, t, target, o)
	bar.clear()
	stopCounting()
	<-counted
	return err
}

// server is the server to play against, and what ends it.
func (r *replaying) server(ctx context.Context, g *globals) (server, func() error, error) {
	if r.endpoint != "" {
		s, err := g.server()
		if r.endpoint != foundEndpoint {
			s.Endpoint = strings.TrimSuffix(r.endpoint, "/")
		}
		if err == nil {
			fmt.Fprintf(g.env.stderr, "The keep-alives of %s are not scaled, unless its time_scale is %g: the prediction is for such a server.\n", s.Endpoint, r.speed)
		}
		return s, func() error { return nil }, err
	}
	dir, err := os.MkdirTemp("", "thermocline-replay-")
	if err != nil {
		return server{}, nil, err
	}
	cfg := defaultConfig(filepath.Join(dir, "data"), "replay-"+strconv.Itoa(os.Getpid()))
	cfg.Listen = "127.0.0.1:0"
	cfg.Storage.Sync = false
	cfg.Provider.MemoryMB = r.memoryMB
	cfg.ManagersPerFleet = r.managers
	cfg.TimeScale = r.speed
	cfg.Concurrency = max(cfg.Concurrency, r.outstanding)
	n, err := startNode(ctx, cfg, slog.New(slog.DiscardHandler)) // what fails is counted
	if err != nil {
		_ = os.RemoveAll(dir)
		return server{}, nil, err
	}
	stop := func() error { return errors.Join(n.stop(cfg.ShutdownDeadline), os.RemoveAll(dir)) }
	s, err := g.env.serverOf(cfg.Data)
	if err != nil {
		return s, nil, errors.Join(err, stop())
	}
	return s, stop, nil
}

// predict has the simulator play the same: the same arrivals and functions, the
// same memory and managers, and starts that take as long as they took.
func (r *replaying) predict(ctx context.Context, e *env, t *trace.Trace, c *comparison) error {
	o := simulate.Defaults()
	o.Policy, o.Seed, o.Warmup = simulate.Thermocline, r.seed, r.warmup
	o.Arrivals, _ = trace.ParseArrivals(r.arrivals) // checked already
	o.MemoryMB = r.instanceMB()
	o.Instances, o.Slots, o.Managers = r.memoryMB/o.MemoryMB, 4096, r.managers
	var err error
	if o.ColdStart, err = r.delay(c.Measured.FullDelay, c.Measured.PooledDelay); err != nil {
		return err
	}
	if o.PooledStart, err = r.delay(c.Measured.PooledDelay, c.Measured.FullDelay); err != nil {
		return err
	}
	bar := newProgressBar(e, "predicting")
	o.Progress = bar.set
	c.Predicted, err = simulate.Run(ctx, t, o)
	bar.clear()
	if err != nil {
		return err
	}
	p := c.Predicted
	for _, d := range []*float64{&p.StartDelayMean, &p.StartDelayP50, &p.StartDelayP99, &p.StartDelayP999, &p.StartDelayMax, &p.StartDelayMeanRare} {
		*d /= r.speed
	}
	if r.warmup == 0 { // each function's first is cold, and counted
		c.PredictedAgain = p.Cold - int64(p.Functions)
		c.ColdAgainError = excess(float64(c.PredictedAgain), float64(c.Measured.ColdAgain))
	}
	c.ColdRatioError = excess(p.ColdRatio, c.Measured.ColdRatio)
	return nil
}

func excess(predicted, measured float64) float64 {
	if measured == 0 {
		return 0
	}
	return predicted/measured - 1
}

// delay is a measured delay in the trace's time; of another kind when there was
// none of this.
func (r *replaying) delay(q, or replay.Quantiles) (simulate.Delay, error) {
	if q.Max == 0 {
		q = or
	}
	scaled := func(ms float64) time.Duration {
		return time.Duration(ms * r.speed * float64(time.Millisecond)).Round(time.Microsecond)
	}
	if q.P99 <= q.P50 {
		return simulate.Constant(scaled(q.P50)), nil
	}
	return simulate.ParseDelay(fmt.Sprintf("p50=%s,p99=%s", scaled(q.P50), scaled(q.P99)))
}

func (r *replaying) print(e *env, c *comparison) error {
	if r.json {
		if err := e.printJSON(c); err != nil {
			return err
		}
	} else if err := c.table(e); err != nil {
		return err
	}
	if c.Measured.Failed > 0 {
		return fail(exitFailed, "the errors are above", "%d of %d invocations failed", c.Measured.Failed, c.Measured.Requests)
	}
	return nil
}

// table writes what was measured and, if there is one, the prediction.
func (c *comparison) table(e *env) error {
	m, p := c.Measured, c.Predicted
	if p == nil {
		p = &simulate.Result{}
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := [][]string{
		{"invocations", count(m.Invocations), count(p.Invocations)},
		{"failed", count(m.Failed), count(p.Failed)},
		{"came-again", count(m.Retried), ""},
		{"cold", count(m.Cold), count(p.Cold)},
		{"cold-but-first", count(m.ColdAgain), count(c.PredictedAgain)},
		{"pooled", count(m.Pooled), count(p.Pooled)},
		{"full", count(m.Full), count(p.Full)},
		{"cold-ratio", percent(m.ColdRatio), percent(p.ColdRatio)},
		{"cold-ratio-rare", percent(m.ColdRatioRare), percent(p.ColdRatioRare)},
		{"fn-cold-p50", percent(m.FnColdP50), percent(p.FnColdP50)},
		{"fn-cold-p75", percent(m.FnColdP75), percent(p.FnColdP75)},
		{"start-delay-mean", ms(m.StartDelayMean), ms(p.StartDelayMean)},
		{"start-delay-p50", ms(m.StartDelayP50), ms(p.StartDelayP50)},
		{"start-delay-p99", ms(m.StartDelayP99), ms(p.StartDelayP99)},
		{"start-delay-p99.9", ms(m.StartDelayP999), ms(p.StartDelayP999)},
		{"start-delay-mean-rare", ms(m.StartDelayMeanRare), ms(p.StartDelayMeanRare)},
		{"instance-hours", fmt.Sprintf("%.2f", c.InstanceHours), fmt.Sprintf("%.2f", p.InstanceHours)},
		{"max-instances", strconv.Itoa(c.MaxInstances), strconv.Itoa(p.MaxInstances)},
		{"sent-late-p99", ms(m.Late.P99), ""},
	}
	header := "FIGURE MEASURED PREDICTED"
	if c.Predicted == nil {
		header = "FIGURE MEASURED"
		for i := range rows {
			rows[i] = rows[i][:2]
		}
	}
	if err := e.table(header, rows); err != nil {
		return err
	}
	if c.Predicted != nil {
		fmt.Fprintf(e.stdout, "\nThe predicted cold ratio is %s of the measured one's.\n", relative(c.ColdRatioError))
	}
	for text, n := range m.Failures {
		fmt.Fprintf(e.stderr, "%d × %s\n", n, printable(text))
	}
	return nil
}
