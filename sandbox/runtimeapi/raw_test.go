package runtimeapi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// pipes is a listener whose connections are in memory, so that tests run in a
// synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial waits until the server accepts.
func (p *pipes) dial() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// raw is a connection on which anything can be sent.
type raw struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (r *rig) raw() *raw {
	r.Helper()
	c, err := r.dial()
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	return &raw{c, r.T, bufio.NewReader(c)}
}

// send returns when the server has read s, or will not.
func (c *raw) send(s string) {
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Logf("send: %v", err)
	}
}

// status reads one answer and returns its status, 0 if the connection ended.
func (c *raw) status() int {
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}
