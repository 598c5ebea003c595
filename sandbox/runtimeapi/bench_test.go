package runtimeapi_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"thermocline/sandbox/runtimeapi"
)

// BenchmarkRoundTrip is one Invoke with a runtime on loopback that answers at
// once, over one connection as our bootstraps do.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{128, 128 << 10, 6 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			invoke := answering(b, size)
			b.ReportAllocs()
			b.SetBytes(int64(2 * size))
			for b.Loop() {
				invoke()
			}
		})
	}
}

// The bound is a little above what it takes now: who goes over it should know
// what for.
func TestRoundTripAllocatesLittle(t *testing.T) {
	const bound = 12
	if n := testing.AllocsPerRun(200, answering(t, 128)); n > bound {
		t.Errorf("a round trip takes %.0f allocations, more than %d", n, bound)
	}
}

// answering is a server with a runtime that answers at once. The returned
// function invokes once.
func answering(tb testing.TB, size int) (invoke func()) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := runtimeapi.New(runtimeapi.Options{})
	served, answered := make(chan error, 1), make(chan struct{})
	go func() { served <- s.Serve(l) }()
	payload := []byte(strings.Repeat("x", size))
	go func() {
		defer close(answered)
		answerAll(l.Addr().String(), payload[:min(size, 6<<20-1024)])
	}()
	tb.Cleanup(func() {
		s.Close()
		<-served
		<-answered
	})
	return func() {
		r, err := s.Invoke(tb.Context(), runtimeapi.Invocation{RequestID: "id", Payload: payload, ARN: "arn"})
		if err != nil || r.Failed() {
			tb.Fatal(err, r.ErrorType)
		}
	}
}

// answerAll is a runtime that allocates nothing per invocation, so that what
// is counted is the server's.
func answerAll(addr string, payload []byte) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	next := []byte("GET " + nextPath + " HTTP/1.1\r\nHost: x\r\n\r\n")
	answer := []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", responsePath("id"), len(payload)))
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		if _, err := c.Write(next); err != nil || skip(r) != nil {
			return
		}
		buffers := net.Buffers{answer, payload}
		if _, err := buffers.WriteTo(c); err != nil || skip(r) != nil {
			return
		}
	}
}

// skip reads one answer.
func skip(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			_, err := r.Discard(length)
			return err
		}
		const name = "Content-Length: "
		if len(line) > len(name) && string(line[:len(name)]) == name {
			for _, digit := range line[len(name) : len(line)-2] {
				length = 10*length + int(digit-'0')
			}
		}
	}
}
