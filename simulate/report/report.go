package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"thermocline/simulate"
)

//go:embed page.html
var page string

// Name is the page's file.
const Name = "index.html"

// Fact is a line about the runs.
type Fact struct{ Name, Value string }

// table is a table of the page.
type table struct {
	Title  string
	Header []string
	Rows   []row
}

type row struct {
	Cells []string
	Ours  bool
}

// drawing is a plot of the page.
type drawing struct {
	SVG     template.HTML
	Caption string
}

// Write writes the page of some results into a directory, which it makes, and
// returns its path. Results of one policy that differ in their seeds stand
// together.
func Write(dir, title string, facts []Fact, results []*simulate.Result) (string, error) {
	raw, err := Page(title, facts, results)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, Name)
	// Beside it first: a page that is there is whole.
	if err := os.WriteFile(path+".new", raw, 0o644); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// Page returns the page.
func Page(title string, facts []Fact, results []*simulate.Result) ([]byte, error) {
	t, err := template.New(Name).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("read the page's template: %w", err)
	}
	plots, err := draw(results)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title": title, "Facts": facts, "Tables": tables(results), "Plots": plots,
	})
	return out.Bytes(), err
}

func tables(results []*simulate.Result) []table {
	means := simulate.Mean(results)
	all := []table{figures("Mean of the seeds", means, false), costs(means)}
	if len(means) < len(results) {
		all = append(all, figures("Each seed", results, true))
	}
	if t := bursts(results); t.Rows != nil {
		all = append(all, t)
	}
	if t := losses(results); t.Rows != nil {
		all = append(all, t)
	}
	return all
}

func figures(title string, results []*simulate.Result, seeds bool) table {
	t := table{Title: title, Header: []string{
		"policy", "keep-alive", "cold", "cold, rare", "p50 of functions", "p75", "start delay mean", "p50", "p99", "p99.9", "mean, rare", "slowdown p99",
	}}
	for _, r := range results {
		name := r.Policy
		if seeds {
			name += ", seed " + strconv.FormatUint(r.Seed, 10)
		}
		t.Rows = append(t.Rows, row{Ours: r.Policy == simulate.Thermocline, Cells: []string{
			name, keep(r.KeepAlive), percent(r.ColdRatio), percent(r.ColdRatioRare), percent(r.FnColdP50), percent(r.FnColdP75),
			ms(r.StartDelayMean), ms(r.StartDelayP50), ms(r.StartDelayP99), ms(r.StartDelayP999), ms(r.StartDelayMeanRare),
			strconv.FormatFloat(r.SlowdownP99, 'f', 2, 64),
		}})
	}
	return t
}

func costs(results []*simulate.Result) table {
	t := table{Title: "What it costs", Header: []string{
		"policy", "idle GB·s", "instance-hours", "most instances", "starts/s", "class changes", "state, bytes", "messages/request", "invocations", "cold", "pooled", "failed",
	}}
	for _, r := range results {
		t.Rows = append(t.Rows, row{Ours: r.Policy == simulate.Thermocline, Cells: []string{
			r.Policy, fmt.Sprintf("%.0f", r.IdleGBs), fmt.Sprintf("%.1f", r.InstanceHours), strconv.Itoa(r.MaxInstances),
			fmt.Sprintf("%.3f", r.ChurnPerS), fmt.Sprintf("%.0f", r.ClassChanges), strconv.FormatInt(r.StateBytes, 10),
			fmt.Sprintf("%.3f", r.MessagesPerRequest), strconv.FormatInt(r.Invocations, 10), strconv.FormatInt(r.Cold, 10),
			strconv.FormatInt(r.Pooled, 10), strconv.FormatInt(r.Failed, 10),
		}})
	}
	return t
}

func bursts(results []*simulate.Result) table {
	t := table{Title: "The rare functions without and with the burst", Header: []string{
		"policy", "seed", "cold", "with", "change", "start delay mean", "with", "change",
	}}
	for _, r := range results {
		if b := r.Burst; b != nil {
			t.Rows = append(t.Rows, row{Ours: r.Policy == simulate.Thermocline, Cells: []string{
				r.Policy, strconv.FormatUint(r.Seed, 10), percent(b.WithoutColdRatioRare), percent(r.ColdRatioRare), change(b.ColdRatioRareChange),
				ms(b.WithoutDelayMeanRare), ms(r.StartDelayMeanRare), change(b.StartDelayRareChange),
			}})
		}
	}
	return t
}

func losses(results []*simulate.Result) table {
	t := table{Title: "The loss of an instance", Header: []string{
		"policy", "seed", "warm sandboxes", "lost", "share", "cold starts more", "recovered after", "retried",
	}}
	for _, r := range results {
		if l := r.Loss; l != nil {
			after := fmt.Sprintf("%.0f s", l.RecoveryS)
			if l.RecoveryS < 0 {
				after = "never"
			}
			t.Rows = append(t.Rows, row{Ours: r.Policy == simulate.Thermocline, Cells: []string{
				r.Policy, strconv.FormatUint(r.Seed, 10), strconv.Itoa(l.Warm), strconv.Itoa(l.Lost), percent(l.LostShare),
				strconv.FormatInt(l.ExtraCold, 10), after, strconv.FormatInt(r.Retried, 10),
			}})
		}
	}
	return t
}

func keep(seconds float64) string {
	if seconds < 0 {
		return "–"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

func percent(v float64) string { return strconv.FormatFloat(v*100, 'g', 4, 64) + "%" }
func change(v float64) string  { return fmt.Sprintf("%+.1f%%", v*100) }
func ms(v float64) string      { return strconv.FormatFloat(v, 'f', 2, 64) + " ms" }
