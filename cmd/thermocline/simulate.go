package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"thermocline/simulate"
	"thermocline/simulate/report"
	"thermocline/trace"
)

// simulation is the flags of simulate.
type simulation struct {
	invocations, durations, memory string
	minutes, functions             int
	from, to                       time.Duration
	minMemoryMB                    float64
	matchMean                      bool

	policies    []string
	instances   int
	slots       int
	memoryGB    float64
	frontends   int
	managers    int
	stateDelay  time.Duration
	stale       bool
	keepAlive   string
	coldStart   string
	pooledStart string
	arrivals    string
	warmup      time.Duration
	seeds       int
	seed        uint64
	lose        time.Duration
	burst       string
	parallel    int
	json        bool
	report      string
}

func newSimulateCmd(g *globals) *cobra.Command {
	s := &simulation{}
	c := &cobra.Command{
		Use:   "simulate --invocations FILE --durations FILE --memory FILE",
		Short: "Play a trace against this and other policies on virtual time",
		Long: `Play a trace against routing policies on virtual time, and print what came of it.

The trace has the format of the Azure Functions 2019 trace, plain or gzip. Of a
durations file alone (no --invocations) a synthetic trace is made. The policy
thermocline is the very code that the server runs. docs/simulate.md has the
model, every policy and every figure.`,
		Example: `  thermocline simulate --invocations invocations.csv.gz --durations durations.csv.gz --memory memory.csv.gz
  thermocline simulate … --policy thermocline,hiku --keep-alive tuned --frontends 16 --state-delay 1s --seeds 5 --json
  thermocline simulate --durations day.csv.gz --functions 1000 --report out/`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c.Context(), g.env) },
	}
	f := c.Flags()
	f.StringVar(&s.invocations, "invocations", "", "`file` with the invocations per minute")
	f.StringVar(&s.durations, "durations", "", "`file` with the functions' durations")
	f.StringVar(&s.memory, "memory", "", "`file` with the functions' memory")
	f.Float64Var(&s.minMemoryMB, "min-memory-mb", 128, "memory that a function has at least, in `MB`")
	f.BoolVar(&s.matchMean, "match-mean", false, "bend the durations' upper percentiles so that their means are the trace's")
	f.IntVar(&s.minutes, "minutes", 240, "length of a synthetic trace")
	f.IntVar(&s.functions, "functions", 0, "take only so many of the functions; 0 takes all")
	f.DurationVar(&s.from, "from", 0, "leave out what is before this time of the trace (whole minutes)")
	f.DurationVar(&s.to, "to", 0, "leave out what is after it; 0 is the end")
	f.StringSliceVar(&s.policies, "policy", simulate.Policies(), "policies, by commas")
	f.IntVar(&s.instances, "instances", 16, "machines")
	f.IntVar(&s.slots, "slots", 16, "invocations that run at once on one")
	f.Float64Var(&s.memoryGB, "memory-gb", 16, "memory of one for sandboxes, in `GB`")
	f.IntVar(&s.frontends, "frontends", 1, "frontends, to one of which each request comes")
	f.IntVar(&s.managers, "managers", 2, "instance managers of each fleet of thermocline")
	f.DurationVar(&s.stateDelay, "state-delay", 0, "how often frontends hear of each other and of the managers; 0: they know everything at once")
	f.BoolVar(&s.stale, "stale-baselines", false, "let --state-delay apply to the other policies too")
	f.StringVar(&s.keepAlive, "keep-alive", "10m", "of the other policies: a `duration`, unlimited, or tuned: the fewest cold starts within thermocline's idle memory")
	f.StringVar(&s.coldStart, "cold-start", "500ms", "what a start takes: a `duration`, percentiles (p50=80ms,p99=150ms), or a JSON file with them")
	f.StringVar(&s.pooledStart, "pooled-start", "10ms", "the same for a sandbox of the warming pool")
	f.StringVar(&s.arrivals, "arrivals", "uniform", "how calls are spread in a minute: uniform, poisson, or poisson-counts, which draws their number too")
	f.DurationVar(&s.warmup, "warmup", time.Hour, "what arrives before is not counted")
	f.IntVar(&s.seeds, "seeds", 1, "how many seeds, from --seed up")
	f.Uint64Var(&s.seed, "seed", 1, "the first seed")
	f.DurationVar(&s.lose, "lose-instance", 0, "when an instance dies; 0: never")
	f.StringVar(&s.burst, "burst", "", "multiply the calls of the hottest 1% of the functions: `FACTORx@START+LENGTH`")
	f.Lookup("burst").NoOptDefVal = "10x@90m+10m"
	f.IntVar(&s.parallel, "parallel", 0, "runs at once; 0: as many as there are processors")
	f.BoolVar(&s.json, "json", false, "print JSON: one object per policy and seed")
	f.StringVar(&s.report, "report", "", "write a page with tables and plots into this `directory`")
	return c
}

