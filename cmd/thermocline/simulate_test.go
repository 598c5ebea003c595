package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// traceFiles writes a small trace and returns the flags that name it.
func traceFiles(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	var inv, dur, mem strings.Builder
	inv.WriteString("HashOwner,HashApp,HashFunction,Trigger")
	for m := range 60 {
		fmt.Fprintf(&inv, ",%d", m+1)
	}
	inv.WriteString("\n")
	dur.WriteString("HashFunction,Average,Count,percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n")
	mem.WriteString("HashFunction,AverageAllocatedMb\n")
	for f := range 20 {
		fmt.Fprintf(&inv, "o,a,f%d,http", f)
		for m := range 60 {
			n := 0
			if m%(f+1) == 0 {
				n = 1 + 40/(f*f+1)
			}
			fmt.Fprintf(&inv, ",%d", n)
		}
		inv.WriteString("\n")
		fmt.Fprintf(&dur, "f%d,100,1440,10,10,50,100,150,300,1000\n", f)
		fmt.Fprintf(&mem, "f%d,%d\n", f, 50+10*f)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return []string{"--invocations", write("i.csv", inv.String()), "--durations", write("d.csv", dur.String()), "--memory", write("m.csv", mem.String()), "--warmup", "10m"}
}

func simulateArgs(t *testing.T, more ...string) []string {
	t.Helper()
	return append(append([]string{"simulate"}, traceFiles(t)...), more...)
}

func TestSimulateTable(t *testing.T) {
	r := newMachine(t).run(t, simulateArgs(t, "--seeds", "2")...)
	r.want(t, 0, "20 functions", "60 minutes", "16 instances × 16 GB × 16 slots", "thermocline", "hybrid-histogram", "POLICY", "IDLE-GB·S")
	if r.stderr != "" {
		t.Errorf("without a terminal there is no bar: %q", r.stderr)
	}
}

func TestSimulateJSON(t *testing.T) {
	m := newMachine(t)
	args := simulateArgs(t, "--json", "--seeds", "2", "--policy", "hiku,thermocline", "--keep-alive", "tuned", "--frontends", "3", "--state-delay", "1s",
		"--cold-start", "p50=80ms,p99=150ms", "--arrivals", "poisson", "--lose-instance", "30m", "--burst", "--memory-gb", "2")
	r := m.run(t, args...)
	r.want(t, 0)
	var got []map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	var order []string
	for _, o := range got {
		order = append(order, fmt.Sprint(o["policy"], o["seed"]))
		if o["burst"] == nil || o["loss"] == nil || o["invocations"].(float64) == 0 {
			t.Errorf("%v", o)
		}
	}
	if s := strings.Join(order, " "); s != "hiku1 hiku2 thermocline1 thermocline2" {
		t.Errorf("the order is %s", s)
	}
	if again := m.run(t, args...); again.stdout != r.stdout {
		t.Error("the same command prints something else")
	}
	if other := m.run(t, append(args, "--seed", "7")...); other.stdout == r.stdout {
		t.Error("another seed prints the same")
	}
}

func TestSimulateReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	newMachine(t).run(t, simulateArgs(t, "--policy", "hiku,random", "--report", dir)...).want(t, 0, filepath.Join(dir, "index.html"))
	if raw, err := os.ReadFile(filepath.Join(dir, "index.html")); err != nil || !strings.Contains(string(raw), "</svg>") {
		t.Errorf("the report has %d bytes (%v)", len(raw), err)
	}
}

func TestSimulateSynthetic(t *testing.T) {
	files := traceFiles(t)
	m := newMachine(t)
	args := []string{"simulate", "--durations", files[3], "--minutes", "90", "--functions", "10", "--policy", "hiku"}
	r := m.run(t, args...)
	r.want(t, 0, "10 functions", "90 minutes")
	if again := m.run(t, args...); again.stdout != r.stdout {
		t.Error("the same command prints something else")
	}
}

func TestSimulateColdStartFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bench.json")
	if err := os.WriteFile(file, []byte(`{"p50_ms": 1000, "p99_ms": 1000}`), 0o600); err != nil {
		t.Fatal(err)
	}
	newMachine(t).run(t, simulateArgs(t, "--policy", "random", "--keep-alive", "0s", "--cold-start", file)...).want(t, 0, "1000.00ms")
}

func TestSimulateFaults(t *testing.T) {
	files := traceFiles(t)
	broken := filepath.Join(t.TempDir(), "broken.csv")
	if err := os.WriteFile(broken, []byte("HashFunction,1\nf,many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no trace", []string{"simulate"}, exitUsage, "there is no trace"},
		{"no file", []string{"simulate", "--invocations", "/nowhere.csv"}, exitUsage, "/nowhere.csv"},
		{"broken file", []string{"simulate", "--invocations", broken}, exitFailed, broken + `:2: minute 1: "many" is no count`},
		{"policy", append([]string{"simulate", "--policy", "best"}, files...), exitUsage, `there is no policy "best"; there are thermocline, random`},
		{"policy twice", append([]string{"simulate", "--policy", "hiku,hiku"}, files...), exitUsage, "names hiku twice"},
		{"keep-alive", append([]string{"simulate", "--keep-alive", "long"}, files...), exitUsage, "--keep-alive is a duration"},
		{"cold start", append([]string{"simulate", "--cold-start", "p50"}, files...), exitUsage, "--cold-start: "},
		{"cold start file", append([]string{"simulate", "--cold-start", "/nowhere.json"}, files...), exitUsage, "/nowhere.json"},
		{"arrivals", append([]string{"simulate", "--arrivals", "never"}, files...), exitUsage, "arrivals are uniform"},
		{"burst", append([]string{"simulate", "--burst=10@5m"}, files...), exitUsage, `"10@5m" is not like 10x@90m+10m`},
		{"seeds", append([]string{"simulate", "--seeds", "0"}, files...), exitUsage, "--seeds is 1 to 1000"},
		{"warm-up", append(append([]string{"simulate"}, files...), "--warmup", "2h"), exitUsage, "leaves nothing"},
		{"range", append([]string{"simulate", "--from", "50m", "--to", "20m"}, files...), exitUsage, "leave nothing of 60 minutes"},
		{"instances", append([]string{"simulate", "--instances", "-1"}, files...), exitUsage, "instances are 1 to 4096"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newMachine(t).run(t, tt.args...)
			r.want(t, tt.code, tt.want)
			if r.stdout != "" || !strings.Contains(r.stderr, "→") && tt.name != "no file" && tt.name != "range" {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
		})
	}
}

// docs/simulate.md has every flag, every policy and every field.
func TestSimulateIsDocumented(t *testing.T) {
	page := document(t, "simulate.md")
	c := newSimulateCmd(&globals{env: &env{}})
	for _, line := range strings.Split(c.Flags().FlagUsages(), "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "[")
		if strings.HasPrefix(name, "--") && !strings.Contains(page, "`"+name) {
			t.Errorf("%s is missing", name)
		}
	}
	r := newMachine(t).run(t, simulateArgs(t, "--json", "--keep-alive", "tuned", "--lose-instance", "30m", "--burst=2x@20m+1m")...)
	var got []map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	for _, o := range got {
		if !strings.Contains(page, fmt.Sprintf("| `%s`", o["policy"])) {
			t.Errorf("the policy %s is missing", o["policy"])
		}
		for key, v := range o {
			keys := []string{key}
			if inner, ok := v.(map[string]any); ok {
				for k := range inner {
					keys = append(keys, key+"."+k)
				}
			}
			for _, k := range keys {
				if !strings.Contains(page, "`"+k+"`") {
					t.Errorf("the field %s is missing", k)
				}
			}
		}
	}
}
