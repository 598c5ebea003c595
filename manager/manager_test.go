package manager_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/manager"
	"thermocline/manager/pool"
	"thermocline/sandbox"
)

func function(name string, mb int) *thermocline.Function {
	return &thermocline.Function{
		FunctionID: thermocline.FunctionID{Account: "000000000000", Name: name, Version: thermocline.Latest},
		Runtime:    "nodejs20.x", MemoryMB: mb, Timeout: 3 * time.Second, Generation: 1, CodeSHA256: "x",
	}
}

func invocation(name string, i int) *thermocline.Invocation {
	return &thermocline.Invocation{
		RequestID: fmt.Sprint(name, "-", i), Function: function(name, 0).FunctionID,
		Generation: 1, Type: thermocline.RequestResponse, Payload: []byte(`{}`), LogTail: true,
	}
}

func echo(_ sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome {
	return sandbox.Outcome{Payload: inv.Payload, Duration: time.Millisecond}
}

func yes() error { return nil }

// bench runs test in a bubble with a running manager, then closes it and checks
// that nothing is left.
func bench(t *testing.T, n *node, o manager.Options, test func(t *testing.T, m *manager.Manager, s *shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		o.ID, o.Fleet, o.Node = "m1", "low-volume", "n1"
		o.Provider, o.Functions, o.Code, o.Logs = n, s, s, s
		if o.Pool.WarmMB == 0 {
			o.Pool.WarmMB = -1 // tests of the warming pool set it
		}
		if n.handler == nil {
			n.handler = echo
		}
		m := manager.New(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		test(t, m, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if left := n.sandboxes(); left != 0 {
			t.Errorf("%d sandboxes were left behind", left)
		}
		if left := s.held.Load(); left != 0 {
			t.Errorf("%d code directories were left in use", left)
		}
		if v := n.overlaps.Load(); v != 0 {
			t.Errorf("%d invocations overlapped in a sandbox or ran in a frozen one", v)
		}
	})
}

func TestWarmAndFull(t *testing.T) {
	bench(t, newNode(4096), manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		var kinds []thermocline.StartKind
		for i := range 3 {
			res, err := m.Handle(t.Context(), invocation("f", i), yes)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, res.Report.Start)
			for _, want := range []string{"START RequestId: ", "hello from ", "END RequestId: ", "REPORT RequestId: ", "start: "} {
				if !strings.Contains(string(res.LogTail), want) {
					t.Errorf("the log tail lacks %q:\n%s", want, res.LogTail)
				}
			}
			if res.Report.Manager != "m1" || res.Report.Instance != "i1" {
				t.Errorf("report = %+v", res.Report)
			}
		}
		if diff := cmp.Diff([]thermocline.StartKind{"full", "warm", "warm"}, kinds); diff != "" {
			t.Error(diff)
		}
		var got []thermocline.LogKind
		for _, l := range s.lines[:4] {
			got = append(got, l.Kind)
		}
		if diff := cmp.Diff([]thermocline.LogKind{"START", "line", "END", "REPORT"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestEventsSettle shows that Handle returns for an event only after its lines
// are safe, and does not wait for that otherwise.
func TestEventsSettle(t *testing.T) {
	bench(t, newNode(4096), manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		for i, kind := range []thermocline.InvocationType{thermocline.RequestResponse, thermocline.Event} {
			inv := invocation("f", i)
			inv.Type = kind
			if _, err := m.Handle(t.Context(), inv, yes); err != nil {
				t.Fatal(err)
			}
			if got := s.settled.Load(); got != int64(i) {
				t.Errorf("after a %s the log was settled %d times, want %d", kind, got, i)
			}
		}
	})
}

func TestNothingStartsUnaccepted(t *testing.T) {
	n := newNode(4096)
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		late := errors.New("too late")
		if _, err := m.Handle(t.Context(), invocation("f", 1), func() error { return late }); !errors.Is(err, late) {
			t.Errorf("Handle = %v, want %v", err, late)
		}
		if n.started.Load() != 0 {
			t.Error("a sandbox was started for an invocation that was not accepted")
		}
		if c := m.Status().Sandboxes; c != (thermocline.SandboxCounts{}) {
			t.Errorf("sandboxes = %+v, want none", c)
		}
	})
}

func TestRefusesAtOnceWithoutRoom(t *testing.T) {
	n := newNode(256)
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		block := make(chan struct{})
		n.handler = func(b sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome {
			<-block
			return echo(b, inv)
		}
		s.put(function("f", 128))
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				if _, err := m.Handle(t.Context(), invocation("f", i), yes); err != nil {
					t.Errorf("Handle %d: %v", i, err)
				}
			})
		}
		synctest.Wait()
		_, err := m.Handle(t.Context(), invocation("f", 2), func() error {
			t.Error("accepted was called for a refused invocation")
			return nil
		})
		if thermocline.KindOf(err) != thermocline.KindRefused {
			t.Errorf("Handle = %v, want a refusal", err)
		}
		close(block)
		wg.Wait()
	})
}

func TestEvictsTheIdleForOthers(t *testing.T) {
	n := newNode(256)
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		for i := range 5 {
			name := fmt.Sprint("f", i)
			s.put(function(name, 128))
			if _, err := m.Handle(t.Context(), invocation(name, i), yes); err != nil {
				t.Fatal(err)
			}
		}
		if got := n.sandboxes(); got != 2 {
			t.Errorf("%d sandboxes in 256 MB, want 2", got)
		}
	})
}

