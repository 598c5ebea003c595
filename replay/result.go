package replay

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"thermocline"
	"thermocline/trace"
)

// Result is what was measured. The fields that simulate.Result has too have its
// names and meanings; only the invocations after the warm-up count. Delays are
// of the clock, not of the trace: from sending a request to its answer, less
// the function's run, so that what the way there and back takes is in them.
type Result struct {
	Policy   string  `json:"policy"` // "measured"
	Seed     uint64  `json:"seed"`
	Arrivals string  `json:"arrivals"`
	Speed    float64 `json:"speed"`
	// MeasuredS is the measured part of the trace, in its time.
	MeasuredS float64 `json:"measured_s"`

	Requests        int64 `json:"requests"` // of the whole trace
	Invocations     int64 `json:"invocations"`
	InvocationsRare int64 `json:"invocations_rare"`
	Cold            int64 `json:"cold"`
	ColdRare        int64 `json:"cold_rare"`
	// ColdAgain are the cold starts but each function's first of the whole
	// replay.
	ColdAgain int64 `json:"cold_again"`
	Pooled    int64 `json:"pooled"`
	Full      int64 `json:"full"`
	Failed    int64 `json:"failed"`
	// Retried is how often requests came again because there was no room, in the
	// whole trace.
	Retried   int64 `json:"retried"`
	Functions int   `json:"functions"`

	ColdRatio     float64 `json:"cold_ratio"`
	ColdRatioRare float64 `json:"cold_ratio_rare"`
	FnColdP50     float64 `json:"fn_cold_p50"`
	FnColdP75     float64 `json:"fn_cold_p75"`

	StartDelayMean     float64 `json:"start_delay_ms_mean"`
	StartDelayP50      float64 `json:"start_delay_ms_p50"`
	StartDelayP99      float64 `json:"start_delay_ms_p99"`
	StartDelayP999     float64 `json:"start_delay_ms_p999"`
	StartDelayMax      float64 `json:"start_delay_ms_max"`
	StartDelayMeanRare float64 `json:"start_delay_ms_mean_rare"`
	SlowdownP50        float64 `json:"slowdown_p50"`
	SlowdownP99        float64 `json:"slowdown_p99"`
	SlowdownP999       float64 `json:"slowdown_p999"`

	// PooledDelay and FullDelay are the delays of these starts alone.
	PooledDelay Quantiles `json:"pooled_delay_ms"`
	FullDelay   Quantiles `json:"full_delay_ms"`
	// Late is how long after its time an invocation was sent.
	Late Quantiles `json:"late_ms"`
	// Failures has the first few errors, and how often each came.
	Failures map[string]int64 `json:"failures,omitempty"`
}

// Quantiles are of times in ms; zero when there were none.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// maxFailures bounds the kinds of errors that are kept.
const maxFailures = 16

// meter counts. It is safe for concurrent use.
type meter struct {
	t *trace.Trace
	o Options

	mu       sync.Mutex
	requests int64
	inv      []int64 // by function
	cold     []int64
	first    []bool // the function had its first cold start
	again    int64
	pooled   int64
	failures map[string]int64
	fails    int64
	retried  int64
	delays   []float64 // ms
	rare     []float64 // of these, the rare functions'
	slow     []float64
	byKind   map[thermocline.StartKind][]float64
	late     []float64
}

func newMeter(t *trace.Trace, o Options) *meter {
	n := len(t.Functions)
	return &meter{
		t: t, o: o, inv: make([]int64, n), cold: make([]int64, n), first: make([]bool, n),
		failures: map[string]int64{}, byKind: map[thermocline.StartKind][]float64{},
	}
}

// isRare is the simulator's: called at most once a minute on average.
func (m *meter) isRare(function int) bool {
	return m.t.Functions[function].Total <= int64(m.t.Minutes())
}

// arrived counts a request and reports whether it is measured.
func (m *meter) arrived(inv trace.Invocation, late time.Duration) bool {
	m.requests++
	m.late = append(m.late, ms(max(0, late)))
	return inv.At >= m.o.Warmup
}

func (m *meter) failed(inv trace.Invocation, late time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.arrived(inv, late) {
		return
	}
	m.fails++
	text := err.Error()
	if _, known := m.failures[text]; !known && len(m.failures) >= maxFailures {
		text = "others"
	}
	m.failures[text]++
}

func (m *meter) ran(inv trace.Invocation, late, took time.Duration, out Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cold := out.Start != thermocline.StartWarm
	again := cold && m.first[inv.Function]
	m.first[inv.Function] = m.first[inv.Function] || cold
	m.retried += int64(out.Retried)
	if !m.arrived(inv, late) {
		return
	}
	delay := ms(max(0, took-out.Duration))
	m.inv[inv.Function]++
	if cold {
		m.cold[inv.Function]++
		m.byKind[out.Start] = append(m.byKind[out.Start], delay)
	}
	if again {
		m.again++
	}
	if out.Start == thermocline.StartPooled {
		m.pooled++
	}
	m.delays = append(m.delays, delay)
	if m.isRare(inv.Function) {
		m.rare = append(m.rare, delay)
	}
	// At least a millisecond of the trace, as the simulator has it.
	run := max(ms(inv.Duration), 1) / m.o.Speed
	m.slow = append(m.slow, 1+delay/run)
}

func (m *meter) result() *Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	length := time.Duration(m.t.Minutes()) * time.Minute
	r := &Result{
		Policy: "measured", Seed: m.o.Seed, Arrivals: m.o.Arrivals.String(), Speed: m.o.Speed,
		MeasuredS: (length - m.o.Warmup).Seconds(),
		Requests:  m.requests, Pooled: m.pooled, Failed: m.fails, Retried: m.retried, ColdAgain: m.again, Failures: maps.Clone(m.failures),
	}
	var ratios []float64
	for f := range m.inv {
		r.Invocations += m.inv[f]
		r.Cold += m.cold[f]
		if m.isRare(f) {
			r.InvocationsRare += m.inv[f]
			r.ColdRare += m.cold[f]
		}
		if m.inv[f] > 0 {
			ratios = append(ratios, share(m.cold[f], m.inv[f]))
		}
	}
	r.Full = r.Cold - r.Pooled
	r.Functions = len(ratios)
	r.ColdRatio, r.ColdRatioRare = share(r.Cold, r.Invocations), share(r.ColdRare, r.InvocationsRare)
	for _, v := range [][]float64{ratios, m.delays, m.slow, m.late} {
		slices.Sort(v)
	}
	r.FnColdP50, r.FnColdP75 = quantile(ratios, 0.5), quantile(ratios, 0.75)
	r.StartDelayMean, r.StartDelayMeanRare = mean(m.delays), mean(m.rare)
	r.StartDelayP50, r.StartDelayP99 = quantile(m.delays, 0.5), quantile(m.delays, 0.99)
	r.StartDelayP999, r.StartDelayMax = quantile(m.delays, 0.999), quantile(m.delays, 1)
	r.SlowdownP50, r.SlowdownP99, r.SlowdownP999 = quantile(m.slow, 0.5), quantile(m.slow, 0.99), quantile(m.slow, 0.999)
	r.PooledDelay, r.FullDelay = quantiles(m.byKind[thermocline.StartPooled]), quantiles(m.byKind[thermocline.StartFull])
	r.Late = quantiles(m.late)
	return r
}

func quantiles(v []float64) Quantiles {
	slices.Sort(v)
	return Quantiles{quantile(v, 0.5), quantile(v, 0.99), quantile(v, 1)}
}

// quantile is the least value that the share q of all do not exceed; 0 of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func mean(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func share(part, all int64) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
