package trace_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/trace"
)

const (
	invocations = `HashOwner,HashApp,HashFunction,Trigger,1,2,3
o,a1,f1,timer,1,0,2
o,a2,f2,http,0,0,0
o,a1,f3,queue,0,100,0
`
	durations = `HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100
o,a1,f1,55,1440,10,100,10,10,20,50,80,100,100
o,a2,f2,10,1,10,10,10,10,10,10,10,10,10
`
	memory = `HashFunction,HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1
f1,o,a1,10,200.5,180
`
	appMemory = `HashOwner,HashApp,SampleCount,AverageAllocatedMb
o,a1,10,300
`
)

func file(name, text string) trace.File {
	return trace.File{Name: name, Reader: strings.NewReader(text)}
}

func read(t *testing.T, inv, dur, mem string) *trace.Trace {
	t.Helper()
	d, m := file("d.csv", dur), file("m.csv", mem)
	w, err := trace.Read(file("i.csv", inv), &d, &m, trace.Reading{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	for name, w := range map[string]*trace.Trace{
		"plain":  read(t, invocations, durations, memory),
		"gzip":   read(t, zipped(t, invocations), zipped(t, durations), zipped(t, memory)),
		"dos":    read(t, strings.ReplaceAll("\ufeff"+invocations, "\n", "\r\n"), strings.ReplaceAll(durations, "\n", "\r\n"), memory),
		"splits": read(t, strings.Replace(invocations, "f1,timer,1,0,2", "f1,timer,1,0,1\no,a1,f1,http,0,0,1", 1), durations, memory),
	} {
		if w.Minutes() != 3 || len(w.Functions) != 3 || w.Invocations(0, 3) != 103 || w.Invocations(1, 2) != 100 {
			t.Errorf("%s: %d minutes, %d functions, %d invocations", name, w.Minutes(), len(w.Functions), w.Invocations(0, 3))
			continue
		}
		f1, f3 := w.Functions[0], w.Functions[2]
		if f1.ID != "f1" || f1.Trigger != "timer" || f1.MemoryMB != 200.5 || f1.Total != 3 || f1.Duration.At(0.5) != 50*time.Millisecond {
			t.Errorf("%s: %+v", name, f1)
		}
		if f3.MemoryMB != trace.DefaultMemoryMB || f3.Duration.At(0.1) != trace.DefaultDuration || f3.Total != 100 {
			t.Errorf("%s: %+v", name, f3)
		}
	}
	w := read(t, invocations, durations, appMemory)
	if got := []float64{w.Functions[0].MemoryMB, w.Functions[1].MemoryMB, w.Functions[2].MemoryMB}; !cmp.Equal(got, []float64{300, trace.DefaultMemoryMB, 300}) {
		t.Errorf("by application: %v", got)
	}
	w, err := trace.Read(file("i.csv", invocations), nil, nil, trace.Reading{MinMemoryMB: 500})
	if err != nil || w.Functions[0].MemoryMB != 500 {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestReadFaults(t *testing.T) {
	for _, tt := range []struct{ name, inv, dur, mem, want string }{
		{"empty", "", durations, memory, "i.csv: it is empty"},
		{"no functions", "HashFunction,1\n", durations, memory, "i.csv:1: there are no functions"},
		{"no function column", "a,1\nb,2\n", durations, memory, "i.csv:1: there is no column HashFunction"},
		{"no minutes", "HashFunction,Trigger\nf,http\n", durations, memory, "i.csv:1: there is no column 1"},
		{"short line", "HashFunction,1,2\nf,1,1\ng,1\n", durations, memory, "i.csv:3: 2 fields, the header has 3"},
		{"no number", "HashFunction,1,2\nf,1,x\n", durations, memory, `i.csv:2: minute 2: "x" is no count of at most 10000000`},
		{"negative", "HashFunction,1\nf,-1\n", durations, memory, `i.csv:2: minute 1: "-1" is no count`},
		{"too many", "HashFunction,1\nf,10000001\n", durations, memory, "i.csv:2: minute 1"},
		{"too many in two", "HashFunction,1\nf,9000000\nf,9000000\n", durations, memory, "i.csv:3: minute 1: 18000000 invocations"},
		{"no name", "HashFunction,1\n,1\n", durations, memory, "i.csv:2: HashFunction is empty"},
		{"long line", "HashFunction,1\nf," + strings.Repeat("1", 2<<20) + "\n", durations, memory, "i.csv:2: the line has more than 1048576 bytes"},
		{"falling", invocations, strings.Replace(durations, "20,50,80", "20,90,80", 1), memory, "d.csv:2: durations fall from 90 to 80 ms"},
		{"NaN", invocations, strings.Replace(durations, "20,50,80", "20,NaN,80", 1), memory, `d.csv:2: percentile_Average_50: "NaN" is no number of at least 0`},
		{"long duration", invocations, strings.Replace(durations, "100,100\n", "100,1e12\n", 1), memory, "d.csv:2: a duration is over"},
		{"no percentile", invocations, strings.Replace(durations, "percentile_Average_99", "x", 1), memory, "d.csv:1: there is no column percentile_Average_99"},
		{"memory", invocations, durations, strings.Replace(memory, "200.5", "much", 1), `m.csv:2: AverageAllocatedMb: "much"`},
		{"huge memory", invocations, durations, strings.Replace(memory, "200.5", "1e9", 1), "m.csv:2: 1e+09 MB are more than"},
		{"broken gzip", zipped(t, invocations)[:40], durations, memory, "i.csv:"},
	} {
		d, m := file("d.csv", tt.dur), file("m.csv", tt.mem)
		_, err := trace.Read(file("i.csv", tt.inv), &d, &m, trace.Reading{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func drain(w *trace.Trace, o trace.Options) []trace.Invocation {
	var all []trace.Invocation
	for s := w.Stream(o); ; {
		in, ok := s.Next()
		if !ok {
			return all
		}
		all = append(all, in)
	}
}

func TestStream(t *testing.T) {
	w := read(t, invocations, durations, memory)
	all := drain(w, trace.Options{Seed: 1})
	if !cmp.Equal(all, drain(w, trace.Options{Seed: 1})) {
		t.Error("the stream does not repeat")
	}
	if cmp.Equal(all, drain(w, trace.Options{Seed: 2})) {
		t.Error("another seed gives the same stream")
	}
	perMinute := map[string]int{}
	last := time.Duration(-1)
	for _, in := range all {
		if in.At < last {
			t.Errorf("%s comes after %s", in.At, last)
		}
		last = in.At
		perMinute[fmt.Sprintf("%s in %d", w.Functions[in.Function].ID, int(in.At.Minutes()))]++
		if in.Function == 0 && (in.Duration < 10*time.Millisecond || in.Duration > 100*time.Millisecond) {
			t.Errorf("a duration of %s", in.Duration)
		}
	}
	if want := (map[string]int{"f1 in 0": 1, "f3 in 1": 100, "f1 in 2": 2}); !cmp.Equal(perMinute, want) {
		t.Errorf("%v", perMinute)
	}
}

// What a function does depends on it and the seed only.
func TestStreamsArePaired(t *testing.T) {
	w := read(t, invocations, durations, memory)
	all := drain(w, trace.Options{Seed: 5})
	burst := drain(w, trace.Options{Seed: 5, Burst: &trace.Burst{
		Functions: w.Hottest(1), Factor: 10, From: 90 * time.Second, To: 100 * time.Second,
	}})
	more := map[trace.Invocation]int{}
	for _, in := range burst {
		more[in]++
	}
	for _, in := range all {
		if more[in]--; more[in] < 0 {
			t.Fatalf("%+v is not there with the burst", in)
		}
	}
	extra := 0
	for in, n := range more {
		if n > 0 && (in.Function != 2 || in.At < 90*time.Second || in.At >= 100*time.Second) {
			t.Errorf("the burst adds %+v", in)
		}
		extra += n
	}
	// 900 more in the minute, of which 10 s are in the burst.
	if extra < 110 || extra > 190 {
		t.Errorf("the burst adds %d", extra)
	}
	part := drain(w.Slice(1, 2), trace.Options{Seed: 5})
	if len(part) != 100 || part[0].At >= time.Minute {
		t.Errorf("the second minute alone has %d from %s", len(part), part[0].At)
	}
}

func TestPoisson(t *testing.T) {
	minutes := make([]trace.Count, 2000)
	for m := range minutes {
		minutes[m] = trace.Count{Minute: m, N: 5}
	}
	w, err := trace.New([]trace.Function{{ID: "f"}}, len(minutes), [][]trace.Count{minutes})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		arrivals trace.Arrivals
		variance float64 // of a minute's count
	}{{trace.Uniform, 0}, {trace.Poisson, 0}, {trace.PoissonCounts, 5}} {
		counts := make([]float64, len(minutes))
		for _, in := range drain(w, trace.Options{Arrivals: tt.arrivals}) {
			counts[int(in.At/time.Minute)]++
		}
		var sum, squares float64
		for _, n := range counts {
			sum += n
			squares += n * n
		}
		mean := sum / float64(len(counts))
		variance := squares/float64(len(counts)) - mean*mean
		if math.Abs(mean-5) > 0.25 || math.Abs(variance-tt.variance) > 0.6 {
			t.Errorf("%s: a mean of %.2f, a variance of %.2f", tt.arrivals, mean, variance)
		}
	}
}

func TestDurations(t *testing.T) {
	ms := [7]float64{10, 20, 40, 60, 100, 1000, 20_000}
	linear, err := trace.NewDurations(ms, 0)
	if err != nil {
		t.Fatal(err)
	}
	bent, err := trace.NewDurations(ms, 150)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		u    float64
		want time.Duration
	}{{0, 10 * time.Millisecond}, {0.01, 20 * time.Millisecond}, {0.5, 60 * time.Millisecond}, {0.625, 80 * time.Millisecond}, {0.75, 100 * time.Millisecond}, {0.99, time.Second}, {1, 20 * time.Second}} {
		for _, d := range []trace.Durations{linear, bent} {
			if got := d.At(tt.u); (got - tt.want).Abs() > time.Microsecond {
				t.Errorf("at %g: %s, want %s", tt.u, got, tt.want)
			}
		}
	}
	if got := linear.At(0.87); (got - 550*time.Millisecond).Abs() > time.Microsecond {
		t.Errorf("a straight line is at %s", got)
	}
	for name, d := range map[string]trace.Durations{"linear": linear, "bent": bent} {
		const steps = 200_000
		var sum float64
		for i := range steps {
			sum += d.At((float64(i)+0.5)/steps).Seconds() * 1000
		}
		if mean := d.Mean().Seconds() * 1000; math.Abs(mean-sum/steps) > 0.5 {
			t.Errorf("%s: a mean of %.1f ms, drawn %.1f", name, mean, sum/steps)
		}
	}
	if got := bent.Mean(); (got - 150*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("the bent mean is %s", got)
	}
	var unknown trace.Durations
	if unknown.At(0.3) != trace.DefaultDuration || unknown.Mean() != trace.DefaultDuration {
		t.Error("an unknown duration is not the default")
	}
}

func TestSample(t *testing.T) {
	w := read(t, invocations, durations, memory)
	two, all := w.Sample(2), w.Sample(3)
	if len(two.Functions) > 2 || all != w {
		t.Errorf("%d functions of 2", len(two.Functions))
	}
	for _, f := range two.Functions {
		found := false
		for _, o := range w.Functions {
			found = found || o.ID == f.ID && o.Total == f.Total
		}
		if !found {
			t.Errorf("%s with %d invocations is not in the whole", f.ID, f.Total)
		}
	}
}

func TestNewFaults(t *testing.T) {
	f := []trace.Function{{ID: "f"}}
	for name, counts := range map[string][][]trace.Count{
		"missing": {}, "outside": {{{Minute: 5, N: 1}}}, "twice": {{{Minute: 1, N: 1}, {Minute: 1, N: 1}}}, "none": {{{Minute: 1, N: 0}}},
	} {
		if _, err := trace.New(f, 5, counts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A day's durations become a trace with the right number of calls.
func TestSynthesize(t *testing.T) {
	var b strings.Builder
	b.WriteString(strings.SplitN(durations, "\n", 2)[0] + "\n")
	total := 0
	for i := range 400 {
		n := []int{3, 24, 1440, 5_000, 20_000}[i%5]
		total += n
		fmt.Fprintf(&b, "o,a,f%d,50,%d,10,100,10,10,20,50,80,100,100\n", i, n)
	}
	make := func(seed uint64) *trace.Trace {
		w, err := trace.Synthesize(file("d.csv", b.String()), trace.Synthetic{Seed: seed, Minutes: 1440, Reading: trace.Reading{MinMemoryMB: 128}})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := make(1)
	if got := w.Invocations(0, 1440); math.Abs(float64(got)/float64(total)-1) > 0.1 {
		t.Errorf("%d invocations, the file has %d", got, total)
	}
	timers := 0
	for _, f := range w.Functions {
		if f.MemoryMB < 128 {
			t.Errorf("%s has %g MB", f.ID, f.MemoryMB)
		}
		if f.Trigger == "timer" {
			timers++
		}
	}
	if timers < 150 || timers > 250 {
		t.Errorf("%d timers of 400", timers)
	}
	if !cmp.Equal(drain(w.Slice(0, 2), trace.Options{}), drain(make(1).Slice(0, 2), trace.Options{})) || make(2).Invocations(0, 1440) == w.Invocations(0, 1440) {
		t.Error("seeds do not decide")
	}
	if _, err := trace.Synthesize(file("d.csv", "a,b\n"), trace.Synthetic{Minutes: 1}); err == nil {
		t.Error("no error")
	}
}

// FuzzRead: whatever the bytes, an error or a trace that can be played.
func FuzzRead(f *testing.F) {
	f.Add(invocations, durations, memory)
	f.Add(invocations, durations, appMemory)
	f.Add("HashFunction,1\nf,1\n", "", "")
	f.Fuzz(func(t *testing.T, inv, dur, mem string) {
		d, m := file("d", dur), file("m", mem)
		w, err := trace.Read(file("i", inv), &d, &m, trace.Reading{MatchMean: true})
		if err != nil {
			return
		}
		if w.Invocations(0, w.Minutes()) > 100_000 {
			return
		}
		end := time.Duration(w.Minutes()) * time.Minute
		n := int64(0)
		for _, in := range drain(w, trace.Options{}) {
			if in.At < 0 || in.At >= end || in.Duration < 0 || in.Duration > 25*time.Hour {
				t.Fatalf("%+v in a trace of %s", in, end)
			}
			n++
		}
		if n != w.Invocations(0, w.Minutes()) {
			t.Fatalf("%d invocations of %d", n, w.Invocations(0, w.Minutes()))
		}
	})
}
