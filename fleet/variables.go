package fleet

import (
	"time"

	"thermocline"
)

// Variable is something that expressions can read. All are of type double.
type Variable struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Doc  string `json:"doc"`
}

// The indices of the variables.
const (
	varRateMinute = iota
	varRateHour
	varCountMinute
	varCountHour
	varMeanDuration
	varConcurrency
	varOffered
	varOfferedHour
	varTotal
	varIdle
	varCount
)

// variables is indexed by the constants above. It is never changed.
var variables = [varCount]Variable{
	varRateMinute:   {"rate_minute", "1/s", "invocations per second, decayed with a half-life of one minute"},
	varRateHour:     {"rate_hour", "1/s", "invocations per second, decayed with a half-life of one hour"},
	varCountMinute:  {"count_minute", "", "decayed count behind rate_minute"},
	varCountHour:    {"count_hour", "", "decayed count behind rate_hour"},
	varMeanDuration: {"mean_duration_ms", "ms", "mean duration, decayed with a half-life of one hour; 0 while none has ended"},
	varConcurrency:  {"concurrency", "", "invocations running now, in all frontends"},
	varOffered:      {"offered", "erlang", "rate_minute × mean duration: the sandboxes kept busy, by Little's law, fast"},
	varOfferedHour:  {"offered_hour", "erlang", "rate_hour × mean duration: the same, slow"},
	varTotal:        {"total", "", "invocations since the function was first seen"},
	varIdle:         {"idle_s", "s", "time since the last start; 0 when there was none"},
}

// Variables returns the documented variables of expressions.
func Variables() []Variable { return append([]Variable(nil), variables[:]...) }

// values are the variables' values at one moment.
type values [varCount]float64

func valuesOf(u *thermocline.Usage, now time.Time) values {
	v := values{
		varRateMinute:   u.RateMinute,
		varRateHour:     u.RateHour,
		varCountMinute:  u.CountMinute,
		varCountHour:    u.CountHour,
		varMeanDuration: float64(u.MeanDuration) / float64(time.Millisecond),
		varConcurrency:  u.Concurrency,
		varOffered:      u.Offered,
		varOfferedHour:  u.RateHour * u.MeanDuration.Seconds(),
		varTotal:        float64(u.Total),
	}
	if !u.Last.IsZero() {
		v[varIdle] = max(0, now.Sub(u.Last).Seconds())
	}
	return v
}

func variableIndex(name string) int {
	for i := range variables {
		if variables[i].Name == name {
			return i
		}
	}
	return -1
}
