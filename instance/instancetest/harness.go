package instancetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"crypto/rand"

	"thermocline"
	"thermocline/instance"
	"thermocline/sandbox"
	"thermocline/sandbox/sandboxtest"
)

// Harness is a provider under test with what the suite needs to know.
type Harness struct {
	// Provider is new and has room for at least four instances of InstanceMB,
	// and for no more than 64. The suite closes it.
	Provider instance.Provider
	// InstanceMB is the size of the suite's instances.
	InstanceMB int
	// Spec makes the spec of a bound sandbox that runs the suite's program
	// (sandboxtest.WriteProgram, or Program). The suite sets the ID.
	Spec func() sandbox.Spec
	// Sandboxes is how many sandboxes invoke at once in the test of that, 100
	// if 0.
	Sandboxes int
	// Successor makes a provider of the same identity, as after a crash of the
	// first; nil leaves the tests of that out.
	Successor func() instance.Provider
	// Stranger makes a provider of another identity on the same machine; nil
	// leaves the test of that out.
	Stranger func() instance.Provider
	// Left returns what of instances and sandboxes is on the machine; nil
	// leaves the checks of that out.
	Left func() []string
}

// Factory makes a Harness. It is called once per test.
type Factory func(t *testing.T) Harness

// Program is the part of the suite's program that this suite uses, for
// sandboxtest's fake.
func Program(*thermocline.Function) sandboxtest.Code {
	return func(context.Context, *sandboxtest.Process) (sandboxtest.Handler, error) {
		return func(ctx context.Context, inv sandbox.Invocation) ([]byte, error) {
			var e struct {
				Do    string
				Value json.RawMessage
			}
			if err := json.Unmarshal(inv.Payload, &e); err != nil {
				return nil, err
			}
			if e.Do == "sleep" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return e.Value, nil
		}, nil
	}
}

// FakeSpec is a Spec for Program.
func FakeSpec() sandbox.Spec {
	return sandbox.Spec{
		Runtime: "nodejs20.x", MemoryMB: 128, Output: func(sandbox.Line) {},
		Binding: &sandbox.Binding{CodeDir: "/code", Function: &thermocline.Function{
			FunctionID: thermocline.FunctionID{Account: "123456789012", Name: "suite", Version: thermocline.Latest},
			Runtime:    "nodejs20.x", Handler: "index.handler", MemoryMB: 128, TmpMB: 512, Timeout: time.Minute, Generation: 1,
		}},
	}
}

// rig is a harness in use by one test.
type rig struct {
	*testing.T
	Harness
}

func newRig(t *testing.T, f Factory) rig {
	t.Helper()
	r := rig{t, f(t)}
	if r.Sandboxes == 0 {
		r.Sandboxes = 100
	}
	t.Cleanup(func() {
		if err := r.Provider.Close(context.Background()); err != nil {
			t.Errorf("Close of the provider: %v", err)
		}
	})
	if err := r.Provider.Recover(t.Context()); err != nil {
		t.Fatalf("Recover: %v", err)
	}
	return r
}

// acquire acquires an instance that must be had.
func (r rig) acquire(owner string) instance.Instance {
	r.Helper()
	i, err := r.Provider.Acquire(r.Context(), instance.Request{Owner: owner, MemoryMB: r.InstanceMB})
	if err != nil {
		r.Fatalf("Acquire: %v", err)
	}
	return i
}

// start starts a sandbox that must start.
func (r rig) start(i instance.Instance) sandbox.Sandbox {
	r.Helper()
	s, err := i.Start(r.Context(), r.spec())
	if err != nil {
		r.Fatalf("Start: %v", err)
	}
	return s
}

func (r rig) spec() sandbox.Spec {
	s := r.Spec()
	s.ID = "t-" + strings.ToLower(rand.Text()[:12])
	return s
}

var requests atomic.Int64

// invocation is one that the program answers with value at once, or for "" not
// within a minute.
func invocation(value string) sandbox.Invocation {
	payload := fmt.Sprintf(`{"do":"echo","value":%q}`, value)
	if value == "" {
		payload = `{"do":"sleep","ms":60000}`
	}
	return sandbox.Invocation{
		RequestID: fmt.Sprintf("00000000-0000-4000-8000-%012d", requests.Add(1)), Payload: []byte(payload),
		ARN:      "arn:aws:lambda:eu-west-1:123456789012:function:suite",
		Deadline: time.Now().Add(time.Minute), Timeout: time.Minute,
	}
}

// echo fails unless the sandbox answers with what it is given.
func echo(ctx context.Context, s sandbox.Sandbox, value string) error {
	out, err := s.Invoke(ctx, invocation(value))
	switch {
	case err != nil:
		return fmt.Errorf("invoke: %w", err)
	case out.Failure != sandbox.FailureNone:
		return fmt.Errorf("the function failed: %s %s", out.Failure, out.Payload)
	case string(out.Payload) != fmt.Sprintf("%q", value):
		return fmt.Errorf("the function answered %s, want %q", out.Payload, value)
	}
	return nil
}

// wantEnded fails unless the sandbox is at an end.
func (r rig) wantEnded(s sandbox.Sandbox) {
	r.Helper()
	if s.Alive() {
		r.Errorf("the sandbox %s is alive", s.ID())
	}
	if _, err := s.Invoke(r.Context(), invocation("x")); err == nil {
		r.Errorf("the sandbox %s still takes invocations", s.ID())
	}
}

// wantFree fails unless the whole budget is free and nothing is on the machine.
func (r rig) wantFree(p instance.Provider) {
	r.Helper()
	if total, free := p.Capacity(); free != total {
		r.Errorf("%d of %d MB are free, want all", free, total)
	}
	r.wantLeft(0)
}

// wantLeft fails unless something is on the machine, or with 0 nothing is.
func (r rig) wantLeft(atLeast int) {
	r.Helper()
	if r.Left == nil {
		return
	}
	if left := r.Left(); len(left) < atLeast || (atLeast == 0 && len(left) > 0) {
		r.Errorf("on the machine: %v, want at least %d (0: none)", left, atLeast)
	}
}

// wantKind fails unless err is of the kind.
func (r rig) wantKind(err error, kind thermocline.Kind) {
	r.Helper()
	if err == nil || thermocline.KindOf(err) != kind {
		r.Errorf("error %v, want kind %d", err, kind)
	}
}

func isDone(i instance.Instance) bool {
	select {
	case <-i.Done():
		return true
	default:
		return false
	}
}
