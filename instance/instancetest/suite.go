package instancetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"thermocline"
	"thermocline/instance"
	"thermocline/sandbox"
)

// Run tests a provider.
func Run(t *testing.T, f Factory) {
	tests := map[string]func(r rig){
		"Identity":              testIdentity,
		"Budget":                testBudget,
		"BadRequests":           testBadRequests,
		"Sandboxes":             testSandboxes,
		"CloseEndsSandboxes":    testCloseEndsSandboxes,
		"CloseEndsInvocations":  testCloseEndsInvocations,
		"CloseMeetsStart":       testCloseMeetsStart,
		"CloseAtTheSameTime":    testCloseAtTheSameTime,
		"ProviderClose":         testProviderClose,
		"RecoverSparesTheQuick": testRecoverSparesTheQuick,
		"RecoverReapsTheDead":   testRecoverReapsTheDead,
		"RecoverSparesOthers":   testRecoverSparesOthers,
		"ManyAtOnce":            testManyAtOnce,
		"AcquireAndClose":       testAcquireAndClose,
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) { tests[name](newRig(t, f)) })
	}
}

func testIdentity(r rig) {
	a, b := r.acquire("manager-a"), r.acquire("manager-b")
	if a.ID() == "" || a.ID() == b.ID() {
		r.Errorf("the ids are %q and %q, want two", a.ID(), b.ID())
	}
	if a.Owner() != "manager-a" || b.Owner() != "manager-b" {
		r.Errorf("the owners are %q and %q", a.Owner(), b.Owner())
	}
	if a.Provider() != r.Provider.Name() || a.Provider() == "" {
		r.Errorf("Provider() is %q, the provider's Name() %q", a.Provider(), r.Provider.Name())
	}
	if a.MemoryMB() != r.InstanceMB {
		r.Errorf("MemoryMB() is %d, want %d", a.MemoryMB(), r.InstanceMB)
	}
	if isDone(a) {
		r.Error("a new instance is done")
	}
}

func testBudget(r rig) {
	total, free := r.Provider.Capacity()
	if total != free || total < 4*r.InstanceMB || total >= 65*r.InstanceMB {
		r.Fatalf("Capacity() is %d, %d with instances of %d MB", total, free, r.InstanceMB)
	}
	_, err := r.Provider.Acquire(r.Context(), instance.Request{Owner: "m", MemoryMB: total + 1})
	r.wantKind(err, thermocline.KindRefused)

	var held []instance.Instance
	for range total / r.InstanceMB {
		held = append(held, r.acquire("m"))
	}
	_, err = r.Provider.Acquire(r.Context(), instance.Request{Owner: "another", MemoryMB: r.InstanceMB})
	r.wantKind(err, thermocline.KindRefused)
	if _, free := r.Provider.Capacity(); free != total-len(held)*r.InstanceMB {
		r.Errorf("%d MB are free, want %d", free, total-len(held)*r.InstanceMB)
	}
	if err := held[0].Close(r.Context()); err != nil {
		r.Fatalf("Close: %v", err)
	}
	r.acquire("another") // there is room again
}