func TestNewGeneration(t *testing.T) {
	n := newNode(4096)
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		if _, err := m.Handle(t.Context(), invocation("f", 1), yes); err != nil {
			t.Fatal(err)
		}
		f := function("f", 128)
		f.Generation = 2
		s.put(f)
		res, err := m.Handle(t.Context(), invocation("f", 2), yes)
		if err != nil {
			t.Fatal(err)
		}
		if res.Report.Start != thermocline.StartFull {
			t.Errorf("an updated function started %s, want full", res.Report.Start)
		}
		if got := n.sandboxes(); got != 1 {
			t.Errorf("%d sandboxes, want the old one closed", got)
		}
	})
}

func TestIdleIsFrozenThenClosed(t *testing.T) {
	n := newNode(4096)
	bench(t, n, manager.Options{Pool: pool.Config{Fixed: true, KeepAlive: time.Minute, InstanceIdle: time.Second}}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		if _, err := m.Handle(t.Context(), invocation("f", 1), yes); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Millisecond)
		if n.frozen.Load() != 0 {
			t.Error("frozen before 100 ms")
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if n.frozen.Load() != 1 {
			t.Errorf("frozen %d times after 110 ms, want once", n.frozen.Load())
		}
		if _, err := m.Handle(t.Context(), invocation("f", 2), yes); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n.sandboxes() != 0 || len(m.Status().Instances) != 0 {
			t.Errorf("after the keep-alive: %d sandboxes, instances %+v", n.sandboxes(), m.Status().Instances)
		}
	})
}

func TestCloseEndsWhatRuns(t *testing.T) {
	n := newNode(4096)
	n.handler = func(sandbox.Binding, sandbox.Invocation) sandbox.Outcome {
		time.Sleep(time.Second)
		return sandbox.Outcome{}
	}
	bench(t, n, manager.Options{}, func(t *testing.T, m *manager.Manager, s *shelf) {
		s.put(function("f", 128))
		got := make(chan error, 1)
		go func() {
			_, err := m.Handle(context.Background(), invocation("f", 1), yes)
			got <- err
		}()
		synctest.Wait()
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-got; err == nil {
			t.Error("an invocation whose sandbox was closed returned no error")
		}
		time.Sleep(2 * time.Second)
	})
}

// TestPooled shows that a cold start fills the warming pool, and that the next
// function's first call takes from it.
func TestPooled(t *testing.T) {
	n := newNode(4096)
	bench(t, n, manager.Options{Pool: pool.Config{WarmMB: 512}}, func(t *testing.T, m *manager.Manager, s *shelf) {
		var got []thermocline.StartKind
		for i := range 4 {
			name := fmt.Sprint("f", i)
			s.put(function(name, 128))
			res, err := m.Handle(t.Context(), invocation(name, i), yes)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, res.Report.Start)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if diff := cmp.Diff([]thermocline.StartKind{"full", "pooled", "pooled", "pooled"}, got); diff != "" {
			t.Error(diff)
		}
		if c := m.Status().Sandboxes; c.Warming == 0 || c.Idle != 4 {
			t.Errorf("sandboxes = %+v, want 4 idle and some warming", c)
		}
		f := function("options", 128)
		f.Environment = map[string]string{"NODE_OPTIONS": "--no-warnings"}
		s.put(f)
		res, err := m.Handle(t.Context(), invocation("options", 0), yes)
		if err != nil {
			t.Fatal(err)
		}
		if res.Report.Start != thermocline.StartFull {
			t.Errorf("a function that sets NODE_OPTIONS started %s", res.Report.Start)
		}
		if v := n.mixed.Load(); v != 0 {
			t.Errorf("%d sandboxes were bound twice", v)
		}
	})
}

// TestSlots shows that a manager promises what its memory can hold.
func TestSlots(t *testing.T) {
	bench(t, newNode(1024), manager.Options{InstanceMB: 512}, func(t *testing.T, m *manager.Manager, s *shelf) {
		if got := m.Info().Slots; got != 8 {
			t.Errorf("1,024 MB free make %d slots of 128 MB, want 8", got)
		}
		s.put(function("f", 512))
		if _, err := m.Handle(t.Context(), invocation("f", 1), yes); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := m.Info().Slots; got != 2 {
			t.Errorf("with sandboxes of 512 MB %d slots, want 2", got)
		}
	})
}

// TestManyAtOnce is for the race detector and the counters of the fake.
func TestManyAtOnce(t *testing.T) {
	n := newNode(1024)
	n.handler = func(b sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome {
		if !strings.HasPrefix(inv.RequestID, b.Function.Name+"-") {
			n.mixed.Add(1)
		}
		time.Sleep(50 * time.Millisecond)
		return echo(b, inv)
	}
	bench(t, n, manager.Options{InstanceMB: 512, FreezeAfter: 5 * time.Millisecond}, func(t *testing.T, m *manager.Manager, s *shelf) {
		var wg sync.WaitGroup
		for i := range 12 {
			name := fmt.Sprint("f", i)
			s.put(function(name, 128))
			wg.Go(func() {
				for j := range 50 {
					_, err := m.Handle(t.Context(), invocation(name, j), yes)
					if err != nil && thermocline.KindOf(err) != thermocline.KindRefused {
						t.Errorf("%s: %v", name, err)
					}
					time.Sleep(time.Duration(10*(i+1)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if v := n.mixed.Load(); v != 0 {
			t.Errorf("%d invocations ran in another function's sandbox", v)
		}
	})
}
