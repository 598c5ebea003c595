package simulate

import "slices"

// Result is what came of a run. What is counted, is counted for invocations
// that arrived after the warm-up, and for the time from then to the end of the
// trace. docs/simulate.md has each field.
type Result struct {
	Policy    string  `json:"policy"`
	Seed      uint64  `json:"seed"`
	KeepAlive float64 `json:"keep_alive_s"` // -1: none, evicted only
	Arrivals  string  `json:"arrivals"`
	Instances int     `json:"instances"`
	MeasuredS float64 `json:"measured_s"`

	Requests        int64 `json:"requests"` // of the whole trace
	Invocations     int64 `json:"invocations"`
	InvocationsRare int64 `json:"invocations_rare"`
	Cold            int64 `json:"cold"`
	ColdRare        int64 `json:"cold_rare"`
	Pooled          int64 `json:"pooled"`
	Full            int64 `json:"full"`
	Failed          int64 `json:"failed"`
	Retried         int64 `json:"retried"` // of the whole trace
	Functions       int   `json:"functions"`

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

	IdleGBs       float64 `json:"idle_gb_s"`
	IdleGBPeak    float64 `json:"idle_gb_max"`
	InstanceHours float64 `json:"instance_hours"`
	MaxInstances  int     `json:"max_instances"`
	ChurnPerS     float64 `json:"churn_per_s"`

	ClassChanges       float64 `json:"class_changes"`
	StateBytes         int64   `json:"state_bytes"`
	MessagesPerRequest float64 `json:"messages_per_request"`
	Refusals           int64   `json:"refusals"`

	Tuning *Tuning `json:"tuning,omitempty"`
	Burst  *Burst  `json:"burst,omitempty"`
	Loss   *Loss   `json:"loss,omitempty"`

	Minutes []Minute  `json:"-"`
	delays  []float32 // ms, rising, without the zeros
}

// Exceeding is the share of the invocations that started more than ms after
// their arrival.
func (r *Result) Exceeding(ms float64) float64 {
	first, _ := slices.BinarySearchFunc(r.delays, float32(ms), func(d, ms float32) int {
		if d > ms {
			return 1
		}
		return -1
	})
	return share(int64(len(r.delays)-first), r.Invocations)
}

// Tuning is how a keep-alive was found.
type Tuning struct {
	BudgetGBs float64 `json:"budget_idle_gb_s"` // thermocline's
	Runs      int     `json:"runs"`
}

// Burst holds the rare functions' figures against those of the same run without
// the burst.
type Burst struct {
	Factor                float64 `json:"factor"`
	AtS                   float64 `json:"at_s"`
	ForS                  float64 `json:"for_s"`
	Functions             int     `json:"functions"`
	WithoutColdRatioRare  float64 `json:"cold_ratio_rare_without"`
	WithoutDelayMeanRare  float64 `json:"start_delay_ms_mean_rare_without"`
	ColdRatioRareChange   float64 `json:"cold_ratio_rare_change"` // relative
	StartDelayRareChange  float64 `json:"start_delay_ms_mean_rare_change"`
	WithoutColdRatio      float64 `json:"cold_ratio_without"`
	WithoutStartDelayMean float64 `json:"start_delay_ms_mean_without"`
}

// Loss is what the death of an instance did.
type Loss struct {
	AtS       float64 `json:"at_s"`
	Warm      int     `json:"warm_sandboxes"`      // idle when it died, everywhere
	Lost      int     `json:"warm_sandboxes_lost"` // of these, on it
	LostShare float64 `json:"warm_sandboxes_lost_share"`
	// RecoveryS is how long the cold ratio stayed above that of the same run
	// without the loss; -1 when it did to the end.
	RecoveryS float64 `json:"recovery_s"`
	ExtraCold int64   `json:"extra_cold"` // cold starts more than without it
}
