package runtimeapi_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"thermocline/sandbox/runtimeapi"
)

func TestAnswers(t *testing.T) {
	const typeHeader = "Lambda-Runtime-Function-Error-Type"
	tooLarge := fmt.Sprintf(`{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded maximum allowed payload size (%d bytes)."}`, testMax)
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"errorMessage":"half-way"}`))
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	for _, test := range []struct {
		name    string
		isError bool
		raw     string // headers, empty line, body
		status  int
		want    runtimeapi.Response
	}{
		{"result", false, "Content-Type: text/x\r\nContent-Length: 4\r\n\r\ntext", 202, runtimeapi.Response{Payload: []byte("text"), ContentType: "text/x"}},
		{"empty result", false, "Content-Length: 0\r\n\r\n", 202, runtimeapi.Response{Payload: []byte{}}},
		{"no body", false, "\r\n", 202, runtimeapi.Response{Payload: []byte{}}},
		{"chunked", false, "Transfer-Encoding: chunked\r\n\r\n" + chunk("ab") + chunk("cd") + "0\r\n\r\n", 202, runtimeapi.Response{Payload: []byte("abcd")}},
		{"chunked and large", false, "Transfer-Encoding: chunked\r\n\r\n" + chunk(strings.Repeat("x", testMax)) + "0\r\n\r\n", 202, runtimeapi.Response{Payload: []byte(strings.Repeat("x", testMax))}},
		{"streaming", false, "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("ab") + "0\r\n\r\n", 202, runtimeapi.Response{Payload: []byte("ab"), Streaming: true}},
		{"error in the trailers", false, "Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: " + typeHeader + ", Lambda-Runtime-Function-Error-Body\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("ab") + "0\r\n" +
			typeHeader + ": Runtime.Half\r\nLambda-Runtime-Function-Error-Body: " + encoded + "\r\n\r\n", 202,
			runtimeapi.Response{ErrorType: "Runtime.Half", ErrorPayload: []byte(`{"errorMessage":"half-way"}`)}},
		{"broken error in the trailers", false, "Trailer: " + typeHeader + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + typeHeader + ": Strange\r\nLambda-Runtime-Function-Error-Body: %%\r\n\r\n", 202,
			runtimeapi.Response{ErrorType: "Runtime.Unknown", ErrorPayload: []byte(`{"errorType":"Runtime.Unknown","errorMessage":""}`)}},
		{"as large as may be", false, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", testMax, strings.Repeat("x", testMax)), 202, runtimeapi.Response{Payload: []byte(strings.Repeat("x", testMax))}},
		{"too large", false, fmt.Sprintf("Content-Length: %d\r\n\r\n%s", testMax+1, strings.Repeat("x", testMax+1)), 413, runtimeapi.Response{TooLarge: true, ErrorType: "Function.ResponseSizeTooLarge", ErrorPayload: []byte(tooLarge)}},
		{"too large in chunks", false, "Transfer-Encoding: chunked\r\n\r\n" + chunk(strings.Repeat("x", testMax+1)) + "0\r\n\r\n", 413, runtimeapi.Response{TooLarge: true, ErrorType: "Function.ResponseSizeTooLarge", ErrorPayload: []byte(tooLarge)}},
		{"error", true, typeHeader + ": Runtime.MyError\r\nContent-Length: 18\r\n\r\n{\"errorType\":\"My\"}", 202, runtimeapi.Response{ErrorType: "Runtime.MyError", ErrorPayload: []byte(`{"errorType":"My"}`)}},
		{"error without a body", true, typeHeader + ": Function.MyError\r\nContent-Length: 0\r\n\r\n", 202, runtimeapi.Response{ErrorType: "Function.MyError", ErrorPayload: []byte(`{"errorType":"Function.MyError","errorMessage":""}`)}},
		{"error that is no JSON", true, "Content-Length: 6\r\n\r\n\"qu\xffot", 202, runtimeapi.Response{ErrorType: "Runtime.Unknown", ErrorPayload: []byte(`{"errorType":"Runtime.Unknown","errorMessage":"\"qu` + "\uFFFD" + `ot"}`)}},
	} {
		run(t, test.name, func(r *rig) {
			done := r.busy("a")
			c := r.raw()
			path := responsePath("a")
			if test.isError {
				path = errorPath("a")
			}
			c.send("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + test.raw)
			if status := c.status(); status != test.status {
				r.Errorf("status %d", status)
			}
			got := <-done
			got.Init, test.want.Started = 0, true
			if diff := cmp.Diff(test.want, got.Response); diff != "" || got.err != nil {
				r.Errorf("%v %.300s", got.err, diff)
			}
			next := r.busy("b") // and on it goes
			r.want(202, "", "POST", responsePath("b"), "1")
			<-next
		})
	}
}

func TestErrorTypes(t *testing.T) {
	for kind, want := range map[string]string{
		"Runtime.ExitError":         "Runtime.ExitError",
		"Function.Abc":              "Function.Abc",
		"Runtime.A":                 "Runtime.Unknown",
		"Runtime.abc":               "Runtime.Unknown",
		"Runtime.Abc1":              "Runtime.Unknown",
		"Runtime.Abc Def":           "Runtime.Unknown",
		"Extension.Abc":             "Runtime.Unknown",
		"Error":                     "Runtime.Unknown",
		"xRuntime.Abc":              "Runtime.Unknown",
		"Runtime.":                  "Runtime.Unknown",
		"Runtime.Ab@":               "Runtime.Unknown",
		"Runtime.Ab[":               "Runtime.Unknown",
		"Runtime.Runtime.Abc":       "Runtime.Unknown",
		strings.Repeat("R", 100000): "Runtime.Unknown",
		"":                          "Runtime.Unknown",
	} {
		run(t, kind[:min(len(kind), 30)], func(r *rig) {
			done := r.busy("a")
			r.want(202, "", "POST", errorPath("a"), `{}`, "Lambda-Runtime-Function-Error-Type", kind)
			if got := <-done; got.ErrorType != want {
				r.Errorf("%q, want %q", got.ErrorType, want)
			}
		})
	}
}

func TestClientContext(t *testing.T) {
	for _, test := range []struct{ name, given, want string }{
		{"none", "", ""},
		{"plain", `{"a":"b"}`, `{"a":"b"}`},
		{"letters", `{"ä":"€😀` + "\x7f" + `"}`, `{"\u00e4":"\u20ac\ud83d\ude00\u007f"}`},
		{"lines", "{\r\n\t\"a\":1}", `{   "a":1}`},
		{"invalid UTF-8", "\"\xff\"", `"\ufffd"`},
		{"header injection", "{}\r\nLambda-Runtime-Aws-Request-Id: other", "{}  Lambda-Runtime-Aws-Request-Id: other"},
	} {
		run(t, test.name, func(r *rig) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				r.s.Invoke(r.Context(), runtimeapi.Invocation{RequestID: "a", ClientContext: test.given})
			}()
			_, h, _ := r.do("GET", nextPath, "")
			if got := h.Get("Lambda-Runtime-Client-Context"); got != test.want {
				r.Errorf("%s, want %s", got, test.want)
			}
			if h.Get("Lambda-Runtime-Aws-Request-Id") != "a" {
				r.Errorf("%v", h)
			}
			r.want(202, "", "POST", responsePath("a"), "1")
			<-done
		})
	}
}

// TestHostile has clients that misbehave next to a runtime that does not: its
// invocation must end as if they were not there.
func TestHostile(t *testing.T) {
	post := "POST " + responsePath("a") + " HTTP/1.1\r\nHost: x\r\n"
	for _, test := range []struct {
		name, send string
		status     int // of the answer to it; 0 for none
	}{
		{"not HTTP", "\x16\x03\x01\x00\xff\x00\r\n\r\n", 400},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404},
		{"no host", "GET /x HTTP/1.1\r\n\r\n", 400},
		{"two lengths", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		{"negative length", post + "Content-Length: -1\r\n\r\n", 400},
		{"huge length of another's", "POST " + responsePath("b") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 400},
		{"huge headers", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", runtimeapi.MaxHeader+64<<10) + "\r\n\r\n", 431},
		{"many headers", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100_000) + "\r\n", 431},
		{"slow headers", "GET / HTTP/1.1\r\nHost: x\r\nX: ", 0},
		{"encoded path", "POST /2018-06-01/runtime/invocation/%61%2Fx/response HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 404},
	} {
		run(t, test.name, func(r *rig) {
			done := r.busy("a")
			c := r.raw()
			go c.send(test.send)
			if status := c.status(); status != test.status {
				r.Errorf("status %d, want %d", status, test.status)
			}
			r.want(202, "", "POST", responsePath("a"), `"mine"`)
			if got := <-done; got.err != nil || string(got.Payload) != `"mine"` {
				r.Errorf("%+v", got)
			}
		})
	}
	run(t, "answers twice", func(r *rig) {
		done := r.busy("a")
		r.want(202, "OK", "POST", responsePath("a"), `"first"`)
		r.want(403, "InvalidStateTransition", "POST", responsePath("a"), `"second"`)
		r.want(403, "InvalidStateTransition", "POST", errorPath("a"), `{}`)
		if got := <-done; string(got.Payload) != `"first"` {
			r.Errorf("%+v", got)
		}
		next := r.busy("b")
		r.want(400, "InvalidRequestID", "POST", responsePath("a"), `"third"`)
		r.want(202, "OK", "POST", responsePath("b"), `"b"`)
		if got := <-next; string(got.Payload) != `"b"` {
			r.Errorf("%+v", got)
		}
	})
	run(t, "a body that never ends is thrown away", func(r *rig) {
		done := r.busy("a")
		c := r.raw()
		c.send("POST " + responsePath("a") + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		sent := 0
		piece := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat("x", 1<<20))
		go c.status()
		for ; sent < 100; sent++ {
			if _, err := c.Write([]byte(piece)); err != nil {
				break
			}
		}
		if sent < 30 || sent > 40 {
			r.Errorf("%d MB were read", sent)
		}
		if got := <-done; !got.TooLarge {
			r.Errorf("%+v", got)
		}
	})
}

// TestConnections opens more connections than allowed: the others wait, and
// Reset frees them all.
func TestConnections(t *testing.T) {
	run(t, "bounded", func(r *rig) {
		for range runtimeapi.MaxConns {
			r.raw().send("GET / HTTP")
		}
		accepted := make(chan struct{})
		go func() {
			c := r.raw()
			close(accepted)
			c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if status := c.status(); status != http.StatusNotFound {
				r.Errorf("status %d", status)
			}
			c.Close()
		}()
		synctest.Wait()
		select {
		case <-accepted:
			r.Fatal("one too many was accepted")
		default:
		}
		r.s.Reset()
		<-accepted
		synctest.Wait()
	})
}
