package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/simulate"
	"thermocline/trace"
)

// constant is a function that always runs so long.
func constant(t *testing.T, id string, mb float64, ms float64) trace.Function {
	t.Helper()
	d, err := trace.NewDurations([7]float64{ms, ms, ms, ms, ms, ms, ms}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return trace.Function{ID: id, MemoryMB: mb, Duration: d}
}

// workload makes a trace; counts are calls by minute, of each function.
func workload(t *testing.T, functions []trace.Function, counts ...[]int) *trace.Trace {
	t.Helper()
	minutes := 0
	var all [][]trace.Count
	for _, c := range counts {
		minutes = max(minutes, len(c))
		var f []trace.Count
		for m, n := range c {
			if n > 0 {
				f = append(f, trace.Count{Minute: m, N: n})
			}
		}
		all = append(all, f)
	}
	w, err := trace.New(functions, minutes, all)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func small(policy string) simulate.Options {
	o := simulate.Defaults()
	o.Policy, o.Instances, o.Slots, o.MemoryMB, o.Warmup, o.Check = policy, 4, 4, 1024, 0, true
	return o
}

func run(t *testing.T, w *trace.Trace, o simulate.Options) *simulate.Result {
	t.Helper()
	r, err := simulate.Run(t.Context(), w, o)
	if err != nil {
		t.Fatalf("%s: %v", o.Policy, err)
	}
	return r
}

// Every invocation ends exactly once and nothing is ever overfull, whatever the
// policy, the cluster and the trace.
func TestNothingIsLostOrOverfull(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for _, policy := range simulate.Policies() {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				rnd := rand.New(rand.NewPCG(seed, 99))
				w := randomWorkload(t, rnd)
				o := small(policy)
				o.Seed, o.Instances, o.Slots = seed, 1+rnd.IntN(6), 1+rnd.IntN(5)
				if policy == simulate.Thermocline {
					o.Instances = max(2, o.Instances)
				}
				o.MemoryMB = 200 + rnd.IntN(2000)
				o.Frontends, o.StateDelay = 1+rnd.IntN(4), time.Duration(rnd.IntN(3))*time.Second
				o.StaleBaselines = rnd.IntN(2) == 0
				o.KeepAlive = time.Duration(rnd.IntN(20)) * time.Minute
				o.Arrivals = trace.Arrivals(rnd.IntN(3))
				if rnd.IntN(2) == 0 {
					o.LoseInstance = time.Duration(1+rnd.IntN(20)) * time.Minute
				}
				if rnd.IntN(2) == 0 {
					o.Burst = &trace.Burst{Functions: w.Hottest(2), Factor: 10, From: 5 * time.Minute, To: 7 * time.Minute}
				}
				r := run(t, w, o)
				if r.Invocations+r.Failed != r.Requests {
					t.Errorf("seed %d: %d completed and %d failed of %d", seed, r.Invocations, r.Failed, r.Requests)
				}
				if r.Cold != r.Pooled+r.Full || r.Cold > r.Invocations || r.ColdRare > r.Cold {
					t.Errorf("seed %d: counts do not fit: %+v", seed, r)
				}
				if o.Arrivals != trace.PoissonCounts && o.Burst == nil && r.Requests != w.Invocations(0, w.Minutes()) {
					t.Errorf("seed %d: %d requests of %d", seed, r.Requests, w.Invocations(0, w.Minutes()))
				}
			}
		})
	}
}

func randomWorkload(t *testing.T, rnd *rand.Rand) *trace.Trace {
	t.Helper()
	var functions []trace.Function
	var counts [][]int
	for f := range 2 + rnd.IntN(8) {
		functions = append(functions, constant(t, fmt.Sprintf("f%d", f), float64(10+rnd.IntN(300)), float64(rnd.IntN(20_000))))
		c := make([]int, 25)
		for m := range c {
			if rnd.IntN(3) == 0 {
				c[m] = rnd.IntN(1 + rnd.IntN(30))
			}
		}
		counts = append(counts, c)
	}
	return workload(t, functions, counts...)
}