func (s *simulation) run(ctx context.Context, e *env) error {
	c, err := s.campaign()
	if err != nil {
		return fail(exitUsage, "`thermocline simulate --help` shows the flags", "%w", err)
	}
	t, err := s.load()
	if err != nil {
		return err
	}
	if c.Burst != nil {
		c.Burst.Functions = t.Hottest((len(t.Functions) + 99) / 100)
	}
	bar := newProgressBar(e, "simulating")
	c.Done = bar.set
	results, err := c.Run(ctx, t)
	bar.clear()
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return fail(exitUsage, "`thermocline simulate --help` shows the flags", "%w", err)
	}
	if s.report != "" {
		path, err := report.Write(s.report, "Routing policies, simulated", s.facts(t), results)
		if err != nil {
			return fail(exitFailed, "--report names a directory that can be written to", "%w", err)
		}
		fmt.Fprintf(e.stderr, "the report is %s\n", path)
	}
	if s.json {
		return e.printJSON(results)
	}
	return s.print(e, t, results)
}

// campaign makes the runs of the flags.
func (s *simulation) campaign() (*simulate.Campaign, error) {
	c := &simulate.Campaign{Options: simulate.Defaults(), Policies: s.policies, Parallel: s.parallel}
	c.Instances, c.Slots, c.Frontends, c.Managers = s.instances, s.slots, s.frontends, s.managers
	c.MemoryMB = int(math.Round(min(max(s.memoryGB, 0), 1e6) * 1024))
	c.StateDelay, c.StaleBaselines, c.Warmup, c.LoseInstance = s.stateDelay, s.stale, s.warmup, s.lose
	if len(s.policies) == 0 {
		return nil, fmt.Errorf("--policy names none; there are %s", strings.Join(simulate.Policies(), ", "))
	}
	for i, p := range s.policies {
		if !slices.Contains(simulate.Policies(), p) {
			return nil, fmt.Errorf("there is no policy %q; there are %s", p, strings.Join(simulate.Policies(), ", "))
		}
		if slices.Contains(s.policies[:i], p) {
			return nil, fmt.Errorf("--policy names %s twice", p)
		}
	}
	if s.seeds < 1 || s.seeds > 1000 {
		return nil, fmt.Errorf("--seeds is 1 to 1000, not %d", s.seeds)
	}
	for i := range s.seeds {
		c.Seeds = append(c.Seeds, s.seed+uint64(i))
	}
	var err error
	switch s.keepAlive {
	case "tuned":
		c.Tuned = true
	case "unlimited":
		c.KeepAlive = simulate.Forever
	default:
		if c.KeepAlive, err = time.ParseDuration(s.keepAlive); err != nil || c.KeepAlive < 0 {
			return nil, fmt.Errorf("--keep-alive is a duration like 10m, unlimited, or tuned, not %q", s.keepAlive)
		}
	}
	if c.ColdStart, err = delayOf(s.coldStart); err != nil {
		return nil, fmt.Errorf("--cold-start: %w", err)
	}
	if c.PooledStart, err = delayOf(s.pooledStart); err != nil {
		return nil, fmt.Errorf("--pooled-start: %w", err)
	}
	if c.Arrivals, err = trace.ParseArrivals(s.arrivals); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if s.burst != "" {
		if c.Burst, err = burstOf(s.burst); err != nil {
			return nil, fmt.Errorf("--burst: %w", err)
		}
	}
	return c, nil
}

// delayOf reads a distribution, or a file that has one.
func delayOf(text string) (simulate.Delay, error) {
	if !strings.HasSuffix(text, ".json") {
		return simulate.ParseDelay(text)
	}
	raw, err := os.ReadFile(text)
	if err != nil {
		return simulate.Delay{}, err
	}
	d, err := simulate.ParseDelayJSON(raw)
	if err != nil {
		return d, fmt.Errorf("%s: %w", text, err)
	}
	return d, nil
}

