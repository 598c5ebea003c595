package simulate

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Delay is a distribution of times, by some of its quantiles; between them its
// inverse is a straight line.
type Delay struct {
	at    []float64 // shares, rising
	value []float64 // ns
}

// Constant is always d.
func Constant(d time.Duration) Delay {
	return Delay{at: []float64{0}, value: []float64{float64(d)}}
}

// maxDelay bounds a start.
const maxDelay = time.Hour

// ParseDelay reads a constant ("500ms") or percentiles ("p50=80ms,p99=150ms").
// Below the first and above the last percentile the distribution stays at them.
func ParseDelay(s string) (Delay, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return quantiles(map[float64]time.Duration{0: d})
	}
	points := map[float64]time.Duration{}
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return Delay{}, fmt.Errorf("%q is neither a duration nor a percentile like p50=80ms", part)
		}
		at, err := percentile(name)
		if err != nil {
			return Delay{}, err
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			return Delay{}, fmt.Errorf("%q is no duration like 80ms", value)
		}
		points[at] = d
	}
	return quantiles(points)
}

// ParseDelayJSON reads an object with percentiles in ms:
// {"p50_ms": 80, "p99_ms": 150, "p999_ms": 200}; other members are left alone,
// so that it may be a part of a larger report. "ms": 500 is a constant.
func ParseDelayJSON(raw []byte) (Delay, error) {
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		return Delay{}, fmt.Errorf("it is no JSON object: %w", err)
	}
	points := map[float64]time.Duration{}
	for name, v := range members {
		ms, ok := v.(float64)
		if !ok {
			continue
		}
		if ms < 0 || ms > float64(maxDelay.Milliseconds()) {
			if strings.HasSuffix(name, "ms") {
				return Delay{}, fmt.Errorf("%s is %g, a delay is 0 to %s", name, ms, maxDelay)
			}
			continue
		}
		d := time.Duration(ms * float64(time.Millisecond))
		if name == "ms" {
			return quantiles(map[float64]time.Duration{0: d})
		}
		if at, err := percentile(strings.TrimSuffix(name, "_ms")); err == nil && strings.HasSuffix(name, "_ms") {
			points[at] = d
		}
	}
	if len(points) == 0 {
		return Delay{}, fmt.Errorf(`it has no percentiles like "p50_ms"`)
	}
	return quantiles(points)
}

// percentile reads p50, p99, p999 (99.9 %), p99.9, min and max.
func percentile(name string) (float64, error) {
	switch name {
	case "min":
		return 0, nil
	case "max":
		return 1, nil
	}
	digits, ok := strings.CutPrefix(name, "p")
	if !ok {
		return 0, fmt.Errorf("%q is no percentile like p50", name)
	}
	if len(digits) > 2 && strings.HasPrefix(digits, "99") && !strings.Contains(digits, ".") {
		digits = digits[:2] + "." + digits[2:]
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return 0, fmt.Errorf("%q is no percentile like p50", name)
	}
	return v / 100, nil
}

func quantiles(points map[float64]time.Duration) (Delay, error) {
	var d Delay
	for at := range points {
		d.at = append(d.at, at)
	}
	slices.Sort(d.at)
	last := time.Duration(0)
	for _, at := range d.at {
		v := points[at]
		if v < last || v > maxDelay {
			return Delay{}, fmt.Errorf("delays rise from percentile to percentile, from 0 to %s", maxDelay)
		}
		last = v
		d.value = append(d.value, float64(v))
	}
	return d, nil
}

// quantile returns the delay below which the share u stays.
func (d *Delay) quantile(u float64) int64 {
	n := len(d.at)
	if n == 0 {
		return 0
	}
	i, _ := slices.BinarySearch(d.at, u)
	switch i {
	case 0:
		return int64(d.value[0])
	case n:
		return int64(d.value[n-1])
	}
	x := (u - d.at[i-1]) / (d.at[i] - d.at[i-1])
	return int64(d.value[i-1] + x*(d.value[i]-d.value[i-1]))
}

// Mean returns the mean.
func (d *Delay) Mean() time.Duration {
	const steps = 10_000
	var sum float64
	for i := range steps {
		sum += float64(d.quantile((float64(i) + 0.5) / steps))
	}
	return time.Duration(math.Round(sum / steps))
}

// String is what ParseDelay reads.
func (d Delay) String() string {
	if len(d.at) == 1 && d.at[0] == 0 {
		return time.Duration(d.value[0]).String()
	}
	var parts []string
	for i := range d.at {
		parts = append(parts, fmt.Sprintf("p%g=%s", d.at[i]*100, time.Duration(d.value[i])))
	}
	return strings.Join(parts, ",")
}
