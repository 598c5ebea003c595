package runtimeapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thermocline/sandbox/runtimeapi"
)

const (
	nextPath = api + "/invocation/next"
	initPath = api + "/init/error"
	bindPath = "/thermocline/v1/binding"
)

func responsePath(id string) string { return api + "/invocation/" + id + "/response" }
func errorPath(id string) string    { return api + "/invocation/" + id + "/error" }

// busy brings the runtime to where it works on the invocation id.
func (r *rig) busy(id string) <-chan invoked {
	r.Helper()
	done := r.invoke(r.Context(), id, `{}`)
	if status, h, _ := r.do("GET", nextPath, ""); status != 200 || h.Get("Lambda-Runtime-Aws-Request-Id") != id {
		r.Fatalf("next: %d %v", status, h)
	}
	return done
}

// park calls next and returns once it waits.
func (r *rig) park() <-chan int {
	r.Helper()
	status := make(chan int, 1)
	c := r.raw()
	c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
	go func() { status <- c.status() }()
	synctest.Wait()
	return status
}

// half begins an answer to the invocation id, of ten bytes, with five.
func (r *rig) half(id string) *raw {
	r.Helper()
	c := r.raw()
	c.send("POST " + responsePath(id) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	synctest.Wait()
	return c
}

// TestTransitions makes every call in every state of the table in doc.go.
func TestTransitions(t *testing.T) {
	states := []struct {
		name  string
		enter func(*rig)
	}{
		{"booting", func(r *rig) {}},
		{"busy", func(r *rig) { r.busy("now") }},
		{"receiving", func(r *rig) {
			r.busy("now")
			r.half("now")
		}},
		{"answered", func(r *rig) {
			done := r.busy("now")
			r.want(202, "OK", "POST", responsePath("now"), `1`)
			<-done
		}},
		{"failed", func(r *rig) { r.want(202, "OK", "POST", initPath, `{}`) }},
		{"ready after one", func(r *rig) {
			done := r.busy("now")
			r.want(202, "OK", "POST", responsePath("now"), `1`)
			<-done
			r.park()
		}},
	}
	calls := []struct {
		name, method, path string
		want               map[string]int // by state; next in a state that waits is absent
	}{
		{"next", "GET", nextPath, map[string]int{"busy": 403, "receiving": 403, "failed": 403}},
		{"response", "POST", responsePath("now"), map[string]int{"booting": 400, "busy": 202, "receiving": 403, "answered": 403, "failed": 400, "ready after one": 400}},
		{"error", "POST", errorPath("now"), map[string]int{"booting": 400, "busy": 202, "receiving": 403, "answered": 403, "failed": 400, "ready after one": 400}},
		{"response to another", "POST", responsePath("other"), map[string]int{"booting": 400, "busy": 400, "receiving": 400, "answered": 400, "failed": 400, "ready after one": 400}},
		{"error of another", "POST", errorPath("other"), map[string]int{"booting": 400, "busy": 400, "receiving": 400, "answered": 400, "failed": 400, "ready after one": 400}},
		{"init error", "POST", initPath, map[string]int{"booting": 202, "busy": 403, "receiving": 403, "answered": 403, "failed": 403, "ready after one": 403}},
		{"binding", "GET", bindPath, map[string]int{"busy": 403, "receiving": 403, "answered": 403, "failed": 403, "ready after one": 403}},
	}
	kinds := map[int]string{202: `{"status":"OK"}`, 400: `"errorType":"InvalidRequestID"`, 403: `"errorType":"InvalidStateTransition"`}
	for _, state := range states {
		for _, call := range calls {
			want, ok := call.want[state.name]
			if !ok {
				continue
			}
			run(t, state.name+"/"+call.name, func(r *rig) {
				state.enter(r)
				r.want(want, kinds[want], call.method, call.path, `{"errorType":"x"}`)
			})
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	r := newLoopback(t)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 404},
		{"GET", "/2018-06-01/runtime", 404},
		{"POST", api + "/invocation/x", 404},
		{"POST", api + "/invocation/x/other", 404},
		{"POST", api + "/invocation/x/response/", 404},
		{"POST", api + "/invocation//response", 400},
		{"POST", nextPath, 405},
		{"GET", initPath, 405},
		{"POST", bindPath, 405},
		{"GET", responsePath("x"), 405},
		{"GET", api + "/invocation/../invocation/next", 404},
	} {
		if got, h, _ := r.do(test.method, test.path, ""); got != test.status || (got == 405) != (h.Get("Allow") != "") {
			r.Errorf("%s %s: %d, want %d", test.method, test.path, got, test.status)
		}
	}
}

func TestInvokeBeforeNextAndAfter(t *testing.T) {
	run(t, "the runtime waits first", func(r *rig) {
		status := r.park()
		done := r.invoke(r.Context(), "a", `1`)
		if got := <-status; got != 200 {
			r.Fatal(got)
		}
		r.want(202, "", "POST", responsePath("a"), `2`)
		if got := <-done; string(got.Payload) != `2` || got.err != nil {
			r.Errorf("%+v", got)
		}
	})
	run(t, "the newest next waits", func(r *rig) {
		first := r.park()
		second := r.park()
		var refused int
		other := second
		select { // whichever came second took the other's place
		case refused = <-first:
		case refused = <-second:
			other = first
		}
		if refused != 403 {
			r.Errorf("the older call got %d", refused)
		}
		done := r.invoke(r.Context(), "a", `1`)
		if got := <-other; got != 200 {
			r.Errorf("the newer call got %d", got)
		}
		r.want(202, "", "POST", responsePath("a"), `2`)
		<-done
	})
}

func TestHandoverSurvivesALostConnection(t *testing.T) {
	finish := func(r *rig, done <-chan invoked) {
		r.Helper()
		r.want(202, "", "POST", responsePath("a"), `"ok"`)
		if got := <-done; string(got.Payload) != `"ok"` || got.Init != time.Second {
			r.Errorf("%+v", got)
		}
	}
	run(t, "while it waits", func(r *rig) {
		c := r.raw()
		c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		c.Close()
		synctest.Wait()
		finish(r, r.busy("a"))
	})
	run(t, "while the invocation is sent", func(r *rig) {
		c := r.raw()
		c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		done := r.invoke(r.Context(), "a", strings.Repeat("x", 100_000))
		synctest.Wait() // the server writes, nobody reads
		c.Close()
		synctest.Wait()
		if status, _, body := r.do("GET", nextPath, ""); status != 200 || len(body) != 100_000 {
			r.Fatal(status)
		}
		finish(r, done)
	})
}

func TestBrokenAnswerMayBeRepeated(t *testing.T) {
	for _, broken := range []string{
		"Content-Length: 10\r\n\r\nhalf",
		"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
	} {
		run(t, broken, func(r *rig) {
			done := r.busy("a")
			c := r.raw()
			c.send("POST " + responsePath("a") + " HTTP/1.1\r\nHost: x\r\n" + broken)
			c.Close()
			synctest.Wait()
			r.want(202, "", "POST", responsePath("a"), `"ok"`)
			if got := <-done; string(got.Payload) != `"ok"` {
				r.Errorf("%+v", got)
			}
		})
	}
}

func TestInitError(t *testing.T) {
	const payload = `{"errorType":"Runtime.ImportModuleError","errorMessage":"no"}`
	header := []string{"Lambda-Runtime-Function-Error-Type", "Runtime.ImportModuleError"}
	check := func(r *rig, got invoked) {
		r.Helper()
		if got.err != nil || !got.InitError || got.Started || !got.Failed() || string(got.ErrorPayload) != payload ||
			got.ErrorType != "Runtime.ImportModuleError" || got.Init != time.Second {
			r.Errorf("%+v", got)
		}
	}
	run(t, "before the invocation", func(r *rig) {
		r.want(202, "", "POST", initPath, payload, header...)
		check(r, <-r.invoke(r.Context(), "a", `1`))
		check(r, <-r.invoke(r.Context(), "b", `1`))
	})
	run(t, "during the invocation", func(r *rig) {
		done := r.invoke(r.Context(), "a", `1`)
		r.want(202, "", "POST", initPath, payload, header...)
		check(r, <-done)
	})
	run(t, "a new process works", func(r *rig) {
		r.want(202, "", "POST", initPath, payload, header...)
		r.s.Reset()
		r.client.CloseIdleConnections()
		time.Sleep(time.Minute) // no process
		r.s.Booting()
		time.Sleep(2 * time.Second)
		done := r.busy("a")
		time.Sleep(3 * time.Second)
		r.want(202, "", "POST", responsePath("a"), `1`)
		if got := <-done; got.Failed() || got.Init != 2*time.Second || got.Duration != 3*time.Second {
			r.Errorf("%+v", got)
		}
	})
}

func TestSpecialise(t *testing.T) {
	message := runtimeapi.BindMessage{Env: map[string]string{"A": "b<c>"}, Handler: "index.handler"}
	run(t, "the bootstrap waits", func(r *rig) {
		got := make(chan string, 1)
		go func() {
			_, _, body := r.do("GET", bindPath, "")
			got <- body
		}()
		if err := r.s.Booted(r.Context()); err != nil {
			r.Fatal(err)
		}
		if err := r.s.Specialise(message); err != nil {
			r.Fatal(err)
		}
		if body := <-got; body != `{"env":{"A":"b\u003cc\u003e"},"handler":"index.handler"}` {
			r.Error(body)
		}
		if err := r.s.Specialise(message); err == nil {
			r.Error("bound twice")
		}
	})
	run(t, "before the bootstrap asks", func(r *rig) {
		if err := r.s.Specialise(message); err != nil {
			r.Fatal(err)
		}
		r.want(200, `"handler":"index.handler"`, "GET", bindPath, "")
	})
	run(t, "the process ends", func(r *rig) {
		booted := make(chan error, 1)
		started := make(chan struct{})
		go func() {
			close(started)
			booted <- r.s.Booted(r.Context())
		}()
		<-started
		r.s.Close()
		if err := <-booted; err != runtimeapi.ErrClosed {
			r.Error(err)
		}
	})
}

func TestReset(t *testing.T) {
	run(t, "waiting for the runtime", func(r *rig) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		done := r.invoke(ctx, "a", `1`)
		synctest.Wait()
		if _, err := r.s.Invoke(ctx, runtimeapi.Invocation{RequestID: "b"}); err == nil {
			r.Fatal("two at a time")
		}
		r.s.Reset()
		if got := <-done; got.err != runtimeapi.ErrProcessGone || got.Started {
			r.Errorf("%+v", got)
		}
	})
	run(t, "running", func(r *rig) {
		done := r.busy("a")
		time.Sleep(3 * time.Second)
		r.s.Reset()
		if got := <-done; got.err != runtimeapi.ErrProcessGone || !got.Started || got.Init != time.Second || got.Duration != 3*time.Second {
			r.Errorf("%+v", got)
		}
	})
	run(t, "the waiting call of the old process gets nothing", func(r *rig) {
		status := r.park()
		r.s.Reset()
		if got := <-status; got == 200 {
			r.Error("handed over to a dead process")
		}
		done := r.busy("a")
		r.want(202, "", "POST", responsePath("a"), `1`)
		<-done
	})
	run(t, "an answer on its way counts", func(r *rig) {
		done := r.busy("a")
		c := r.half("a")
		go c.send("67890")
		r.s.Reset()
		if got := <-done; got.err != nil || string(got.Payload) != "1234567890" {
			r.Errorf("%+v", got)
		}
	})
}

