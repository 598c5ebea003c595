package trace

import "math"

// Synthetic says how a trace is made of a durations file.
type Synthetic struct {
	Seed uint64
	// Minutes is the trace's length, 1 to 20,160.
	Minutes int
	// Functions is how many are taken (as Sample takes them), 0 for all.
	Functions int
	Reading
}

// class is how much the calls per minute of functions of a rate vary: the
// coefficient of variation (CV) of half of them and of nine in ten stays
// below.
type class struct {
	perMinute float64 // up to this mean
	p50, p90  float64
}

// classes are measured on the Azure Functions 2019 trace.
var classes = []class{
	{1.0 / 60, 8.9, 12.6},
	{1, 2.1, 7.2},
	{60, 0.35, 3.0},
	{math.Inf(1), 0.10, 0.43},
}

// Synthesize makes a trace of a durations file alone, of which each line has
// how often its function was called in a day and how long it ran. There is
// nothing about minutes in it, so these are drawn, from the seed and the
// function:
//
//   - Half of the functions are timers: equal intervals that give the day's
//     count, from a random moment.
//   - The others are Poisson processes whose rate is drawn anew for each minute
//     from a gamma distribution, such that the counts of minutes vary as those
//     of functions of their rate do in the trace: the CV of a function is drawn
//     lognormal through the 50th and 90th percentile of its class.
//   - Memory is lognormal through 143 MB (p50) and 210 MB (p90), as the trace's
//     applications'.
func Synthesize(durations File, o Synthetic) (*Trace, error) {
	rows, err := readDurations(durations, o.MatchMean)
	if err != nil {
		return nil, err
	}
	functions := make([]Function, len(rows))
	counts := make([][]Count, len(rows))
	for i, r := range rows {
		h := hash(r.id)
		s := seeded(o.Seed, h, 0, 2)
		functions[i] = Function{ID: r.id, Trigger: "others", Duration: r.Durations, MemoryMB: max(o.MinMemoryMB, lognormal(&s, 143, 210))}
		perMinute := min(r.count/(24*60), maxCalls/10)
		if s.next()&1 == 0 {
			functions[i].Trigger = "timer"
			counts[i] = timer(&s, perMinute, o.Minutes)
			continue
		}
		counts[i] = varying(&s, perMinute, o.Minutes)
	}
	t, err := New(functions, o.Minutes, counts)
	if err != nil {
		return nil, err
	}
	if o.Functions > 0 {
		t = t.Sample(o.Functions)
	}
	return t, nil
}

// lognormal draws from the distribution with this median and 90th percentile.
func lognormal(s *source, p50, p90 float64) float64 {
	const z90 = 1.2815515655446004
	return p50 * math.Exp(math.Log(p90/p50)/z90*s.normal())
}

// timer calls at equal intervals.
func timer(s *source, perMinute float64, minutes int) []Count {
	var counts []Count
	phase := s.float()
	before := math.Floor(phase)
	for m := range minutes {
		after := math.Floor(phase + float64(m+1)*perMinute)
		if n := int(after - before); n > 0 {
			counts = append(counts, Count{m, n})
		}
		before = after
	}
	return counts
}

// varying calls at a rate that varies between minutes.
func varying(s *source, perMinute float64, minutes int) []Count {
	if perMinute <= 0 {
		return nil
	}
	k := 0
	for perMinute > classes[k].perMinute {
		k++
	}
	cv := lognormal(s, classes[k].p50, classes[k].p90)
	// A Poisson count of mean m alone has CV² = 1/m.
	extra := cv*cv - 1/perMinute
	var counts []Count
	for m := range minutes {
		rate := perMinute
		if extra > 1e-6 {
			rate *= s.gamma(1 / extra)
		}
		if n := min(s.poisson(rate), maxCalls); n > 0 {
			counts = append(counts, Count{m, n})
		}
	}
	return counts
}