// Equal options give equal bytes, one run after the other and side by side.
func TestRunsRepeat(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	w := randomWorkload(t, rnd)
	campaign := func(parallel int) []byte {
		o := small("")
		o.Frontends, o.StateDelay, o.StaleBaselines, o.LoseInstance = 3, time.Second, true, 12*time.Minute
		o.Check = false
		c := simulate.Campaign{Options: o, Policies: simulate.Policies(), Seeds: []uint64{1, 2}, Tuned: true, Parallel: parallel}
		results, err := c.Run(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(results)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	first := campaign(1)
	if again := campaign(4); !bytes.Equal(first, again) {
		t.Errorf("the same campaign gives\n%s\nand\n%s", first, again)
	}
}

// figures is what the worked examples look at.
type figures struct {
	Invocations, Cold int64
	IdleGBs           float64
	DelayMax          float64
}

// One function of 1,024 MB, called once in each of the first minutes, of 1 s;
// a start takes 500 ms. All is known by hand: a call at a time in its minute.
func TestOneFunctionByHand(t *testing.T) {
	w := workload(t, []trace.Function{constant(t, "f", 1024, 1000)}, []int{1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	var at []float64 // seconds
	s := w.Stream(trace.Options{Seed: 1})
	for in, ok := s.Next(); ok; in, ok = s.Next() {
		at = append(at, in.At.Seconds())
	}
	end := 18 * 60.0
	// Idle from the end of the first to the second, ten minutes after the
	// second, and from the third to the end: a cold call ends 1.5 s after it
	// arrived, a warm one 1 s.
	idle := (at[1] - at[0] - 1.5) + 600 + (end - at[2] - 1.5)
	for _, policy := range []string{"consistent-hash", "ch-bl", "openwhisk", "hiku", "greedy-dual"} {
		o := small(policy)
		r := run(t, w, o)
		got := figures{r.Invocations, r.Cold, r.IdleGBs, r.StartDelayMax}
		want := figures{3, 2, idle, 500}
		if diff := cmp.Diff(want, got, approximately(1e-6)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", policy, diff)
		}
	}
}

func approximately(part float64) cmp.Option {
	return cmp.Comparer(func(a, b float64) bool {
		d := a - b
		return d <= part*max(1, a, b) && -d <= part*max(1, a, b)
	})
}

// With a keep-alive of nothing every call is a cold start; with one without an
// end only the first, at each machine that is asked.
func TestKeepAliveBounds(t *testing.T) {
	counts := make([]int, 60)
	for m := range counts {
		counts[m] = 1
	}
	w := workload(t, []trace.Function{constant(t, "f", 100, 100)}, counts)
	for _, tt := range []struct {
		policy string
		keep   time.Duration
		cold   int64
	}{
		{"hiku", 0, 60}, {"hiku", simulate.Forever, 1}, {"openwhisk", 0, 60}, {"openwhisk", simulate.Forever, 1},
		{"consistent-hash", simulate.Forever, 1}, {"greedy-dual", simulate.Forever, 1},
		{"random", 0, 60}, {"random", simulate.Forever, 4}, {"least-loaded", simulate.Forever, 4},
	} {
		o := small(tt.policy)
		o.KeepAlive = tt.keep
		if r := run(t, w, o); r.Cold != tt.cold {
			t.Errorf("%s with %s: %d cold starts, want %d", tt.policy, tt.keep, r.Cold, tt.cold)
		}
	}
}

// Two slots, and three invocations of 10 minutes in the first minute: those
// that go to a full machine wait there for a slot.
func TestQueueing(t *testing.T) {
	w := workload(t, []trace.Function{constant(t, "f", 100, 600_000)}, append([]int{5}, make([]int, 30)...))
	o := small("consistent-hash")
	o.Slots = 2
	r := run(t, w, o)
	// Two start at once, two after the first two, one after these: the last
	// waits for about twenty minutes, and finds a warm sandbox.
	if r.Cold != 2 || r.StartDelayMax < 19*60_000 || r.StartDelayMax > 21*60_000 {
		t.Errorf("%d cold starts and a delay of up to %.0f ms", r.Cold, r.StartDelayMax)
	}
	o.Policy = "ch-bl" // spread over four machines: 5 slots there are
	if r := run(t, w, o); r.StartDelayMax != 500 {
		t.Errorf("ch-bl: a delay of %.0f ms, want the start's", r.StartDelayMax)
	}
	o.Policy = "openwhisk"
	if r := run(t, w, o); r.StartDelayMax != 500 {
		t.Errorf("openwhisk: a delay of %.0f ms, want the start's", r.StartDelayMax)
	}
}

// Memory for two sandboxes and three functions in turn: the least recently used
// goes, so that each call finds its function gone.
func TestEviction(t *testing.T) {
	functions := []trace.Function{constant(t, "a", 400, 10), constant(t, "b", 400, 10), constant(t, "c", 400, 10)}
	counts := [][]int{make([]int, 30), make([]int, 30), make([]int, 30)}
	for m := range 30 {
		counts[m%3][m] = 1
	}
	w := workload(t, functions, counts...)
	o := small("consistent-hash")
	o.Instances, o.KeepAlive = 1, simulate.Forever
	if r := run(t, w, o); r.Cold != 30 {
		t.Errorf("%d cold starts of 30", r.Cold)
	}
}

// Greedy-Dual keeps the function that is called often, where LRU lets it go:
// two small, rare ones pass by between its calls.
func TestGreedyDualKeepsTheFrequent(t *testing.T) {
	functions := []trace.Function{constant(t, "often", 400, 1)}
	counts := [][]int{make([]int, 40)}
	for i := range 20 {
		functions = append(functions, constant(t, fmt.Sprintf("rare%d", i), 400, 1))
		c := make([]int, 40)
		c[20+i] = 1
		counts = append(counts, c)
	}
	for m := range 20 {
		counts[0][m] = 10
	}
	counts[0][39] = 1
	w := workload(t, functions, counts...)
	o := small("consistent-hash")
	o.Instances, o.KeepAlive = 1, simulate.Forever
	if r := run(t, w, o); r.Cold != 22 {
		t.Errorf("LRU: %d cold starts, want 22", r.Cold)
	}
	o.Policy = "greedy-dual"
	if r := run(t, w, o); r.Cold != 21 {
		t.Errorf("Greedy-Dual: %d cold starts, want 21", r.Cold)
	}
}

// A function called every 20 minutes: with a fixed keep-alive of ten every call
// is cold; the histogram knows after some and starts a sandbox in time.
func TestHybridHistogramStartsAhead(t *testing.T) {
	counts := make([]int, 600)
	for m := 0; m < len(counts); m += 20 {
		counts[m] = 1
	}
	w := workload(t, []trace.Function{constant(t, "timer", 128, 1000)}, counts)
	fixed := run(t, w, small("openwhisk"))
	hybrid := run(t, w, small("hybrid-histogram"))
	if fixed.Cold != 30 {
		t.Errorf("fixed: %d cold starts of 30", fixed.Cold)
	}
	// It believes the histogram after five idle times.
	if hybrid.Cold > 7 || hybrid.Cold < 5 {
		t.Errorf("hybrid: %d cold starts", hybrid.Cold)
	}
	if hybrid.IdleGBs > fixed.IdleGBs*1.2 {
		t.Errorf("hybrid holds %.0f GB·s, fixed %.0f", hybrid.IdleGBs, fixed.IdleGBs)
	}
}

// A stale view sees no idle sandbox that is younger than the delay: Hiku then
// goes by load.
func TestStaleBaselines(t *testing.T) {
	counts := make([]int, 60)
	for m := range counts {
		counts[m] = 30
	}
	w := workload(t, []trace.Function{constant(t, "f", 64, 200)}, counts)
	o := small("hiku")
	fresh := run(t, w, o)
	o.StateDelay, o.Frontends = 10*time.Second, 4
	if same := run(t, w, o); same.Cold != fresh.Cold {
		t.Errorf("the delay changes Hiku without --stale-baselines: %d and %d cold starts", fresh.Cold, same.Cold)
	}
	o.StaleBaselines = true
	if stale := run(t, w, o); stale.Cold < fresh.Cold {
		t.Errorf("%d cold starts with a stale view, %d with a fresh one", stale.Cold, fresh.Cold)
	}
}

// A machine dies under ten invocations that run for ten minutes: they run again
// elsewhere, once.
func TestLoss(t *testing.T) {
	for _, policy := range []string{"consistent-hash", simulate.Thermocline} {
		w := workload(t, []trace.Function{constant(t, "f", 64, 600_000)}, append([]int{4}, make([]int, 40)...))
		o := small(policy)
		o.Instances, o.LoseInstance = 4, 5*time.Minute
		r := run(t, w, o)
		if r.Retried == 0 || r.Failed != 0 || r.Invocations != 4 {
			t.Errorf("%s: %d retried, %d failed, %d completed", policy, r.Retried, r.Failed, r.Invocations)
		}
		if r.StartDelayMax < 4*60_000 {
			t.Errorf("%s: what ran again began %.0f ms after it arrived", policy, r.StartDelayMax)
		}
		if r.Loss == nil || r.Loss.AtS != 300 {
			t.Errorf("%s: the loss is %+v", policy, r.Loss)
		}
	}
}

// The last machine dies: nothing can be run any more, and all fail.
func TestLossOfTheLastMachine(t *testing.T) {
	w := workload(t, []trace.Function{constant(t, "f", 64, 10)}, []int{5, 5, 5, 5, 5, 5})
	o := small("hiku")
	o.Instances, o.LoseInstance = 1, 3*time.Minute
	r := run(t, w, o)
	if r.Invocations != 15 || r.Failed != 15 {
		t.Errorf("%d completed, %d failed", r.Invocations, r.Failed)
	}
}

// A function larger than an instance fails, and nothing else does.
func TestTooLarge(t *testing.T) {
	for _, policy := range simulate.Policies() {
		w := workload(t, []trace.Function{constant(t, "huge", 5000, 10), constant(t, "f", 64, 10)}, []int{3, 3}, []int{3, 3})
		if r := run(t, w, small(policy)); r.Failed != 6 || r.Invocations != 6 {
			t.Errorf("%s: %d failed, %d completed", policy, r.Failed, r.Invocations)
		}
	}
}

// Thermocline finds warm what is called again soon, serves cold starts from the
// warming pool once there is one, and holds no more instances than it needs.
func TestThermocline(t *testing.T) {
	functions := []trace.Function{constant(t, "often", 128, 100)}
	counts := [][]int{make([]int, 60)}
	for m := range 60 {
		counts[0][m] = 30
	}
	for i := range 30 {
		functions = append(functions, constant(t, fmt.Sprintf("once%d", i), 128, 100))
		c := make([]int, 60)
		c[5+i] = 1
		counts = append(counts, c)
	}
	w := workload(t, functions, counts...)
	o := small(simulate.Thermocline)
	o.Instances, o.Slots, o.MemoryMB = 8, 16, 4096
	r := run(t, w, o)
	if r.ColdRatio > 0.05 || r.Pooled < 10 {
		t.Errorf("%.3f cold, %d pooled of %d", r.ColdRatio, r.Pooled, r.Cold)
	}
	if r.MaxInstances > 5 || r.InstanceHours > 4.5 {
		t.Errorf("%d instances, %.1f hours", r.MaxInstances, r.InstanceHours)
	}
	if r.ClassChanges < 1 {
		t.Errorf("nothing was promoted")
	}
	// Frontends that hear of each other late decide nearly the same.
	o.Frontends, o.StateDelay = 4, time.Second
	stale := run(t, w, o)
	if stale.ColdRatio > 2*r.ColdRatio+0.01 {
		t.Errorf("%.3f cold with a delay, %.3f without", stale.ColdRatio, r.ColdRatio)
	}
	if stale.MessagesPerRequest <= 0 || stale.StateBytes <= 0 {
		t.Errorf("no state: %+v", stale)
	}
}

// The burst leaves the others' invocations as they are, and is reported with
// the run without it.
func TestBurst(t *testing.T) {
	counts := [][]int{make([]int, 40), make([]int, 40)}
	for m := range 40 {
		counts[0][m] = 20
		if m%9 == 0 {
			counts[1][m] = 1
		}
	}
	w := workload(t, []trace.Function{constant(t, "hot", 100, 100), constant(t, "rare", 100, 100)}, counts...)
	o := small("")
	o.Burst = &trace.Burst{Functions: w.Hottest(1), Factor: 10, From: 20 * time.Minute, To: 25 * time.Minute}
	c := simulate.Campaign{Options: o, Policies: []string{"hiku"}, Seeds: []uint64{1}}
	results, err := c.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if r.Requests != 40*20+5+5*20*9 || r.InvocationsRare != 5 {
		t.Errorf("%d requests, %d rare", r.Requests, r.InvocationsRare)
	}
	if r.Burst == nil || r.Burst.WithoutColdRatioRare != 0.2 || r.Burst.Functions != 1 || r.Burst.ForS != 300 {
		t.Errorf("the burst is %+v", r.Burst)
	}
}

// Every function has a sandbox when a machine dies: those on it are lost, and
// the cold starts of their functions are over once each was called.
func TestRecovery(t *testing.T) {
	var functions []trace.Function
	var counts [][]int
	for i := range 40 {
		functions = append(functions, constant(t, fmt.Sprintf("f%d", i), 20, 10))
		c := make([]int, 60)
		for m := range c {
			c[m] = 1
		}
		counts = append(counts, c)
	}
	w := workload(t, functions, counts...)
	o := small("")
	o.LoseInstance = 30 * time.Minute
	c := simulate.Campaign{Options: o, Policies: []string{"consistent-hash"}, Seeds: []uint64{1}}
	results, err := c.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	l := results[0].Loss
	if l.Warm != 40 || l.Lost == 0 || l.Lost > 30 || l.ExtraCold != int64(l.Lost) || l.RecoveryS < 0 || l.RecoveryS > 120 {
		t.Errorf("the loss is %+v", l)
	}
}

// Tuning finds a keep-alive whose idle memory stays within ours, and with fewer
// cold starts than a shorter one.
func TestTuning(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	w := randomWorkload(t, rnd)
	c := simulate.Campaign{Options: small(""), Policies: []string{"hiku", simulate.Thermocline}, Seeds: []uint64{1, 2}, Tuned: true}
	results, err := c.Run(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for s := range 2 {
		hiku, ours := results[s], results[2+s]
		if hiku.Policy != "hiku" || ours.Policy != simulate.Thermocline || hiku.Seed != ours.Seed {
			t.Fatalf("the order is %s %d, %s %d", hiku.Policy, hiku.Seed, ours.Policy, ours.Seed)
		}
		if hiku.Tuning == nil || hiku.Tuning.BudgetGBs != ours.IdleGBs || hiku.IdleGBs > ours.IdleGBs || hiku.Tuning.Runs < 5 {
			t.Errorf("hiku holds %.1f GB·s of %.1f after %+v", hiku.IdleGBs, ours.IdleGBs, hiku.Tuning)
		}
		if ours.KeepAlive != -1 || ours.Tuning != nil {
			t.Errorf("thermocline: keep-alive %v, tuning %v", ours.KeepAlive, ours.Tuning)
		}
		o := small("hiku")
		o.Seed, o.KeepAlive = hiku.Seed, time.Duration(hiku.KeepAlive/2*float64(time.Second))
		if shorter := run(t, w, o); shorter.Cold < hiku.Cold {
			t.Errorf("half of %v s has %d cold starts, it %d", hiku.KeepAlive, shorter.Cold, hiku.Cold)
		}
	}
}

// The keys that others read.
func TestKeys(t *testing.T) {
	w := workload(t, []trace.Function{constant(t, "f", 64, 10)}, []int{5, 5})
	raw, err := json.Marshal(run(t, w, small("hiku")))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields(`policy seed keep_alive_s cold_ratio cold_ratio_rare fn_cold_p50 fn_cold_p75
		start_delay_ms_mean start_delay_ms_p50 start_delay_ms_p99 start_delay_ms_p999 start_delay_ms_mean_rare slowdown_p99
		idle_gb_s instance_hours churn_per_s class_changes state_bytes messages_per_request`) {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestInterrupted(t *testing.T) {
	w := workload(t, []trace.Function{constant(t, "f", 64, 10)}, []int{5, 5})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulate.Run(ctx, w, small("hiku")); !errors.Is(err, context.Canceled) {
		t.Errorf("a run gave %v", err)
	}
	c := simulate.Campaign{Options: small(""), Policies: simulate.Policies(), Seeds: []uint64{1, 2}, Tuned: true}
	if _, err := c.Run(ctx, w); !errors.Is(err, context.Canceled) {
		t.Errorf("a campaign gave %v", err)
	}
}

func TestValidate(t *testing.T) {
	w := workload(t, []trace.Function{constant(t, "f", 64, 10)}, []int{5, 5})
	for name, change := range map[string]func(*simulate.Options){
		"policy":    func(o *simulate.Options) { o.Policy = "nothing" },
		"instances": func(o *simulate.Options) { o.Instances = 0 },
		"fleets":    func(o *simulate.Options) { o.Policy, o.Instances = simulate.Thermocline, 1 },
		"slots":     func(o *simulate.Options) { o.Slots = -1 },
		"memory":    func(o *simulate.Options) { o.MemoryMB = 0 },
		"frontends": func(o *simulate.Options) { o.Frontends = 1000 },
		"managers":  func(o *simulate.Options) { o.Managers = 0 },
		"delay":     func(o *simulate.Options) { o.StateDelay = time.Microsecond },
		"keep":      func(o *simulate.Options) { o.KeepAlive = -1 },
		"warmup":    func(o *simulate.Options) { o.Warmup = 2 * time.Minute },
		"loss":      func(o *simulate.Options) { o.LoseInstance = 2 * time.Minute },
	} {
		o := small("hiku")
		change(&o)
		if _, err := simulate.Run(t.Context(), w, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDelay(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"500ms", "500ms"}, {"p50=80ms,p99=150ms", "p50=80ms,p99=150ms"}, {"p999=1s,min=0s,p50=10ms", "p0=0s,p50=10ms,p99.9=1s"},
	} {
		d, err := simulate.ParseDelay(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if d.String() != tt.want {
			t.Errorf("%s is %s", tt.text, d)
		}
		if again, err := simulate.ParseDelay(d.String()); err != nil || again.String() != d.String() {
			t.Errorf("%s is not read again: %v", d, err)
		}
	}
	for _, text := range []string{"", "fast", "-1s", "p50=2s,p99=1s", "p101=1s", "p50=", "2h", "pNaN=1s"} {
		if d, err := simulate.ParseDelay(text); err == nil {
			t.Errorf("%q is %s", text, d)
		}
	}
	d, err := simulate.ParseDelayJSON([]byte(`{"p50_ms": 80, "p99_ms": 150.5, "n": 100, "what": "start"}`))
	if err != nil || d.String() != "p50=80ms,p99=150.5ms" {
		t.Errorf("JSON: %s, %v", d, err)
	}
	for _, raw := range []string{``, `[]`, `{}`, `{"p50_ms": -1}`, `{"p50_ms": 9, "p99_ms": 1}`} {
		if d, err := simulate.ParseDelayJSON([]byte(raw)); err == nil {
			t.Errorf("%q is %s", raw, d)
		}
	}
	half, _ := simulate.ParseDelay("min=0s,max=1s")
	if m := half.Mean(); m < 499*time.Millisecond || m > 501*time.Millisecond {
		t.Errorf("the mean is %s", m)
	}
}
