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
	wg     sync.WaitGroup // the goroutines that net/http runs, one a connection
}

func (t *connTable) init(limit int) {
	t.slots = make(chan struct{}, limit)
	t.done = make(chan struct{})
	t.open = make(map[net.Conn]struct{})
}

// observe is the server's ConnState hook: new when the connection's goroutine
// is about to start, closed when it is about to end.
func (t *connTable) observe(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch state {
	case http.StateNew:
		t.open[c] = struct{}{}
		t.wg.Add(1)
	case http.StateClosed, http.StateHijacked:
		if _, ok := t.open[c]; ok {
			delete(t.open, c)
			t.wg.Done()
			<-t.slots
		}
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
