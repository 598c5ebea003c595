package runtimeapi_test

import (
	"bytes"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"thermocline/sandbox/runtimeapi"
)

// FuzzConnection sends bytes on a connection of their own while a runtime on
// another works on an invocation. Whatever they are, the server ends in good
// order, and the invocation has one of the answers that was meant for it.
func FuzzConnection(f *testing.F) {
	post := func(path, rest string) []byte {
		return []byte("POST " + path + " HTTP/1.1\r\nHost: x\r\n" + rest)
	}
	f.Add([]byte("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("GET " + bindPath + " HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
	f.Add(post(responsePath("run"), "Content-Length: 3\r\n\r\n\"x\""))
	f.Add(post(responsePath("old"), "Content-Length: 3\r\n\r\n\"x\""))
	f.Add(post(responsePath("run"), "Transfer-Encoding: chunked\r\n\r\n3\r\n\"x\"\r\n0\r\nLambda-Runtime-Function-Error-Type: Runtime.X\r\n\r\n"))
	f.Add(post(responsePath("run"), "Content-Length: 30\r\n\r\nhalf"))
	f.Add(post(responsePath("run"), "Content-Length: 99999999\r\n\r\n"))
	f.Add(post(errorPath("run"), "Lambda-Runtime-Function-Error-Type: Runtime.X\r\nContent-Length: 2\r\n\r\n{}GET"))
	f.Add(post(initPath, "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("\x00\xff\r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { endure(t, data) })
	})
}

// endure runs in a bubble, so a hang is a failure.
func endure(t *testing.T, data []byte) {
	l := newPipes()
	s := runtimeapi.New(runtimeapi.Options{MaxResult: 1 << 10, Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()

	good := &rig{T: t, s: s, dial: l.dial}
	first := good.invoke(t.Context(), "run", `1`)
	c := good.raw()
	c.send("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if status := c.status(); status != 200 {
		t.Fatalf("next: %d", status)
	}

	bad := good.raw()
	go io.Copy(io.Discard, bad)
	go bad.Write(data)
	synctest.Wait() // it is written, or the server does not want more of it
	bad.Close()
	synctest.Wait()

	// The runtime answers; if the bytes were an answer to its invocation it is
	// refused.
	c.send("POST " + responsePath("run") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n\"good\"")
	if status := c.status(); status == 202 {
		if got := <-first; got.err != nil || string(got.Payload) != `"good"` {
			t.Fatalf("accepted, but %+v", got)
		}
	} else if got := <-first; status != 403 || !bytes.Contains(data, []byte("POST")) {
		t.Fatalf("refused with %d, and %+v", status, got)
	}
	s.Reset()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