func testBadRequests(r rig) {
	for name, q := range map[string]instance.Request{
		"no size":         {Owner: "m"},
		"a negative size": {Owner: "m", MemoryMB: -1},
		"no owner":        {MemoryMB: r.InstanceMB},
	} {
		if _, err := r.Provider.Acquire(r.Context(), q); err == nil || thermocline.KindOf(err) == thermocline.KindRefused {
			r.Errorf("with %s: %v, want an error that is no refusal", name, err)
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	_, err := r.Provider.Acquire(ctx, instance.Request{Owner: "m", MemoryMB: r.InstanceMB})
	if !errors.Is(err, context.Canceled) {
		r.Errorf("with a cancelled context: %v", err)
	}
	r.wantFree(r.Provider)
}

func testSandboxes(r rig) {
	i := r.acquire("m")
	a, b := r.start(i), r.start(i)
	for _, s := range []sandbox.Sandbox{a, b, a} {
		if err := echo(r.Context(), s, "hello"); err != nil {
			r.Error(err)
		}
	}
	if err := a.Close(); err != nil {
		r.Errorf("Close of a sandbox: %v", err)
	}
	r.wantEnded(a)
	if err := echo(r.Context(), b, "still"); err != nil { // b is not a's business
		r.Error(err)
	}
	if err := echo(r.Context(), r.start(i), "again"); err != nil {
		r.Error(err)
	}
}

func testCloseEndsSandboxes(r rig) {
	i, other := r.acquire("m"), r.acquire("m")
	a, b, neighbour := r.start(i), r.start(i), r.start(other)
	if err := echo(r.Context(), a, "hello"); err != nil {
		r.Error(err)
	}
	for range 2 { // the second finds nothing to do
		if err := i.Close(r.Context()); err != nil {
			r.Fatalf("Close: %v", err)
		}
	}
	if !isDone(i) {
		r.Error("a closed instance is not done")
	}
	r.wantEnded(a)
	r.wantEnded(b)
	if _, err := i.Start(r.Context(), r.spec()); err == nil {
		r.Error("a closed instance starts sandboxes")
	}
	if isDone(other) {
		r.Error("another instance is done too")
	}
	if err := echo(r.Context(), neighbour, "still"); err != nil {
		r.Error(err)
	}
	if err := other.Close(r.Context()); err != nil {
		r.Fatalf("Close: %v", err)
	}
	r.wantFree(r.Provider)
}

func testCloseEndsInvocations(r rig) {
	i := r.acquire("m")
	s := r.start(i)
	ended := make(chan error, 1)
	go func() {
		out, err := s.Invoke(r.Context(), invocation(""))
		if err == nil && out.Failure == sandbox.FailureNone {
			err = errors.New("it was answered")
		} else {
			err = nil
		}
		ended <- err
	}()
	if err := i.Close(r.Context()); err != nil {
		r.Errorf("Close: %v", err)
	}
	if err := <-ended; err != nil {
		r.Errorf("an invocation that was running, or was to run: %v", err)
	}
}

// Whichever comes first: after Close there is no sandbox.
func testCloseMeetsStart(r rig) {
	for range 5 {
		i := r.acquire("m")
		var group sync.WaitGroup
		started := make([]sandbox.Sandbox, 4)
		for n := range started {
			group.Go(func() {
				if s, err := i.Start(r.Context(), r.spec()); err == nil {
					started[n] = s
				}
			})
		}
		if err := i.Close(r.Context()); err != nil {
			r.Errorf("Close: %v", err)
		}
		r.wantLeft(0)
		group.Wait()
		for _, s := range started {
			if s != nil {
				r.wantEnded(s)
			}
		}
		r.wantFree(r.Provider)
	}
}

func testCloseAtTheSameTime(r rig) {
	i := r.acquire("m")
	s := r.start(i)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := i.Close(r.Context()); err != nil {
				r.Errorf("Close: %v", err)
			}
			if !isDone(i) {
				r.Error("Close returned and the instance is not done")
			}
		})
		group.Go(func() {
			if err := s.Close(); err != nil {
				r.Errorf("Close of the sandbox: %v", err)
			}
		})
	}
	group.Wait()
	r.wantFree(r.Provider)
}

func testProviderClose(r rig) {
	a, b := r.acquire("m"), r.acquire("n")
	s := r.start(a)
	for range 2 {
		if err := r.Provider.Close(r.Context()); err != nil {
			r.Fatalf("Close: %v", err)
		}
	}
	if !isDone(a) || !isDone(b) {
		r.Error("instances of a closed provider are not done")
	}
	r.wantEnded(s)
	_, err := r.Provider.Acquire(r.Context(), instance.Request{Owner: "m", MemoryMB: r.InstanceMB})
	r.wantKind(err, thermocline.KindUnavailable)
	r.wantFree(r.Provider)
}

func testRecoverSparesTheQuick(r rig) {
	i := r.acquire("m")
	s := r.start(i)
	var before, after []string
	if r.Left != nil {
		before = r.Left()
	}
	for range 2 {
		if err := r.Provider.Recover(r.Context()); err != nil {
			r.Fatalf("Recover: %v", err)
		}
	}
	if r.Left != nil {
		after = r.Left()
	}
	if diff := cmp.Diff(before, after, cmpopts.SortSlices(strings.Compare)); diff != "" {
		r.Errorf("Recover changed what is on the machine: %s", diff)
	}
	if isDone(i) {
		r.Error("Recover ended a living instance")
	}
	if err := echo(r.Context(), s, "still"); err != nil {
		r.Error(err)
	}
}

