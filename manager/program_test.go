package manager_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"thermocline"
	"thermocline/manager"
	"thermocline/manager/pool"
	"thermocline/sandbox"
)

// unpacker counts the directories that are not released.
type unpacker struct {
	held   atomic.Int64
	refuse bool
}

func (u *unpacker) Unpack(_ context.Context, zip []byte) (string, func(), error) {
	if u.refuse {
		return "", nil, thermocline.Errorf(thermocline.KindRefused, "full")
	}
	u.held.Add(1)
	var once atomic.Bool
	return "/programs/" + string(zip), func() {
		if once.CompareAndSwap(false, true) {
			u.held.Add(-1)
		}
	}, nil
}

func program(id string) *thermocline.Invocation {
	p := &thermocline.Program{Runtime: "nodejs20.x", MemoryMB: 128, Timeout: time.Second, Code: []byte(id)}
	return &thermocline.Invocation{
		RequestID: id, Function: p.Function("000000000000", id).FunctionID, Payload: []byte("1"), Program: p,
	}
}

func TestProgram(t *testing.T) {
	u := &unpacker{}
	n := newNode(4096)
	n.handler = func(b sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome {
		return sandbox.Outcome{Payload: []byte(`"` + b.CodeDir + `"`), Duration: time.Millisecond}
	}
	bench(t, n, manager.Options{Programs: u, Pool: pool.Config{WarmMB: 512}}, func(t *testing.T, m *manager.Manager, s *shelf) {
		seen := map[string]bool{}
		pooled := 0
		for _, id := range []string{"a", "b", "c"} {
			res, err := m.Handle(t.Context(), program(id), yes)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(res.Payload); got != `"/programs/`+id+`"` || res.FunctionError != "" {
				t.Errorf("result %s, %s", got, res.FunctionError)
			}
			if !strings.HasPrefix(string(res.Output), "hello from ") {
				t.Errorf("output %q", res.Output)
			}
			if seen[res.Report.Sandbox] || res.Report.Start == thermocline.StartWarm {
				t.Errorf("program %s ran in the sandbox %s of another: %s", id, res.Report.Sandbox, res.Report.Start)
			}
			seen[res.Report.Sandbox] = true
			if res.Report.Start == thermocline.StartPooled {
				pooled++
			}
			time.Sleep(time.Minute) // the pool is filled again
		}
		synctest.Wait()
		if counts := m.Status().Sandboxes; counts.Idle+counts.Busy != 0 {
			t.Errorf("sandboxes of programs were kept: %+v", counts)
		}
		if pooled == 0 {
			t.Error("no program came from the warming pool")
		}
		if len(s.lines) > 0 {
			t.Errorf("log lines of programs were stored: %v", s.lines)
		}
	})
	if left := u.held.Load(); left != 0 {
		t.Errorf("%d directories were left", left)
	}
	if v := n.mixed.Load(); v != 0 {
		t.Errorf("%d sandboxes saw a second function", v)
	}
}

// What ends a program ends its sandbox: its caller's going, its own failure, a
// start that was not confirmed.
func TestProgramEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(n *node, u *unpacker)
		cancel bool
		accept func() error
		kind   thermocline.Kind // of the error
		fails  bool             // the program, without an error
	}{
		{"cancelled", func(n *node, _ *unpacker) {
			n.handler = func(sandbox.Binding, sandbox.Invocation) sandbox.Outcome {
				time.Sleep(time.Hour)
				return sandbox.Outcome{}
			}
		}, true, yes, thermocline.KindUnavailable, false},
		{"failed", func(n *node, _ *unpacker) {
			n.handler = func(sandbox.Binding, sandbox.Invocation) sandbox.Outcome {
				return sandbox.Outcome{Failure: sandbox.FailureTimeout, Payload: []byte(`{}`)}
			}
		}, false, yes, 0, true},
		{"not confirmed", func(*node, *unpacker) {}, false, func() error {
			return thermocline.Errorf(thermocline.KindExpired, "too late")
		}, thermocline.KindExpired, false},
		{"no room to unpack", func(_ *node, u *unpacker) { u.refuse = true }, false, yes, thermocline.KindRefused, false},
		{"no sandbox", func(n *node, _ *unpacker) { n.startErr = errors.New("no") }, false, yes, thermocline.KindInternal, false},
		{"no memory", func(n *node, _ *unpacker) { n.free = 64 }, false, yes, thermocline.KindRefused, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, n := &unpacker{}, newNode(4096)
			tt.change(n, u)
			bench(t, n, manager.Options{Programs: u}, func(t *testing.T, m *manager.Manager, _ *shelf) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel {
					time.AfterFunc(10*time.Millisecond, cancel)
				}
				res, err := m.Handle(ctx, program("p"), tt.accept)
				switch {
				case tt.fails:
					if err != nil || res.FunctionError == "" {
						t.Errorf("%+v, %v", res, err)
					}
				case err == nil || thermocline.KindOf(err) != tt.kind:
					t.Errorf("%+v, %v", res, err)
				}
				if tt.cancel {
					time.Sleep(2 * time.Hour) // the fake's handler ends
				}
				synctest.Wait()
				if left := n.sandboxes(); left != 0 {
					t.Errorf("%d sandboxes are left", left)
				}
				if left := u.held.Load(); left != 0 {
					t.Errorf("%d directories are left", left)
				}
			})
		})
	}
}

func TestProgramOutputIsBounded(t *testing.T) {
	n := newNode(4096)
	line := strings.Repeat("x", 100_000)
	n.handler = func(b sandbox.Binding, inv sandbox.Invocation) sandbox.Outcome {
		n.mu.Lock()
		var out func(sandbox.Line)
		for _, box := range n.open {
			out = box.spec.Output
		}
		n.mu.Unlock()
		for range 20 {
			out(sandbox.Line{Text: line})
		}
		return sandbox.Outcome{Payload: []byte("1")}
	}
	bench(t, n, manager.Options{Programs: &unpacker{}}, func(t *testing.T, m *manager.Manager, _ *shelf) {
		res, err := m.Handle(t.Context(), program("p"), yes)
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Output) > thermocline.MaxProgramOutput || len(res.Output) < thermocline.MaxProgramOutput/2 {
			t.Errorf("%d bytes of output", len(res.Output))
		}
		if res.OutputDropped < 20*100_000-thermocline.MaxProgramOutput {
			t.Errorf("%d bytes were dropped", res.OutputDropped)
		}
	})
}
