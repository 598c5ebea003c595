package host_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/instance/host"
	"thermocline/instance/host/cgroup"
	"thermocline/instance/instancetest"
	"thermocline/sandbox"
)

// slowStarter starts when it is let, whatever its context says.
type slowStarter struct {
	host.Starter
	let chan struct{}
}

func (s slowStarter) Start(ctx context.Context, spec sandbox.Spec, group string) (sandbox.Sandbox, error) {
	<-s.let
	return s.Starter.Start(context.WithoutCancel(ctx), spec, group)
}

// A sandbox that has started in spite of a Close is closed by it.
func TestCloseWaitsForAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, unifiedModel())
		o := w.options("a")
		let := make(chan struct{})
		o.Starter = slowStarter{o.Starter, let}
		p, err := host.New(o)
		if err != nil {
			t.Fatal(err)
		}
		i := acquire(t, p, 256)
		started, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			spec := instancetest.FakeSpec()
			spec.ID = "late"
			_, err := i.Start(t.Context(), spec)
			started <- err
		}()
		synctest.Wait()
		go func() { closed <- i.Close(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close = %v while a sandbox starts", err)
		default:
		}
		close(let)
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-started; thermocline.KindOf(err) != thermocline.KindUnavailable {
			t.Errorf("Start = %v, want KindUnavailable", err)
		}
		if left := w.left(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// slowFiles make groups when they are let.
type slowFiles struct {
	cgroup.Files
	let chan struct{}
}

func (s slowFiles) Mkdir(dir string) error {
	<-s.let
	return s.Files.Mkdir(dir)
}

// An instance that was being made while the provider closed is closed too.
func TestProviderCloseWaitsForAnAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, unifiedModel())
		o := w.options("a")
		let := make(chan struct{})
		o.Files = slowFiles{w.model, let}
		p, err := host.New(o)
		if err != nil {
			t.Fatal(err)
		}
		acquired := make(chan instance.Instance, 1)
		go func() {
			i, err := p.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: 256})
			if err != nil {
				t.Errorf("Acquire: %v", err)
			}
			acquired <- i
		}()
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- p.Close(t.Context()) }()
		synctest.Wait()
		close(let)
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		<-(<-acquired).Done()
		if left := w.left(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A start that takes long is given up.
func TestCloseGivesUpAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, unifiedModel())
		w.fake.StartDelay = time.Hour
		p := w.provider("a")
		i := acquire(t, p, 256)
		started := make(chan error, 1)
		go func() {
			_, err := i.Start(t.Context(), instancetest.FakeSpec())
			started <- err
		}()
		synctest.Wait()
		begin := time.Now()
		if err := i.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := <-started; thermocline.KindOf(err) != thermocline.KindUnavailable {
			t.Errorf("Start = %v, want KindUnavailable", err)
		}
	})
}

// countingStarter counts the calls of Close.
type countingStarter struct {
	host.Starter
	closes *int
}

func (c countingStarter) Start(ctx context.Context, spec sandbox.Spec, group string) (sandbox.Sandbox, error) {
	s, err := c.Starter.Start(ctx, spec, group)
	return countingBox{s, c.closes}, err
}

type countingBox struct {
	sandbox.Sandbox
	closes *int
}

func (c countingBox) Close() error {
	*c.closes++
	return c.Sandbox.Close()
}

// A slice lives for days and does not remember the thousands of sandboxes that
// it has held.
func TestClosedSandboxesAreForgotten(t *testing.T) {
	w := newWorld(t, unifiedModel())
	o := w.options("a")
	closes := 0
	o.Starter = countingStarter{o.Starter, &closes}
	p, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	i := acquire(t, p, 256)
	s, err := i.Start(t.Context(), instancetest.FakeSpec())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closed(t, p)
	if closes != 1 {
		t.Errorf("the sandbox was closed %d times", closes)
	}
}

func TestRecoverRemovesUnfinishedRecords(t *testing.T) {
	w := newWorld(t, unifiedModel())
	dir := filepath.Join(w.state, "a", "instances")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "i-000000000000.json.new"), []byte(`{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.provider("a").Recover(t.Context()); err != nil {
		t.Errorf("Recover: %v", err)
	}
	if left := w.left(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
