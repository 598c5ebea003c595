package simulate

import (
	"math"
	"slices"
	"time"
)

// meter counts. What arrived or happened before from does not count.
type meter struct {
	r        *run
	from, to int64

	arrivals int64 // all of them
	retried  int64
	inv      []int64 // completed, by function
	cold     []int64 // of these, found no warm sandbox of the function
	pooled   int64
	failed   int64
	delays   []float32 // ms, without the zeros
	slow     []float32 // slowdowns, without the ones
	sum      float64   // of delays, ms
	sumRare  float64

	idleMB   int64
	idleAt   int64
	idleArea float64 // MB·ns
	idlePeak int64
	heldN    int
	heldAt   int64
	heldArea float64 // instances·ns
	heldPeak int
	churn    int64 // sandboxes started

	minutes []Minute
	warmAt  int // idle sandboxes when an instance was lost
	warmOff int // of these, lost
	moves   int64
}

// Minute is a minute of a run, as it was for those that arrived in it.
type Minute struct {
	Invocations int64   `json:"invocations"`
	Cold        int64   `json:"cold"`
	RareCold    int64   `json:"cold_rare"`
	DelayMS     float64 `json:"start_delay_ms_mean"`
	IdleMB      int64   `json:"idle_mb"`   // at its end
	Instances   int     `json:"instances"` // at its end
}

func (m *meter) init(r *run) {
	m.r, m.from, m.to = r, int64(r.o.Warmup), r.end
	n := len(r.trace.Functions)
	m.inv, m.cold = make([]int64, n), make([]int64, n)
	if r.o.Series {
		m.minutes = make([]Minute, r.trace.Minutes())
	}
}

// span is how much of the time from a to b is measured.
func (m *meter) span(a, b int64) int64 {
	return max(0, min(b, m.to)-max(a, m.from))
}

// idle notes that so much more memory waits in sandboxes.
func (m *meter) idle(mb int32) {
	now := m.r.now
	m.idleArea += float64(m.idleMB) * float64(m.span(m.idleAt, now))
	if m.minutes != nil {
		m.fill(m.idleAt, now, func(at *Minute) { at.IdleMB = m.idleMB })
	}
	m.idleAt = now
	m.idleMB += int64(mb)
	if now >= m.from && now <= m.to {
		m.idlePeak = max(m.idlePeak, m.idleMB)
	}
}

// hold notes that so many more instances are held.
func (m *meter) hold(n int) {
	now := m.r.now
	m.heldArea += float64(m.heldN) * float64(m.span(m.heldAt, now))
	if m.minutes != nil {
		m.fill(m.heldAt, now, func(at *Minute) { at.Instances = m.heldN })
	}
	m.heldAt = now
	m.heldN += n
	if now <= m.to {
		m.heldPeak = max(m.heldPeak, m.heldN)
	}
}

// fill sets the minutes that end in [a, b).
func (m *meter) fill(a, b int64, set func(*Minute)) {
	for i := a / int64(time.Minute); i < b/int64(time.Minute) && int(i) < len(m.minutes); i++ {
		set(&m.minutes[i])
	}
}

// started notes a sandbox more.
func (m *meter) startedOne() {
	if m.r.now >= m.from && m.r.now < m.to {
		m.churn++
	}
}

// counts reports whether a request is measured.
func (m *meter) counts(req *request) bool { return req.arrived >= m.from }

func (m *meter) completed(req *request) {
	delay := float64(req.started-req.arrived) / float64(time.Millisecond)
	if m.minutes != nil {
		at := &m.minutes[req.arrived/int64(time.Minute)]
		at.Invocations++
		at.DelayMS += delay
		if req.kind != warm {
			at.Cold++
			if m.r.rare[req.function] {
				at.RareCold++
			}
		}
	}
	if !m.counts(req) {
		return
	}
	m.inv[req.function]++
	if req.kind != warm {
		m.cold[req.function]++
	}
	if req.kind == pooled {
		m.pooled++
	}
	if delay == 0 {
		return
	}
	m.sum += delay
	if m.r.rare[req.function] {
		m.sumRare += delay
	}
	m.delays = append(m.delays, float32(delay))
	run := max(float64(req.duration)/float64(time.Millisecond), 1)
	m.slow = append(m.slow, float32(1+delay/run))
}

