package runtimeapi_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"thermocline/sandbox/runtimeapi"
)

// Requests of the plain form are answered by the server's own reader, others by
// net/http. Nobody can tell: each request has the same answer in both forms.
func TestPlainAndOddRequestsAnswerAlike(t *testing.T) {
	odd := "Connection: Keep-Alive, X-Odd\r\n" // known to net/http only
	for _, tc := range []struct {
		name, request, body string
		status              int
	}{
		{"result", "POST " + responsePath("run"), "Content-Length: 2\r\n\r\n42", 202},
		{"chunked result", "POST " + responsePath("run"), "Transfer-Encoding: chunked\r\n\r\n1\r\n4\r\n1\r\n2\r\n0\r\n\r\n", 202},
		{"empty result", "POST " + responsePath("run"), "\r\n", 202},
		{"error", "POST " + errorPath("run"), "Lambda-Runtime-Function-Error-Type: Runtime.X\r\nContent-Length: 2\r\n\r\n{}", 202},
		{"failed stream", "POST " + responsePath("run"), "Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n1\r\n4\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Half\r\nLambda-Runtime-Function-Error-Body: e30=\r\n\r\n", 202},
		{"trailers that nobody announced", "POST " + responsePath("run"), "Transfer-Encoding: chunked\r\n\r\n1\r\n4\r\n0\r\nLambda-Runtime-Function-Error-Type: Function.Half\r\n\r\n", 202},
		{"another id", "POST " + responsePath("other"), "Content-Length: 2\r\n\r\n42", 400},
		{"next while busy", "GET " + nextPath, "\r\n", 403},
		{"binding while busy", "GET " + bindPath, "\r\n", 403},
		{"broken chunks", "POST " + responsePath("run"), "Transfer-Encoding: chunked\r\n\r\nxx\r\n", 400},
		{"too large", "POST " + responsePath("run"), fmt.Sprintf("Content-Length: %d\r\n\r\n%s", testMax+1, strings.Repeat("x", testMax+1)), 413},
		{"too large in chunks", "POST " + responsePath("run"), fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", testMax+1, strings.Repeat("x", testMax+1)), 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answers := map[string]string{}
			for form, header := range map[string]string{"plain": "", "odd": odd} {
				synctest.Test(t, func(t *testing.T) {
					l := newPipes()
					r := newRig(t, runtimeapi.Options{MaxResult: testMax}, l, l.dial)
					done := r.invoke(t.Context(), "run", `1`)
					first := r.raw()
					first.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
					if status := first.status(); status != 200 {
						t.Fatalf("next: %d", status)
					}
					c := r.raw()
					go c.send(tc.request + " HTTP/1.1\r\nHost: x\r\n" + header + tc.body)
					res, err := http.ReadResponse(c.r, nil)
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(res.Body)
					answers[form] = fmt.Sprint(res.StatusCode, res.Header.Get("Content-Type"), string(body))
					if res.StatusCode != tc.status {
						t.Errorf("%s: %d %s, not %d", form, res.StatusCode, body, tc.status)
					}
					select {
					case got := <-done:
						got.Duration, got.Init = 0, 0
						answers[form] += fmt.Sprintf("%+v", got)
					case <-time.After(time.Minute):
						r.s.Reset()
						<-done
					}
				})
			}
			if answers["plain"] != answers["odd"] {
				t.Errorf("plain: %s\nodd:   %s", answers["plain"], answers["odd"])
			}
		})
	}
}

// A call of next that is pipelined behind another waits its turn, and one whose
// connection ends gets no work.
func TestNextOnOneConnection(t *testing.T) {
	run(t, "the peer goes", func(r *rig) {
		c := r.raw()
		c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		c.Close()
		synctest.Wait()
		done := r.invoke(r.Context(), "run", `1`)
		synctest.Wait()
		if status, _, body := r.do("GET", nextPath, ""); status != 200 || body != "1" {
			r.Errorf("next: %d %s", status, body)
		}
		r.want(202, "OK", "POST", responsePath("run"), `2`)
		if got := <-done; string(got.Payload) != "2" {
			r.Errorf("%+v", got)
		}
	})
	run(t, "the answer comes with the question", func(r *rig) {
		c := r.raw()
		c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		c.send("POST " + responsePath("run") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n2")
		synctest.Wait()
		done := r.invoke(r.Context(), "run", `1`)
		if a, b := c.status(), c.status(); a != 200 || b != 202 {
			r.Errorf("next: %d, response: %d", a, b)
		}
		if got := <-done; got.err != nil || string(got.Payload) != "2" {
			r.Errorf("%+v", got)
		}
	})
	run(t, "a newer one takes over", func(r *rig) {
		old, young := r.raw(), r.raw()
		old.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		synctest.Wait()
		young.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if status := old.status(); status != 403 {
			r.Errorf("the older next: %d", status)
		}
		done := r.invoke(r.Context(), "run", `1`)
		if status := young.status(); status != 200 {
			r.Errorf("the newer next: %d", status)
		}
		// The older connection goes on.
		old.send("POST " + responsePath("run") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n2")
		if status := old.status(); status != 202 {
			r.Errorf("response: %d", status)
		}
		<-done
	})
}

// A runtime that does not read holds nobody up beyond its context, on a real
// socket too.
func TestRuntimeThatDoesNotRead(t *testing.T) {
	r := newLoopback(t)
	c := r.raw()
	c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
	done := r.invoke(t.Context(), "run", strings.Repeat("1", 16<<20))
	select {
	case got := <-done:
		t.Fatalf("%+v", got)
	case <-time.After(200 * time.Millisecond):
	}
	r.s.Reset()
	if got := <-done; got.err == nil {
		t.Errorf("%+v", got)
	}
}

// What a caller has put into its headers stays within them.
func TestHeadersOfAnInvocation(t *testing.T) {
	run(t, "line feed", func(r *rig) {
		go func() {
			_, _ = r.s.Invoke(r.Context(), runtimeapi.Invocation{RequestID: "run", ARN: "arn", TraceID: "a\r\nEvil: 1"})
		}()
		status, h, _ := r.do("GET", nextPath, "")
		if status != 200 || h.Get("Evil") != "" || h.Get("Lambda-Runtime-Trace-Id") != "a  Evil: 1" {
			r.Errorf("%d %v", status, h)
		}
	})
}
