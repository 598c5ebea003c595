package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test's binary be the bare loop, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 7 && os.Args[1] == "bare" {
		if err := bareMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bare:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestSmoke plays all of it once, as short as can be.
func TestSmoke(t *testing.T) {
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	} else if _, err := exec.LookPath("runc"); err != nil {
		missing = "runc"
	}
	if missing != "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("this test needs %s", missing)
		}
		t.Skipf("SKIPPED: this test needs %s", missing)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "thermocline")
	build := exec.Command("go", "build", "-o", program, "thermocline/cmd/thermocline")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	document, result, cold := filepath.Join(dir, "doc.md"), filepath.Join(dir, "result.json"), filepath.Join(dir, "cold.json")
	if err := os.WriteFile(document, []byte("before\n"+beginMark+"\nyesterday\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	err := command(ctx, []string{
		"-thermocline", program, "-root", "../..", "-functions", "python", "-time", "100ms", "-rounds", "2",
		"-cold", "2", "-cold-pause", "300ms", "-sustain", "300ms", "-json-file", result, "-cold-start", cold, "-update", document,
	}, &stdout, &stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var r Report
	read(t, result, &r)
	for _, f := range r.Functions {
		for _, side := range []string{"platform", "bare"} {
			s := f.Sides[side]
			if s.P50us <= 0 || s.P99us < s.P50us || s.PerSecond <= 0 || s.Requests == 0 {
				t.Errorf("%s, %s: %+v", f.Name, side, s)
			}
		}
		if c := f.Ratios["bare"]; c.P50.Pairs != 2 || c.P50.Mean <= 0 || c.Throughput.Mean <= 0 {
			t.Errorf("%s: ratios %+v", f.Name, c)
		}
		if f.Cold["full"].Count < 2 || f.Sustained["full"].PerSecond <= 0 || f.IdleMB <= 0 || f.Sandboxes == 0 {
			t.Errorf("%s: %+v", f.Name, f)
		}
	}
	var distribution map[string][]float64
	read(t, cold, &distribution)
	if len(distribution["full_ms"]) != 101 || len(distribution["pooled_ms"]) != 101 {
		t.Errorf("the distribution is %v", distribution)
	}
	changed, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(changed); strings.Contains(s, "yesterday") || !strings.Contains(s, strings.TrimSpace(stdout.String())) || !strings.HasSuffix(s, "after\n") {
		t.Errorf("the document is %s", s)
	}
	t.Logf("%s", stderr.Bytes())
}

func read(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestQuantile(t *testing.T) {
	var ds []time.Duration
	for i := range 100 {
		ds = append(ds, time.Duration(i+1)*time.Millisecond)
	}
	for _, tc := range []struct {
		q    float64
		want time.Duration
	}{{0, 1}, {0.5, 50}, {0.99, 99}, {1, 100}} {
		if got := quantile(ds, tc.q); got != tc.want*time.Millisecond {
			t.Errorf("quantile %v is %v, not %d ms", tc.q, got, tc.want)
		}
	}
	if p := percentiles(ds); len(p) != 101 || p[0] != 1 || p[50] != 50 || p[100] != 100 {
		t.Errorf("the percentiles are %v", p)
	}
}

func TestRatio(t *testing.T) {
	// log ratios log 2 ± d: by hand, t(1) = 12.706.
	got := ratio([]float64{2, 8}, []float64{1, 4})
	if diff := cmp.Diff(Ratio{Mean: 2, Low: 2, High: 2, Pairs: 2}, got); diff != "" {
		t.Error(diff)
	}
	got = ratio([]float64{1, 4}, []float64{1, 1})
	half := 12.706 * math.Log(2) // the deviation of {0, log 4} is √2 log 2, by √2
	want := Ratio{Mean: 2, Low: roundTo(math.Exp(math.Log(2)-half), 3), High: roundTo(math.Exp(math.Log(2)+half), 3), Pairs: 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := ratio(nil, nil); got.Pairs != 0 {
		t.Errorf("nothing gives %+v", got)
	}
}

func TestConnReadsResponses(t *testing.T) {
	for _, tc := range []struct{ name, wire, body string }{
		{"length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Amz-Function-Error: Unhandled\r\n\r\nhello", "hello"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Amz-Function-Error: Unhandled\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Amz-Function-Error: Unhandled\r\n\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			go func() {
				defer theirs.Close()
				_, _ = io.ReadFull(theirs, make([]byte, 4))
				_, _ = io.WriteString(theirs, tc.wire)
			}()
			c := newConn(ours)
			r, err := c.do([]byte("GET "))
			if err != nil || r.status != 200 || string(r.body) != tc.body || r.functionError != "Unhandled" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