func (m *meter) failedAt(req *request) {
	if m.counts(req) {
		m.failed++
	}
}

// quantile of n values of which those beyond sorted are least.
func quantile(sorted []float32, n int64, q, least float64) float64 {
	if n == 0 {
		return 0
	}
	rank := int64(math.Ceil(q*float64(n))) - 1
	i := max(rank, 0) - (n - int64(len(sorted)))
	if i < 0 {
		return least
	}
	return float64(sorted[i])
}

// result adds everything up.
func (r *run) result() *Result {
	m := &r.meter
	r.now = max(r.now, r.end)
	m.idle(0)
	m.hold(0)
	measured := float64(m.to - m.from)
	res := &Result{
		Policy: r.o.Policy, Seed: r.o.Seed, KeepAlive: keepAliveOf(r.o.KeepAlive), Arrivals: r.o.Arrivals.String(),
		Instances: r.o.Instances, Requests: m.arrivals, Retried: m.retried, Failed: m.failed, Pooled: m.pooled,
		IdleGBs: m.idleArea / 1024 / 1e9, IdleGBPeak: float64(m.idlePeak) / 1024,
		InstanceHours: m.heldArea / float64(time.Hour), MaxInstances: m.heldPeak,
		ChurnPerS: float64(m.churn) / (measured / 1e9), MeasuredS: measured / 1e9,
	}
	var ratios []float32
	for f := range m.inv {
		res.Invocations += m.inv[f]
		res.Cold += m.cold[f]
		if r.rare[f] {
			res.InvocationsRare += m.inv[f]
			res.ColdRare += m.cold[f]
		}
		if m.inv[f] > 0 {
			ratios = append(ratios, float32(float64(m.cold[f])/float64(m.inv[f])))
		}
	}
	res.Full = res.Cold - res.Pooled
	res.ColdRatio = share(res.Cold, res.Invocations)
	res.ColdRatioRare = share(res.ColdRare, res.InvocationsRare)
	slices.Sort(ratios)
	res.Functions = len(ratios)
	res.FnColdP50 = quantile(ratios, int64(len(ratios)), 0.50, 0)
	res.FnColdP75 = quantile(ratios, int64(len(ratios)), 0.75, 0)
	slices.Sort(m.delays)
	slices.Sort(m.slow)
	n := res.Invocations
	if n > 0 {
		res.StartDelayMean = m.sum / float64(n)
	}
	if res.InvocationsRare > 0 {
		res.StartDelayMeanRare = m.sumRare / float64(res.InvocationsRare)
	}
	for _, p := range []struct {
		to *float64
		q  float64
	}{{&res.StartDelayP50, 0.5}, {&res.StartDelayP99, 0.99}, {&res.StartDelayP999, 0.999}, {&res.StartDelayMax, 1}} {
		*p.to = quantile(m.delays, n, p.q, 0)
	}
	res.SlowdownP50 = quantile(m.slow, n, 0.5, 1)
	res.SlowdownP99 = quantile(m.slow, n, 0.99, 1)
	res.SlowdownP999 = quantile(m.slow, n, 0.999, 1)
	res.delays = m.delays
	for i := range m.minutes {
		if at := &m.minutes[i]; at.Invocations > 0 {
			at.DelayMS /= float64(at.Invocations)
		}
	}
	res.Minutes = m.minutes
	if r.o.LoseInstance > 0 {
		res.Loss = &Loss{AtS: r.o.LoseInstance.Seconds(), Warm: m.warmAt, Lost: m.warmOff, LostShare: share(int64(m.warmOff), int64(m.warmAt))}
	}
	res.ClassChanges = float64(m.moves)
	r.p.report(res)
	return res
}

func share(part, all int64) float64 {
	if all == 0 {
		return 0
	}
	return float64(part) / float64(all)
}