func TestCancel(t *testing.T) {
	run(t, "waiting for the runtime", func(r *rig) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		if got := <-r.invoke(ctx, "a", `1`); !errors.Is(got.err, context.Canceled) || got.Started {
			r.Errorf("%+v", got)
		}
		done := r.busy("b") // a is not handed over
		r.want(202, "", "POST", responsePath("b"), `1`)
		<-done
	})
	run(t, "running", func(r *rig) {
		ctx, cancel := context.WithCancel(r.Context())
		done := r.invoke(ctx, "a", `1`)
		r.do("GET", nextPath, "")
		cancel()
		if got := <-done; !errors.Is(got.err, context.Canceled) || !got.Started {
			r.Errorf("%+v", got)
		}
		next := r.invoke(r.Context(), "b", `1`)
		r.want(202, "", "POST", responsePath("a"), `"late"`) // accepted, and dropped
		if status, h, _ := r.do("GET", nextPath, ""); status != 200 || h.Get("Lambda-Runtime-Aws-Request-Id") != "b" {
			r.Fatalf("%d %v", status, h)
		}
		r.want(202, "", "POST", responsePath("b"), `"mine"`)
		if got := <-next; string(got.Payload) != `"mine"` {
			r.Errorf("%+v", got)
		}
	})
}

