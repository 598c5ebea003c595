package runtimeapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thermocline/sandbox/runtimeapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server with a client that acts as the runtime.
type rig struct {
	*testing.T
	s      *runtimeapi.Server
	dial   func() (net.Conn, error)
	client *http.Client
}

// run makes a subtest with a rig in memory, in a bubble, whose process has been
// booting for a second of the bubble's time.
func run(t *testing.T, name string, f func(*rig)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newPipes()
			r := newRig(t, runtimeapi.Options{MaxResult: testMax}, l, l.dial)
			time.Sleep(time.Second)
			f(r)
		})
	})
}

// testMax is a small limit for answers.
const testMax = 1 << 20

func newRig(t *testing.T, opts runtimeapi.Options, l net.Listener, dial func() (net.Conn, error)) *rig {
	t.Helper()
	r := &rig{T: t, s: runtimeapi.New(opts), dial: dial, client: &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() },
	}}}
	served := make(chan error, 1)
	go func() { served <- r.s.Serve(l) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := r.s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// newLoopback returns a rig on TCP.
func newLoopback(t *testing.T) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, runtimeapi.Options{}, l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) })
}

const api = "/2018-06-01/runtime"

// do sends one request and returns status, headers and body.
func (r *rig) do(method, path, body string, header ...string) (int, http.Header, string) {
	r.Helper()
	req, err := http.NewRequest(method, "http://runtime"+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.Errorf("%s %s: %v", method, path, err)
		return 0, nil, ""
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		r.Errorf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, res.Header, string(data)
}

func (r *rig) want(status int, kind, method, path, body string, header ...string) {
	r.Helper()
	got, _, data := r.do(method, path, body, header...)
	if got != status || !strings.Contains(data, kind) {
		r.Errorf("%s %s: %d %s, want %d with %q", method, path, got, data, status, kind)
	}
}

type invoked struct {
	runtimeapi.Response
	err error
}

// invoke starts an Invoke and returns where its end will be found.
func (r *rig) invoke(ctx context.Context, id, payload string) <-chan invoked {
	done := make(chan invoked, 1)
	go func() {
		res, err := r.s.Invoke(ctx, runtimeapi.Invocation{
			RequestID: id, Payload: []byte(payload),
			ARN:      "arn:aws:lambda:us-east-1:111111111111:function:f",
			Deadline: time.UnixMilli(1_700_000_000_123), TraceID: "Root=1-2-3",
		})
		done <- invoked{res, err}
	}()
	return done
}

func TestInvokeOverLoopback(t *testing.T) {
	r := newLoopback(t)
	for i := range 3 {
		id := fmt.Sprintf("id-%d", i)
		done := r.invoke(t.Context(), id, `{"n":1}`)
		status, h, body := r.do("GET", api+"/invocation/next", "")
		if status != 200 || body != `{"n":1}` || h.Get("Lambda-Runtime-Aws-Request-Id") != id ||
			h.Get("Lambda-Runtime-Deadline-Ms") != "1700000000123" ||
			h.Get("Lambda-Runtime-Invoked-Function-Arn") != "arn:aws:lambda:us-east-1:111111111111:function:f" ||
			h.Get("Lambda-Runtime-Trace-Id") != "Root=1-2-3" || h.Get("Content-Type") != "application/json" {
			t.Fatalf("next: %d %v %s", status, h, body)
		}
		r.want(202, `{"status":"OK"}`, "POST", api+"/invocation/"+id+"/response", `"answer"`)
		got := <-done
		if got.err != nil || string(got.Payload) != `"answer"` || got.Failed() || !got.Started {
			t.Fatalf("invoke: %+v", got)
		}
		if (got.Init > 0) != (i == 0) || got.Duration <= 0 {
			t.Errorf("invocation %d: init %v, duration %v", i, got.Init, got.Duration)
		}
	}
}
