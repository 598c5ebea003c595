package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Report is all that was measured.
type Report struct {
	Commit    string      `json:"commit"`
	Date      string      `json:"date"` // of the day
	Machine   Machine     `json:"machine"`
	RoundTime string      `json:"round_time"`
	Rounds    int         `json:"rounds"`
	Seconds   float64     `json:"seconds"` // all of it took
	Functions []*Function `json:"functions"`
	NoWorkerd string      `json:"no_workerd,omitempty"` // why it is missing
}

// Machine is where it was measured.
type Machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryGB float64           `json:"memory_gb"`
	Kernel   string            `json:"kernel"`
	Cgroups  string            `json:"cgroups"`
	Versions map[string]string `json:"versions"`
}

// Function is what was measured of one function.
type Function struct {
	Name    string                `json:"name"`
	Runtime string                `json:"runtime"`
	Sides   map[string]Side       `json:"sides,omitempty"`
	Ratios  map[string]Comparison `json:"ratios,omitempty"` // platform/side
	// IdleMB is what the processes of an idle sandbox hold (PSS), ChargedMB what
	// its control group is charged with, over so many Sandboxes.
	IdleMB    float64              `json:"idle_mb,omitempty"`
	ChargedMB float64              `json:"charged_mb,omitempty"`
	Sandboxes int                  `json:"sandboxes,omitempty"`
	Cold      map[string]Cold      `json:"cold,omitempty"`      // by the kind that REPORT says
	Sustained map[string]Sustained `json:"sustained,omitempty"` // by the kind that was asked for
}

func newReport(ctx context.Context, o options) *Report {
	r := &Report{Commit: "unknown", Date: time.Now().UTC().Format("2006-01-02"), RoundTime: o.time.String(), Rounds: o.roundCount}
	git := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty")
	git.Dir = o.root
	if out, err := git.Output(); err == nil {
		r.Commit = strings.TrimSpace(string(out))
	}
	r.Machine = machine(ctx)
	return r
}

// function returns the function's part, which it makes when it is missing.
func (r *Report) function(f function) *Function {
	for _, of := range r.Functions {
		if of.Name == f.Name {
			return of
		}
	}
	of := &Function{Name: f.Name, Runtime: f.Runtime}
	r.Functions = append(r.Functions, of)
	return of
}

func machine(ctx context.Context) Machine {
	m := Machine{Cores: runtime.NumCPU(), CPU: runtime.GOARCH, Cgroups: "v1", Versions: map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")}}
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if k, v, _ := strings.Cut(line, ":"); strings.TrimSpace(k) == "model name" {
				m.CPU = strings.TrimSpace(v)
				break
			}
		}
	}
	if n, err := field("/proc/meminfo", "MemTotal"); err == nil {
		m.MemoryGB = roundTo(float64(n)/(1<<30), 0)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		m.Cgroups = "v2"
	}
	for _, tool := range []string{"runc", "node", "python3"} {
		out, err := exec.CommandContext(ctx, tool, "--version").Output()
		if f := strings.Fields(string(out)); err == nil && len(f) > 0 {
			version := f[0]
			if tool != "node" {
				version = f[min(len(f)-1, map[string]int{"runc": 2, "python3": 1}[tool])]
			}
			m.Versions[tool] = strings.TrimPrefix(version, "v")
		}
	}
	m.Versions["workerd"] = workerdVersion
	return m
}

