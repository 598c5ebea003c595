package sandboxtest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"thermocline"
	"thermocline/sandbox"
)

// rig is one sandbox under test.
type rig struct {
	t testing.TB
	f Factory
	s sandbox.Sandbox

	mu    sync.Mutex
	lines []sandbox.Line
}

// startBound starts a sandbox that is bound to fn from the start.
func startBound(t testing.TB, f Factory, fn *thermocline.Function) *rig {
	t.Helper()
	b := f.binding(fn)
	return start(t, f, sandbox.Spec{Runtime: fn.Runtime, MemoryMB: fn.MemoryMB, Binding: &b})
}

// startUnbound starts one that waits for its function.
func startUnbound(t testing.TB, f Factory) *rig {
	t.Helper()
	fn := f.Function()
	return start(t, f, sandbox.Spec{Runtime: fn.Runtime, MemoryMB: fn.MemoryMB})
}

func start(t testing.TB, f Factory, spec sandbox.Spec) *rig {
	t.Helper()
	r := &rig{t: t, f: f}
	spec.ID, spec.Output = newID(), r.output
	s, err := f.Start(t.Context(), spec)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	r.s = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func (r *rig) output(l sandbox.Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, l)
}

// texts returns the lines of an invocation.
func (r *rig) texts(requestID string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, l := range r.lines {
		if l.RequestID == requestID {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

// do is what the program is told to do.
type do map[string]any

// invocation makes an invocation of the action with a timeout.
func invocation(t testing.TB, action string, args do, timeout time.Duration) sandbox.Invocation {
	t.Helper()
	payload := do{"do": action}
	for k, v := range args {
		payload[k] = v
	}
	data, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return sandbox.Invocation{
		RequestID: uuid.NewString(), Payload: data,
		ARN:      "arn:aws:lambda:eu-west-1:123456789012:function:suite",
		Deadline: time.Now().Add(timeout), Timeout: timeout,
	}
}

// invoke runs an action and returns its outcome.
func (r *rig) invoke(action string, args do) sandbox.Outcome {
	r.t.Helper()
	return r.run(invocation(r.t, action, args, 10*time.Second))
}

func (r *rig) run(inv sandbox.Invocation) sandbox.Outcome {
	r.t.Helper()
	out, err := r.s.Invoke(r.t.Context(), inv)
	if err != nil {
		r.t.Fatalf("Invoke %.100s: %v", inv.Payload, err)
	}
	return out
}

// result runs an action that must succeed and decodes what it answers.
func (r *rig) result(action string, args do) any {
	r.t.Helper()
	return decode(r.t, r.invoke(action, args))
}

func decode(t testing.TB, out sandbox.Outcome) any {
	t.Helper()
	if out.Failure != sandbox.FailureNone {
		t.Fatalf("the function failed (%s): %.300s", out.Failure, out.Payload)
	}
	var v any
	if err := json.Unmarshal(out.Payload, &v); err != nil {
		t.Fatalf("the result %.100q is not JSON: %v", out.Payload, err)
	}
	return v
}

// wantFailure checks an outcome's failure and the error that the caller gets.
// An empty errorType is not compared.
func wantFailure(t testing.TB, out sandbox.Outcome, failure sandbox.Failure, errorType, message string) {
	t.Helper()
	var e struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(out.Payload, &e); err != nil {
		t.Fatalf("the error %.200q is not JSON: %v", out.Payload, err)
	}
	if out.Failure != failure {
		t.Errorf("the failure is %q, want %q (%.200s)", out.Failure, failure, out.Payload)
	}
	if errorType != "" && e.ErrorType != errorType {
		t.Errorf("the error's type is %q, want %q", e.ErrorType, errorType)
	}
	if e.ErrorMessage != message {
		t.Errorf("the error's message is %q, want %q", e.ErrorMessage, message)
	}
}

// canceled returns a context that is cancelled after d.
func canceled(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(d, cancel)
	t.Cleanup(func() { timer.Stop(); cancel() })
	return ctx
}
