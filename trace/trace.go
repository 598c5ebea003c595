package trace

import (
	"cmp"
	"fmt"
	"slices"
)

// Trace is a workload. It must not be changed once streams are drawn from it.
type Trace struct {
	Functions []Function
	minutes   [][]calls // by minute: who is called, in the functions' order
}

// Function is one function of a trace.
type Function struct {
	ID       string // HashFunction
	Trigger  string // "timer", "http", …; "" when unknown
	MemoryMB float64
	Duration Durations
	// Total is the number of its invocations in the whole trace.
	Total int64
}

// calls is how often a function is called in a minute.
type calls struct {
	function int32
	n        int32
}

// Minutes returns the length of the trace.
func (t *Trace) Minutes() int { return len(t.minutes) }

// Invocations returns the number of invocations of the minutes [from, to), to
// at most Minutes.
func (t *Trace) Invocations(from, to int) int64 {
	var n int64
	for _, m := range t.minutes[from:min(to, len(t.minutes))] {
		for _, c := range m {
			n += int64(c.n)
		}
	}
	return n
}

// Slice returns the minutes [from, to) as a trace of their own, with the
// functions that are called in it.
func (t *Trace) Slice(from, to int) *Trace {
	return t.sub(from, to, func(int) bool { return true })
}

// Sample returns n of the functions: those that come first when all are in the
// order of a hash of their names. It is the same for equal n, and a larger n
// holds a smaller one's functions.
func (t *Trace) Sample(n int) *Trace {
	if n >= len(t.Functions) {
		return t
	}
	order := make([]int, len(t.Functions))
	hashes := make([]uint64, len(t.Functions))
	for i := range order {
		order[i], hashes[i] = i, mix(hash(t.Functions[i].ID))
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(hashes[a], hashes[b]), cmp.Compare(a, b))
	})
	in := make([]bool, len(order))
	for _, f := range order[:n] {
		in[f] = true
	}
	return t.sub(0, len(t.minutes), func(f int) bool { return in[f] })
}

// Only returns the trace of the functions, by index, that keep keeps.
func (t *Trace) Only(keep func(function int) bool) *Trace {
	return t.sub(0, len(t.minutes), keep)
}

func (t *Trace) sub(from, to int, keep func(int) bool) *Trace {
	s := &Trace{}
	renamed := make([]int32, len(t.Functions))
	for _, m := range t.minutes[from:to] {
		for _, c := range m {
			renamed[c.function] = 1
		}
	}
	for i := range t.Functions {
		if renamed[i] == 0 || !keep(i) {
			renamed[i] = -1
			continue
		}
		renamed[i] = int32(len(s.Functions))
		f := t.Functions[i]
		f.Total = 0
		s.Functions = append(s.Functions, f)
	}
	for _, m := range t.minutes[from:to] {
		var kept []calls
		for _, c := range m {
			if f := renamed[c.function]; f >= 0 {
				kept = append(kept, calls{f, c.n})
				s.Functions[f].Total += int64(c.n)
			}
		}
		s.minutes = append(s.minutes, kept)
	}
	return s
}

// Hottest returns the n functions with the most invocations, the hottest
// first.
func (t *Trace) Hottest(n int) []int {
	order := make([]int, len(t.Functions))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(t.Functions[b].Total, t.Functions[a].Total), cmp.Compare(a, b))
	})
	return order[:min(n, len(order))]
}

// Count is how often a function is called in one minute.
type Count struct {
	Minute, N int
}

// New makes a trace of minutes: counts holds for each function when it is
// called. It is an error when a function's are not in the order of time, not
// inside of the trace, or not between 1 and 10,000,000.
func New(functions []Function, minutes int, counts [][]Count) (*Trace, error) {
	if minutes < 1 || minutes > maxMinutes || len(counts) != len(functions) {
		return nil, fmt.Errorf("a trace has 1 to %d minutes and counts of each function", maxMinutes)
	}
	t := &Trace{Functions: slices.Clone(functions), minutes: make([][]calls, minutes)}
	for f := range t.Functions {
		t.Functions[f].Total = 0
		last := -1
		for _, c := range counts[f] {
			if c.Minute <= last || c.Minute >= minutes || c.N < 1 || c.N > maxCalls {
				return nil, fmt.Errorf("function %s: %d invocations in minute %d cannot be", t.Functions[f].ID, c.N, c.Minute+1)
			}
			last = c.Minute
			t.minutes[c.Minute] = append(t.minutes[c.Minute], calls{int32(f), int32(c.N)})
			t.Functions[f].Total += int64(c.N)
		}
	}
	return t, nil
}
