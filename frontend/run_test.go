package frontend_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/client"
)

// files lists what a program's code holds.
func files(t *testing.T, p *thermocline.Program) (names []string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(p.Code), int64(len(p.Code)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	return names
}

func text(s string) *string { return &s }

func TestRunProgram(t *testing.T) {
	g := newRig(t)
	for _, tt := range []struct {
		name  string
		in    client.RunRequest
		files []string
		want  thermocline.Program // without its code
	}{
		{"node", client.RunRequest{Runtime: "nodejs20.x", Source: text("1"), Payload: []byte(`{"a":1}`)}, []string{"main.mjs", "main.cjs"},
			thermocline.Program{Runtime: "nodejs20.x", MemoryMB: 128, TmpMB: 512, Timeout: 10 * time.Second}},
		{"node module", client.RunRequest{Runtime: "nodejs20.x", Source: text("1"), Name: "x.mjs"}, []string{"main.mjs"},
			thermocline.Program{Runtime: "nodejs20.x", MemoryMB: 128, TmpMB: 512, Timeout: 10 * time.Second}},
		{"python with all", client.RunRequest{Runtime: "python3.12", Source: text("1"), Name: "app.py", Handler: "app.run", MemoryMB: 256, TmpMB: 1024, TimeoutMS: 50, Environment: map[string]string{"AB": "c"}}, []string{"app.py"},
			thermocline.Program{Runtime: "python3.12", Handler: "app.run", MemoryMB: 256, TmpMB: 1024, Timeout: 50 * time.Millisecond, Environment: map[string]string{"AB": "c"}}},
		{"zip", client.RunRequest{Runtime: "provided.al2023", Zip: packed(t, "bootstrap", "#!")}, []string{"bootstrap"},
			thermocline.Program{Runtime: "provided.al2023", MemoryMB: 128, TmpMB: 512, Timeout: 10 * time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := g.own().Run(t.Context(), tt.in)
			if err != nil {
				t.Fatal(err)
			}
			inv := g.worker.last()
			got := *inv.Program
			if d := cmp.Diff(tt.files, files(t, &got)); d != "" {
				t.Errorf("files: %s", d)
			}
			got.Code = nil
			tt.want.Region = region
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if inv.Function.Account != account || inv.Function.Name != "run:"+a.RequestID || inv.Fleet != "low-volume" {
				t.Errorf("%v in %s", inv.Function, inv.Fleet)
			}
			want := string(tt.in.Payload)
			if want == "" {
				want = "{}"
			}
			if string(a.Result) != want || a.Error != nil {
				t.Errorf("%+v", a)
			}
		})
	}
	if started, _, _ := g.history.get(); started != 0 {
		t.Errorf("%d runs are in the history", started)
	}
	if names := g.store.names(t); len(names) != 0 || g.store.packages(t) != 0 {
		t.Errorf("runs have left functions %v and %d packages", names, g.store.packages(t))
	}
}

func TestRunAnswers(t *testing.T) {
	g := newRig(t)
	for _, tt := range []struct {
		name   string
		result thermocline.Result
		want   client.RunAnswer
	}{
		{"output and timings", thermocline.Result{Payload: []byte("1"), Output: []byte("a\nb\xff\n"), OutputDropped: 3, Report: thermocline.Report{Start: "pooled", Setup: time.Millisecond, Init: 2 * time.Millisecond, Duration: 3 * time.Millisecond, MaxMemoryMB: 9}},
			client.RunAnswer{Result: []byte("1"), Output: "a\nb\ufffd\n", OutputDropped: 3, MaxMemoryMB: 9, Timings: client.RunTimings{Start: "pooled", Setup: 1, Init: 2, Run: 3}}},
		{"error of Node.js", thermocline.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"E","errorMessage":"m","trace":["t"]}`)},
			client.RunAnswer{Result: []byte("null"), Error: &client.RunError{Type: "E", Message: "m", Trace: []string{"t"}}}},
		{"error of Python", thermocline.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"E","errorMessage":"m","stackTrace":["t"]}`), Report: thermocline.Report{Status: "timeout"}},
			client.RunAnswer{Result: []byte("null"), Error: &client.RunError{Type: "E", Message: "m", Trace: []string{"t"}, Status: "timeout"}}},
		{"error of nobody's", thermocline.Result{FunctionError: "Unhandled", Payload: []byte("broken")},
			client.RunAnswer{Result: []byte("null"), Error: &client.RunError{Message: "broken"}}},
		{"text", thermocline.Result{Payload: []byte("no json")}, client.RunAnswer{Result: []byte(`"no json"`)}},
		{"bytes", thermocline.Result{Payload: []byte{0xff}}, client.RunAnswer{Result: []byte("null"), ResultBase64: []byte{0xff}}},
		{"nothing", thermocline.Result{}, client.RunAnswer{Result: []byte("null")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.worker.does(func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) { return &tt.result, nil })
			a, err := g.own().Run(t.Context(), client.RunRequest{Runtime: "python3.12", Source: text("")})
			if err != nil {
				t.Fatal(err)
			}
			a.Timings.Total, a.Timings.Queue = 0, 0
			if d := cmp.Diff(&tt.want, a); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	g := newRig(t)
	big := strings.Repeat("x", thermocline.MaxProgram+1)
	for _, tt := range []struct {
		name, body string
		status     int
		message    string
	}{
		{"no JSON", `{`, 400, "parse request body"},
		{"an unknown member", `{"runtime":"python3.12","source":"","memory":1}`, 400, "memory"},
		{"no code", `{"runtime":"python3.12"}`, 400, "source or as zip"},
		{"two codes", `{"runtime":"python3.12","source":"","zip":"eA=="}`, 400, "source or as zip"},
		{"no zip", `{"runtime":"python3.12","zip":"eA=="}`, 400, "unzip"},
		{"unknown runtime", `{"runtime":"perl5","source":""}`, 400, "perl5"},
		{"missing runtime", `{"runtime":"java21","source":""}`, 400, "no interpreter"},
		{"limits", `{"runtime":"python3.12","source":"","memory_mb":1,"tmp_mb":1,"timeout_ms":-1}`, 400, "3 validation errors"},
		{"environment", `{"runtime":"python3.12","source":"","environment":{"_HANDLER":"x"}}`, 400, "environment"},
		{"reserved", `{"runtime":"python3.12","source":"","environment":{"AWS_REGION":"x"}}`, 400, "reserved"},
		{"a handler without a name", `{"runtime":"python3.12","source":"","handler":"a.b"}`, 400, "name"},
		{"a name that leaves", `{"runtime":"python3.12","source":"","handler":"a.b","name":"../a.py"}`, 400, "name"},
		{"large source", `{"runtime":"python3.12","source":"` + big + `"}`, 413, "bytes"},
		{"large together", `{"runtime":"python3.12","source":"` + big[:3<<20] + `","payload":"` + big[:7<<20>>1] + `"}`, 200, ""},
		{"large body", `{"runtime":"python3.12","source":"` + strings.Repeat("x", 13<<20) + `"}`, 413, "RunProgram"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, _, body := g.raw("POST", "/thermocline/v1/run", []byte(tt.body))
			if status != tt.status || !strings.Contains(string(body), tt.message) {
				t.Errorf("%d %.300s", status, body)
			}
		})
	}
	body := []byte(`{"runtime":"python3.12","source":"1"}`)
	if status, _, _ := g.raw("POST", "/thermocline/v1/run", body, "key", invokeKey); status != http.StatusForbidden {
		t.Errorf("with the scope invoke: %d", status)
	}
	if status, _, _ := g.raw("POST", "/thermocline/v1/run", body, "key", otherKey); status != 200 || g.worker.last().Function.Account != "222222222222" {
		t.Errorf("another account: %d, %v", status, g.worker.last().Function)
	}
}

// Whoever goes away ends the run.
func TestRunEndsWithItsCaller(t *testing.T) {
	g := newRig(t)
	began, ended := make(chan struct{}), make(chan error, 1)
	g.worker.does(func(ctx context.Context, _ *thermocline.Invocation) (*thermocline.Result, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := g.own().Run(ctx, client.RunRequest{Runtime: "python3.12", Source: text("1")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the run ended with %v", err)
	}
}

// Runs of one runtime and memory class have one home.
func TestRunsShareAWarmingPool(t *testing.T) {
	g := newRig(t)
	var partitions []int
	g.worker.routed = func(partition int) { partitions = append(partitions, partition) }
	for _, memory := range []int{128, 128, 256, 256} {
		if _, err := g.own().Run(t.Context(), client.RunRequest{Runtime: "python3.12", Source: text("1"), MemoryMB: memory}); err != nil {
			t.Fatal(err)
		}
	}
	if partitions[0] != partitions[1] || partitions[2] != partitions[3] {
		t.Errorf("partitions %v", partitions)
	}
}
