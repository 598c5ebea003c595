package runtimeapi

import (
	"net"
	"net/http"
	"sync"
)

// connTable counts the connections of a server, so that they can be bounded,
// dropped and waited for.
type connTable struct {
	slots chan struct{}
	done  chan struct{}

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
	wg     sync.WaitGroup // the goroutines of the connections
}

func (t *connTable) init(limit int) {
	t.slots = make(chan struct{}, limit)
	t.done = make(chan struct{})
	t.open = make(map[net.Conn]struct{})
}

// add counts a connection whose goroutine is about to start.
func (t *connTable) add(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[c] = struct{}{}
	t.wg.Add(1)
}

// remove is called when the goroutine is about to end.
func (t *connTable) remove(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.open[c]; ok {
		delete(t.open, c)
		t.wg.Done()
		<-t.slots
	}
}

// observe is the ConnState hook of net/http's server, which takes over
// connections that are counted already.
func (t *connTable) observe(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		t.remove(c.(*conn).Conn)
	}
}

// drop closes all open connections.
func (t *connTable) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		c.Close() // its goroutine notices
	}
}

// close makes the listener refuse from now on.
func (t *connTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
}

func (t *connTable) wait() { t.wg.Wait() }

// others is the listener of net/http's server: connections that conn has given
// up.
type others struct {
	conns chan *conn
	done  <-chan struct{}
	addr  net.Addr
}

// take gives a connection to net/http, or ends it with the server.
func (o *others) take(c *conn) {
	select {
	case o.conns <- c:
	case <-o.done:
		c.Close()
		c.s.conns.remove(c.Conn)
	}
}

func (o *others) Accept() (net.Conn, error) {
	select {
	case c := <-o.conns:
		return c, nil
	case <-o.done:
		return nil, net.ErrClosed
	}
}

func (o *others) Close() error   { return nil } // done ends it
func (o *others) Addr() net.Addr { return o.addr }

// limitListener accepts only while there is a slot. Refused connections would
// be tried again at our expense; those in the backlog cost nothing.
type limitListener struct {
	net.Listener
	conns *connTable
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.conns.slots <- struct{}{}:
	case <-l.conns.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.conns.slots
		return nil, err
	}
	return c, nil
}