// burstOf reads 10x@90m+10m.
func burstOf(text string) (*trace.Burst, error) {
	factor, when, ok := strings.Cut(text, "x@")
	start, length, ok2 := strings.Cut(when, "+")
	f, err := strconv.ParseFloat(factor, 64)
	at, err2 := time.ParseDuration(start)
	long, err3 := time.ParseDuration(length)
	if !ok || !ok2 || err != nil || err2 != nil || err3 != nil || !(f >= 1 && f <= 1000) || at < 0 || long <= 0 {
		return nil, fmt.Errorf("%q is not like 10x@90m+10m", text)
	}
	return &trace.Burst{Factor: f, From: at, To: at + long}, nil
}

// load reads the trace, or makes one, and cuts it.
func (s *simulation) load() (*trace.Trace, error) {
	const hint = "docs/simulate.md names the columns that the files need"
	open := func(name string) (*trace.File, func(), error) {
		if name == "" {
			return nil, func() {}, nil
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, fail(exitUsage, "", "%w", err)
		}
		return &trace.File{Name: name, Reader: f}, func() { _ = f.Close() }, nil
	}
	if s.invocations == "" && s.durations == "" {
		return nil, fail(exitUsage, "give --invocations, --durations and --memory, or --durations alone for a synthetic trace", "there is no trace")
	}
	files := make([]*trace.File, 3)
	for i, name := range []string{s.invocations, s.durations, s.memory} {
		f, done, err := open(name)
		if err != nil {
			return nil, err
		}
		defer done()
		files[i] = f
	}
	var t *trace.Trace
	var err error
	o := trace.Reading{MinMemoryMB: s.minMemoryMB, MatchMean: s.matchMean}
	if files[0] == nil {
		if s.minutes < 1 || s.minutes > 20160 {
			return nil, fail(exitUsage, "", "--minutes is 1 to 20160, not %d", s.minutes)
		}
		t, err = trace.Synthesize(*files[1], trace.Synthetic{Seed: s.seed, Minutes: s.minutes, Functions: s.functions, Reading: o})
	} else {
		t, err = trace.Read(*files[0], files[1], files[2], o)
	}
	if err != nil {
		return nil, fail(exitFailed, hint, "%w", err)
	}
	if s.functions < 0 {
		return nil, fail(exitUsage, "", "--functions is not negative")
	}
	if s.functions > 0 {
		t = t.Sample(s.functions)
	}
	from, to := int(s.from/time.Minute), t.Minutes()
	if s.to > 0 {
		to = min(to, int(s.to/time.Minute))
	}
	if from < 0 || from >= to {
		return nil, fail(exitUsage, "", "--from %s and --to %s leave nothing of %d minutes", s.from, s.to, t.Minutes())
	}
	if from > 0 || to < t.Minutes() {
		t = t.Slice(from, to)
	}
	return t, nil
}

// facts are the lines at the head of a report.
func (s *simulation) facts(t *trace.Trace) []report.Fact {
	facts := []report.Fact{
		{Name: "trace", Value: fmt.Sprintf("%d functions, %d invocations in %d minutes", len(t.Functions), t.Invocations(0, t.Minutes()), t.Minutes())},
		{Name: "cluster", Value: fmt.Sprintf("%d instances of %g GB and %d slots", s.instances, s.memoryGB, s.slots)},
		{Name: "frontends", Value: fmt.Sprintf("%d, state %s old, for the baselines too: %t", s.frontends, s.stateDelay, s.stale)},
		{Name: "starts", Value: fmt.Sprintf("full %s, pooled %s", s.coldStart, s.pooledStart)},
		{Name: "arrivals", Value: fmt.Sprintf("%s; %s of warm-up; seeds from %d to %d", s.arrivals, s.warmup, s.seed, s.seed+uint64(s.seeds)-1)},
		{Name: "keep-alive of the baselines", Value: s.keepAlive},
	}
	if s.burst != "" {
		facts = append(facts, report.Fact{Name: "burst", Value: s.burst})
	}
	if s.lose > 0 {
		facts = append(facts, report.Fact{Name: "an instance is lost", Value: "at " + s.lose.String()})
	}
	return facts
}

