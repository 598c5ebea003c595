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
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := runtimeapi.New(runtimeapi.Options{})
			served, answered := make(chan error, 1), make(chan struct{})
			go func() { served <- s.Serve(l) }()
			payload := []byte(strings.Repeat("x", size))
			go func() {
				defer close(answered)
				answerAll(l.Addr().String(), payload[:min(size, 6<<20-1024)])
			}()
			b.ReportAllocs()
			b.SetBytes(int64(2 * size))
			for b.Loop() {
				r, err := s.Invoke(b.Context(), runtimeapi.Invocation{RequestID: "id", Payload: payload, ARN: "arn"})
				if err != nil || r.Failed() {
					b.Fatal(err, r.ErrorType)
				}
			}
			b.StopTimer()
			s.Close()
			<-served
			<-answered
		})
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