// writeTable writes what people read.
func (r *Report) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s · %d cores · %.0f GB · Linux %s · cgroup %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.MemoryGB, r.Machine.Kernel, r.Machine.Cgroups)
	v := r.Machine.Versions
	fmt.Fprintf(w, "commit %s · %s · Go %s · Node.js %s · Python %s · runc %s · workerd %s\n", r.Commit, r.Date, v["go"], v["node"], v["python3"], v["runc"], v["workerd"])
	fmt.Fprintf(w, "%d rounds of %s a side and measurement · %.0f s in all\n", r.Rounds, r.RoundTime, r.Seconds)
	var tables bytes.Buffer
	r.writeWarm(&tables)
	r.writeRatios(&tables)
	r.writeCold(&tables)
	for line := range strings.Lines(tables.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// order is the order of the sides in the tables.
var order = []string{"platform", "bare", "bare-best", "workerd"}

// table writes a table at its end, nothing when it has no rows.
func table(w *bytes.Buffer, title string, head ...string) (row func(cells ...string), end func()) {
	var rows [][]string
	row = func(cells ...string) { rows = append(rows, cells) }
	return row, func() {
		if len(rows) == 0 {
			return
		}
		fmt.Fprintf(w, "\n%s\n\n", title)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, cells := range append([][]string{head}, rows...) {
			fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
		_ = t.Flush() // a buffer does not fail
	}
}

func number(x float64, digits int) string { return strconv.FormatFloat(x, 'f', digits, 64) }

func (r *Report) writeWarm(w *bytes.Buffer) {
	row, end := table(w, "Warm", "function", "side", "p50 µs", "p99 µs", "32: /s", "32: p50 ms", "32: p99 ms", "server CPU µs", "32: CPU µs", "32: runtime CPU µs", "idle MB", "charged MB")
	for _, f := range r.Functions {
		for _, name := range order {
			s, ok := f.Sides[name]
			if !ok {
				continue
			}
			label, p50, p99, cpu := name, number(s.P50us, 0), number(s.P99us, 0), number(s.CPUus, 0)
			if s.Processes > 0 {
				label = fmt.Sprintf("bare, %d processes", s.Processes)
			}
			if name == "bare-best" {
				p50, p99, cpu = "", "", ""
			}
			idle, charged := "", ""
			if name == "platform" {
				idle, charged = number(f.IdleMB, 1), number(f.ChargedMB, 1)
			}
			row(f.Name, label, p50, p99, number(s.PerSecond, 0), number(s.P50ManyMs, 2), number(s.P99ManyMs, 2), cpu, number(s.CPUManyUs, 0), number(s.RuntimeManyUs, 0), idle, charged)
		}
		if f.Name == "nodejs" && r.NoWorkerd != "" {
			row(f.Name, "workerd", "could not be had: "+r.NoWorkerd)
		}
	}
	end()
}

func (r *Report) writeRatios(w *bytes.Buffer) {
	row, end := table(w, "Platform against the others (ratio of each round, 95% confidence)", "function", "against", "p50, one client", "throughput, 32 clients")
	show := func(x Ratio) string {
		switch {
		case x.Pairs == 0:
			return ""
		case x.High > 10*x.Low:
			return fmt.Sprintf("%.2f (too few rounds)", x.Mean)
		}
		return fmt.Sprintf("%.2f (%.2f–%.2f)", x.Mean, x.Low, x.High)
	}
	for _, f := range r.Functions {
		for _, name := range order[1:] {
			c, ok := f.Ratios[name]
			if !ok {
				continue
			}
			label := name
			if n := f.Sides[name].Processes; n > 0 {
				label = fmt.Sprintf("bare, %d processes", n)
			}
			row(f.Name, label, show(c.P50), show(c.Throughput))
		}
	}
	end()
}

func (r *Report) writeCold(w *bytes.Buffer) {
	row, end := table(w, "Cold starts, request to answer", "function", "start", "p50 ms", "p99 ms", "count", "sustained /s", "of them pooled", "refused")
	for _, f := range r.Functions {
		for _, kind := range []string{"full", "pooled"} {
			c, ok := f.Cold[kind]
			s, sustained := f.Sustained[kind]
			if !ok && !sustained {
				continue
			}
			cells := []string{f.Name, kind, "", "", "", "", "", ""}
			if ok {
				cells[2], cells[3], cells[4] = number(c.P50ms, 1), number(c.P99ms, 1), strconv.Itoa(c.Count)
			}
			if sustained {
				cells[5], cells[6], cells[7] = number(s.PerSecond, 1), number(100*s.Pooled, 0)+"%", strconv.Itoa(s.Refused)
			}
			row(cells...)
		}
	}
	end()
}

// distribution is what `thermocline simulate --cold-start` reads: percentiles 0
// to 100 in ms, over all functions.
func (r *Report) distribution() ([]byte, error) {
	all := map[string][]time.Duration{}
	for _, f := range r.Functions {
		for kind, c := range f.Cold {
			all[kind] = append(all[kind], c.all...)
		}
	}
	if len(all["full"]) == 0 || len(all["pooled"]) == 0 {
		return nil, fmt.Errorf("the distribution needs cold starts of both kinds, there were %d full and %d pooled", len(all["full"]), len(all["pooled"]))
	}
	return json.MarshalIndent(struct {
		Full   []float64 `json:"full_ms"`
		Pooled []float64 `json:"pooled_ms"`
	}{percentiles(all["full"]), percentiles(all["pooled"])}, "", "  ")
}

// The marks in a document between which the table stands.
const (
	beginMark = "<!-- bench: begin -->"
	endMark   = "<!-- bench: end -->"
)

// update puts the table into a document.
func update(document []byte, table []byte) ([]byte, error) {
	before, rest, ok1 := bytes.Cut(document, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("the document has no %s and %s", beginMark, endMark)
	}
	return slices.Concat(before, []byte(beginMark+"\n```\n"), bytes.TrimSpace(table), []byte("\n```\n"+endMark), after), nil
}