// print writes the table: the mean of the seeds of each policy.
func (s *simulation) print(e *env, t *trace.Trace, results []*simulate.Result) error {
	fmt.Fprintf(e.stdout, "%d functions, %d invocations in %d minutes; %d instances × %g GB × %d slots; %d seeds; arrivals %s\n\n",
		len(t.Functions), t.Invocations(0, t.Minutes()), t.Minutes(), s.instances, s.memoryGB, s.slots, s.seeds, s.arrivals)
	var rows [][]string
	for _, r := range simulate.Mean(results) {
		keep := time.Duration(r.KeepAlive * float64(time.Second)).Round(time.Second).String()
		if r.KeepAlive < 0 {
			keep = ""
		}
		rows = append(rows, []string{
			r.Policy, keep, percent(r.ColdRatio), percent(r.ColdRatioRare), percent(r.FnColdP75),
			ms(r.StartDelayMean), ms(r.StartDelayP99), ms(r.StartDelayP999), ms(r.StartDelayMeanRare),
			fmt.Sprintf("%.2f", r.SlowdownP99), fmt.Sprintf("%.0f", r.IdleGBs), fmt.Sprintf("%.1f", r.InstanceHours),
			fmt.Sprintf("%.3f", r.ChurnPerS), strconv.FormatInt(r.Failed, 10),
		})
	}
	if err := e.table("POLICY KEEP-ALIVE COLD RARE FN-P75 MEAN P99 P99.9 RARE-MEAN SLOW-P99 IDLE-GB·S INST-H STARTS/S FAILED", rows); err != nil {
		return err
	}
	return s.printEvents(e, results)
}

// printEvents writes what a burst or a loss did.
func (s *simulation) printEvents(e *env, results []*simulate.Result) error {
	var bursts, losses [][]string
	for _, r := range results {
		seed := strconv.FormatUint(r.Seed, 10)
		if b := r.Burst; b != nil {
			bursts = append(bursts, []string{r.Policy, seed, percent(b.WithoutColdRatioRare), percent(r.ColdRatioRare), relative(b.ColdRatioRareChange),
				ms(b.WithoutDelayMeanRare), ms(r.StartDelayMeanRare), relative(b.StartDelayRareChange)})
		}
		if l := r.Loss; l != nil {
			recovered := fmt.Sprintf("%.0fs", l.RecoveryS)
			if l.RecoveryS < 0 {
				recovered = "never"
			}
			losses = append(losses, []string{r.Policy, seed, strconv.Itoa(l.Warm), strconv.Itoa(l.Lost), percent(l.LostShare),
				strconv.FormatInt(l.ExtraCold, 10), recovered, strconv.FormatInt(r.Retried, 10)})
		}
	}
	if bursts != nil {
		fmt.Fprintf(e.stdout, "\nThe rare functions without and with the burst:\n\n")
		if err := e.table("POLICY SEED COLD COLD-BURST CHANGE MEAN MEAN-BURST CHANGE", bursts); err != nil {
			return err
		}
	}
	if losses != nil {
		fmt.Fprintf(e.stdout, "\nThe loss of an instance:\n\n")
		return e.table("POLICY SEED WARM LOST SHARE EXTRA-COLD RECOVERED RETRIED", losses)
	}
	return nil
}

func percent(v float64) string  { return strconv.FormatFloat(v*100, 'g', 4, 64) + "%" }
func relative(v float64) string { return fmt.Sprintf("%+.1f%%", v*100) }
func ms(v float64) string       { return strconv.FormatFloat(v, 'f', 2, 64) + "ms" }

// progressBar is a bar on a terminal's standard error.
type progressBar struct {
	e     *env
	label string
	mu    sync.Mutex
	shown int
}

func newProgressBar(e *env, label string) *progressBar {
	return &progressBar{e: e, label: label, shown: -1}
}

// set shows a share of the work, 0 to 1.
func (p *progressBar) set(share float64) {
	const width = 40
	p.mu.Lock()
	defer p.mu.Unlock()
	now := int(share * 1000)
	if !p.e.terminal || now <= p.shown {
		return
	}
	p.shown = now
	done := int(share * width)
	fmt.Fprintf(p.e.stderr, "\r%s [%s%s] %5.1f%%", p.label, strings.Repeat("█", done), strings.Repeat("·", width-done), share*100)
}

func (p *progressBar) clear() {
	if p.e.terminal {
		fmt.Fprint(p.e.stderr, "\r\x1b[K")
	}
}
