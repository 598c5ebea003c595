package sandboxtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFakeConformance(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T) sandboxtest.Factory {
		fake := sandboxtest.NewFake(program)
		fake.InitTimeout = 200 * time.Millisecond
		t.Cleanup(func() {
			if open := fake.Open(); len(open) > 0 {
				t.Errorf("still open: %v", open)
			}
		})
		return sandboxtest.Factory{Start: fake.Start, Runtime: "nodejs20.x", CodeDir: "/code", InitTimeout: fake.InitTimeout}
	})
}

// program is the suite's program.
func program(f *thermocline.Function) sandboxtest.Code {
	switch f.Handler {
	case "broken.handler":
		return func(_ context.Context, p *sandboxtest.Process) (sandboxtest.Handler, error) {
			p.Print("about to break\n")
			return nil, errors.New("cannot load")
		}
	case "slow.handler":
		return slow
	}
	return func(_ context.Context, p *sandboxtest.Process) (sandboxtest.Handler, error) {
		s := &suite{p: p}
		return s.handle, nil
	}
}

func slow(ctx context.Context, p *sandboxtest.Process) (sandboxtest.Handler, error) {
	if _, ok := p.ReadFile("tried"); !ok {
		p.WriteFile("tried", "")
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return func(context.Context, sandbox.Invocation) ([]byte, error) { return []byte(`"at last"`), nil }, nil
}

type suite struct {
	p     *sandboxtest.Process
	count int
}

func (s *suite) handle(ctx context.Context, inv sandbox.Invocation) ([]byte, error) {
	var e struct {
		Do     string
		Value  json.RawMessage
		Status int
		MS     int
		Bytes  int
		Parts  []struct{ Text string }
	}
	if err := json.Unmarshal(inv.Payload, &e); err != nil {
		return nil, err
	}
	var text string
	_ = json.Unmarshal(e.Value, &text) // not all are strings
	var result any
	switch e.Do {
	case "echo":
		result = e.Value
	case "fail":
		return nil, errors.New("on purpose")
	case "exit":
		return nil, sandboxtest.Exit(e.Status)
	case "memory":
		return nil, sandboxtest.ErrOutOfMemory
	case "sleep":
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(e.MS) * time.Millisecond):
		}
	case "count":
		s.count++
		result = s.count
	case "print":
		for _, p := range e.Parts {
			s.p.Print(p.Text)
		}
	case "write":
		s.p.WriteFile("file", text)
	case "read":
		result, _ = s.p.ReadFile("file")
	case "env":
		env := s.p.Env()
		for k, v := range map[string]string{
			"AWS_DEFAULT_REGION": env["AWS_REGION"], "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
			"LAMBDA_TASK_ROOT": "/var/task", "TZ": ":UTC", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
			"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + env["AWS_LAMBDA_FUNCTION_NAME"],
		} {
			env[k] = v
		}
		result = env
	case "where":
		result = "/var/task"
	case "large":
		result = strings.Repeat("x", e.Bytes)
	case "length":
		result = len(text)
	case "tick":
		result = int(s.p.Uptime() / (5 * time.Millisecond))
	default:
		return nil, fmt.Errorf("unknown action %q", e.Do)
	}
	return json.Marshal(result)
}

// The fake takes no time but what it is told to, so that later stages can
// test with it on virtual time.
func TestFakeOnVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := sandboxtest.NewFake(func(*thermocline.Function) sandboxtest.Code {
			return func(context.Context, *sandboxtest.Process) (sandboxtest.Handler, error) {
				return func(ctx context.Context, _ sandbox.Invocation) ([]byte, error) {
					select {
					case <-ctx.Done():
					case <-time.After(time.Hour):
					}
					return []byte("1"), nil
				}, nil
			}
		})
		fake.StartDelay, fake.InitDelay = time.Second, 2*time.Second
		begin := time.Now()
		s, err := fake.Start(t.Context(), sandbox.Spec{ID: "a", MemoryMB: 128,
			Binding: &sandbox.Binding{Function: &thermocline.Function{}, CodeDir: "/"}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Invoke(t.Context(), sandbox.Invocation{RequestID: "r", Timeout: 15 * time.Minute})
		if err != nil || out.Failure != sandbox.FailureTimeout {
			t.Fatalf("%+v, %v", out, err)
		}
		if took, want := time.Since(begin), 15*time.Minute+3*time.Second; took != want {
			t.Errorf("it took %v, want %v", took, want)
		}
		if state := fake.State("a"); state != sandbox.StateIdle {
			t.Errorf("the state is %q", state)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