func testRecoverReapsTheDead(r rig) {
	if r.Successor == nil {
		r.Skip("this provider is not tested for recovery")
	}
	i, j := r.acquire("m"), r.acquire("m")
	r.start(i)
	r.start(j)
	r.start(j)
	r.wantLeft(2)

	next := r.Successor() // the first is dead from here on
	for range 2 {
		if err := next.Recover(r.Context()); err != nil {
			r.Fatalf("Recover: %v", err)
		}
	}
	r.wantFree(next)
	got, err := next.Acquire(r.Context(), instance.Request{Owner: "m", MemoryMB: r.InstanceMB})
	if err != nil {
		r.Fatalf("Acquire after Recover: %v", err)
	}
	if err := echo(r.Context(), r.start(got), "again"); err != nil {
		r.Error(err)
	}
	if err := next.Close(r.Context()); err != nil {
		r.Errorf("Close: %v", err)
	}
	r.wantFree(next)
}

func testRecoverSparesOthers(r rig) {
	if r.Stranger == nil || r.Successor == nil {
		r.Skip("this provider is not tested beside another")
	}
	stranger := r.Stranger()
	if err := stranger.Recover(r.Context()); err != nil {
		r.Fatalf("Recover: %v", err)
	}
	theirs, err := stranger.Acquire(r.Context(), instance.Request{Owner: "m", MemoryMB: r.InstanceMB})
	if err != nil {
		r.Fatalf("Acquire: %v", err)
	}
	s := r.start(theirs)
	r.start(r.acquire("m"))

	next := r.Successor()
	if err := next.Recover(r.Context()); err != nil {
		r.Fatalf("Recover: %v", err)
	}
	if isDone(theirs) {
		r.Error("another's instance is done")
	}
	if err := echo(r.Context(), s, "still"); err != nil {
		r.Errorf("another's sandbox: %v", err)
	}
	if err := errors.Join(next.Close(r.Context()), stranger.Close(r.Context())); err != nil {
		r.Errorf("Close: %v", err)
	}
	r.wantLeft(0)
}

func testManyAtOnce(r rig) {
	instances := []instance.Instance{r.acquire("m"), r.acquire("m"), r.acquire("n"), r.acquire("n")}
	sandboxes := make([]sandbox.Sandbox, r.Sandboxes)
	var group sync.WaitGroup
	gate := make(chan struct{}, 8) // starting is not what this is about
	for n := range sandboxes {
		group.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			s, err := instances[n%len(instances)].Start(r.Context(), r.spec())
			if err != nil {
				r.Errorf("Start: %v", err)
			}
			sandboxes[n] = s
		})
	}
	group.Wait()
	if r.Failed() {
		return
	}
	for n, s := range sandboxes {
		group.Go(func() {
			for k := range 3 {
				if err := echo(r.Context(), s, fmt.Sprintf("%d of %d", k, n)); err != nil {
					r.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func testAcquireAndClose(r rig) {
	total, _ := r.Provider.Capacity()
	var held atomic.Int64
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for k := range 5 {
				q := instance.Request{Owner: fmt.Sprintf("m%d", n), MemoryMB: r.InstanceMB}
				i, err := r.Provider.Acquire(r.Context(), q)
				if thermocline.KindOf(err) == thermocline.KindRefused && err != nil {
					continue
				}
				if err != nil {
					r.Errorf("Acquire: %v", err)
					return
				}
				if now := held.Add(int64(r.InstanceMB)); now > int64(total) {
					r.Errorf("%d MB are held of %d", now, total)
				}
				if k%2 == 0 {
					r.useOnce(i)
				}
				held.Add(-int64(r.InstanceMB)) // before the memory can go to another
				if err := i.Close(context.Background()); err != nil {
					r.Errorf("Close: %v", err)
				}
			}
		})
	}
	group.Wait()
	r.wantFree(r.Provider)
}

// useOnce starts a sandbox, invokes it and leaves it to the instance's Close.
func (r rig) useOnce(i instance.Instance) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	s, err := i.Start(ctx, r.spec())
	if err == nil {
		err = echo(ctx, s, i.ID())
	}
	if err != nil {
		r.Error(err)
	}
}
