package main

import (
	"math"
	"slices"
	"time"
)

// quantile returns the q-th quantile (0 to 1) of sorted durations, the nearest
// that was measured; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// percentiles returns the 101 percentiles 0 to 100 in milliseconds, nil of
// none. Percentiles 0 and 100 are the least and the most that was measured.
func percentiles(ds []time.Duration) []float64 {
	if len(ds) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(ds))
	out := make([]float64, 101)
	for p := range out {
		out[p] = roundTo(millis(quantile(sorted, float64(p)/100)), 3)
	}
	return out
}

// Ratio is the geometric mean of paired ratios with its 95% confidence
// interval. With fewer than two pairs Low and High are the mean.
type Ratio struct {
	Mean  float64 `json:"mean"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Pairs int     `json:"pairs"`
}

// ratio compares two series pair by pair: the mean of log(a/b), with Student's
// t for its interval.
func ratio(a, b []float64) Ratio {
	var logs []float64
	for i := range min(len(a), len(b)) {
		if a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(a[i]/b[i]))
		}
	}
	n := float64(len(logs))
	if n == 0 {
		return Ratio{}
	}
	var mean, squares float64
	for _, l := range logs {
		mean += l / n
	}
	for _, l := range logs {
		squares += (l - mean) * (l - mean)
	}
	half := 0.0
	if n > 1 {
		half = student95(int(n)-1) * math.Sqrt(squares/(n-1)/n)
	}
	return Ratio{
		Mean: roundTo(math.Exp(mean), 3), Low: roundTo(math.Exp(mean-half), 3), High: roundTo(math.Exp(mean+half), 3),
		Pairs: len(logs),
	}
}

// student95 is the two-sided 95% quantile of Student's t.
func student95(freedom int) float64 {
	table := []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
		2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086}
	if freedom <= len(table) {
		return table[max(freedom, 1)-1]
	}
	return 1.96 + 2.4/float64(freedom) // within 0.01 from 20 on
}

func mean(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func roundTo(x float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(x*p) / p
}
