package replay_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thermocline"
	"thermocline/replay"
	"thermocline/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is one invocation as the target got it.
type call struct {
	at       time.Duration
	function int
	run      time.Duration
}

// target keeps a sandbox of each function for a while, like a server.
type target struct {
	keep  time.Duration
	delay time.Duration // of a cold start
	fails func(n int) error

	began time.Time
	mu    sync.Mutex
	calls []call
	until map[int]time.Time // when the function's sandbox goes
}

func (g *target) Invoke(ctx context.Context, function int, run time.Duration) (replay.Outcome, error) {
	now := time.Now()
	g.mu.Lock()
	g.calls = append(g.calls, call{now.Sub(g.began), function, run})
	n := len(g.calls)
	kind := thermocline.StartWarm
	if !now.Before(g.until[function]) {
		kind = thermocline.StartPooled
	}
	if g.until == nil {
		g.until = map[int]time.Time{}
	}
	g.until[function] = now.Add(g.keep)
	g.mu.Unlock()
	if g.fails != nil {
		if err := g.fails(n); err != nil {
			return replay.Outcome{}, err
		}
	}
	wait := run
	if kind != thermocline.StartWarm {
		wait += g.delay
	}
	select {
	case <-time.After(wait):
		return replay.Outcome{Start: kind, Duration: run}, nil
	case <-ctx.Done():
		return replay.Outcome{}, ctx.Err()
	}
}

// workload is a trace of two functions over ten minutes: one is called twice a
// minute, one in the first and the last minute.
func workload(t *testing.T) *trace.Trace {
	t.Helper()
	var often []trace.Count
	for m := range 10 {
		often = append(often, trace.Count{Minute: m, N: 2})
	}
	w, err := trace.New([]trace.Function{{ID: "often", MemoryMB: 128}, {ID: "rare", MemoryMB: 128}}, 10,
		[][]trace.Count{often, {{Minute: 0, N: 1}, {Minute: 9, N: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := workload(t)
		g := &target{keep: 20 * time.Second, delay: 50 * time.Millisecond, began: time.Now()}
		shares := 0
		r, err := replay.Run(t.Context(), w, g, replay.Options{Seed: 7, Speed: 10, Progress: func(float64) { shares++ }})
		if err != nil {
			t.Fatal(err)
		}
		// The same arrivals as the stream's, ten times as fast.
		stream := w.Stream(trace.Options{Seed: 7})
		for i := 0; ; i++ {
			want, ok := stream.Next()
			if !ok {
				if i != len(g.calls) {
					t.Errorf("%d invocations, want %d", len(g.calls), i)
				}
				break
			}
			if got := g.calls[i]; got != (call{want.At / 10, want.Function, want.Duration / 10}) {
				t.Fatalf("invocation %d: %+v, want %+v", i, got, want)
			}
		}
		if r.Requests != 22 || r.Invocations != 22 || r.InvocationsRare != 2 || r.Failed != 0 || r.Functions != 2 {
			t.Errorf("%+v", r)
		}
		// 20 s are 200 s of the trace: the rare one's sandbox is gone.
		if r.ColdRare != 2 || r.Cold != 3 || r.ColdAgain != 1 || r.Pooled != 3 || r.Full != 0 {
			t.Errorf("cold %d, rare %d, again %d, pooled %d, full %d", r.Cold, r.ColdRare, r.ColdAgain, r.Pooled, r.Full)
		}
		if r.ColdRatio != 3./22 || r.ColdRatioRare != 1 || r.PooledDelay.P50 != 50 || r.StartDelayMax != 50 || r.StartDelayP50 != 0 || r.Late.Max != 0 {
			t.Errorf("%+v", r)
		}
		if shares == 0 {
			t.Error("there was no progress")
		}
	})
}

func TestRunCounts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		o       replay.Options
		fails   func(n int) error
		failed  int64
		counted int64
	}{
		{"failures", replay.Options{Speed: 10}, func(n int) error {
			if n%2 == 0 {
				return errors.New("no")
			}
			return nil
		}, 11, 11},
		{"warm-up", replay.Options{Speed: 10, Warmup: 5 * time.Minute}, nil, 0, 11},
		{"no place", replay.Options{Speed: 10_000, Outstanding: 1}, func(int) error { time.Sleep(time.Hour); return nil }, 21, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, err := replay.Run(t.Context(), workload(t), &target{keep: time.Hour, fails: tt.fails, began: time.Now()}, tt.o)
				if err != nil {
					t.Fatal(err)
				}
				if r.Failed != tt.failed || r.Invocations != tt.counted || r.Requests != 22 {
					t.Errorf("failed %d, counted %d of %d", r.Failed, r.Invocations, r.Requests)
				}
				var failures int64
				for _, n := range r.Failures {
					failures += n
				}
				if failures != tt.failed {
					t.Errorf("failures %v", r.Failures)
				}
			})
		})
	}
}

func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := replay.Run(ctx, workload(t), &target{keep: time.Hour, began: began}, replay.Options{Speed: 10}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, o := range []replay.Options{{Speed: 0}, {Speed: 1e6}, {Speed: 1, Warmup: time.Hour}, {Speed: 1, Outstanding: -1}} {
			if _, err := replay.Run(t.Context(), workload(t), &target{}, o); err == nil {
				t.Errorf("%+v is not refused", o)
			}
		}
	})
}