func TestClose(t *testing.T) {
	run(t, "waiting", func(r *rig) {
		status := r.park()
		closeTwice(r)
		if got := <-status; got == 200 {
			r.Error("answered after Close")
		}
		if _, err := r.s.Invoke(r.Context(), runtimeapi.Invocation{RequestID: "b"}); err != runtimeapi.ErrClosed {
			r.Error(err)
		}
		if err := r.s.Specialise(runtimeapi.BindMessage{}); err != runtimeapi.ErrClosed {
			r.Error(err)
		}
		r.s.Reset()
	})
	run(t, "running", func(r *rig) {
		done := r.busy("a")
		closeTwice(r)
		if got := <-done; got.err != runtimeapi.ErrClosed || !got.Started {
			r.Errorf("%+v", got)
		}
	})
	t.Run("never served", func(t *testing.T) {
		s := runtimeapi.New(runtimeapi.Options{})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Serve(newPipes()); err != runtimeapi.ErrClosed {
			t.Error(err)
		}
	})
}

func closeTwice(r *rig) {
	r.Helper()
	for range 2 {
		if err := r.s.Close(); err != nil {
			r.Error(err)
		}
	}
}

func TestMalformedRequestID(t *testing.T) {
	s := runtimeapi.New(runtimeapi.Options{})
	defer s.Close()
	for _, id := range []string{"", "next", "a/b", "a\r\nb", "ä", string(make([]byte, 200))} {
		if _, err := s.Invoke(t.Context(), runtimeapi.Invocation{RequestID: id}); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

func TestInitialised(t *testing.T) {
	wait := func(r *rig) <-chan error {
		done := make(chan error, 1)
		go func() { done <- r.s.Initialised(r.Context()) }()
		synctest.Wait()
		return done
	}
	for _, test := range []struct {
		name string
		end  func(*rig)
		want error
	}{
		{"the runtime asks for work", func(r *rig) { r.park() }, nil},
		{"the runtime fails", func(r *rig) { r.want(202, "", "POST", initPath, `{}`) }, nil},
		{"the process ends", func(r *rig) { r.s.Reset() }, runtimeapi.ErrProcessGone},
		{"the server is closed", func(r *rig) { r.s.Close() }, runtimeapi.ErrClosed},
	} {
		run(t, test.name, func(r *rig) {
			done := wait(r)
			select {
			case err := <-done:
				r.Fatalf("too early: %v", err)
			default:
			}
			test.end(r)
			if err := <-done; err != test.want {
				r.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// A runtime that has answered and does not ask again is waited for as long as
// Patience says, and its invocation has not begun.
func TestPatience(t *testing.T) {
	run(t, "patience", func(r *rig) {
		done := r.busy("first")
		r.want(202, "OK", "POST", responsePath("first"), `1`)
		<-done
		began := time.Now()
		got, err := r.s.Invoke(r.Context(), runtimeapi.Invocation{RequestID: "second", Patience: time.Second})
		if !errors.Is(err, runtimeapi.ErrNotAsking) || got.Started || time.Since(began) != time.Second {
			r.Errorf("after %v: %+v, %v", time.Since(began), got, err)
		}
		// Who asks in time has as long as it likes.
		answer := make(chan error, 1)
		go func() {
			_, err := r.s.Invoke(r.Context(), runtimeapi.Invocation{RequestID: "third", Patience: time.Second})
			answer <- err
		}()
		time.Sleep(900 * time.Millisecond)
		if status, h, _ := r.do("GET", nextPath, ""); status != 200 || h.Get("Lambda-Runtime-Aws-Request-Id") != "third" {
			r.Fatalf("next: %d %v", status, h)
		}
		time.Sleep(time.Minute)
		r.want(202, "OK", "POST", responsePath("third"), `1`)
		if err := <-answer; err != nil {
			r.Error(err)
		}
	})
}

// OPTIONS * has no answer of net/http's own.
func TestGeneralOptions(t *testing.T) {
	run(t, "options", func(r *rig) {
		c := r.raw()
		c.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
		if status := c.status(); status != 404 {
			r.Errorf("OPTIONS *: %d", status)
		}
	})
}
