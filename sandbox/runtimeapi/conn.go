package runtimeapi

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http/httputil"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The sizes of a connection's buffers. What does not fit is left to net/http.
const (
	readBuffer  = 4 << 10
	directWrite = 64 << 10
	// maxUnread is how much of a refused body is read so that its connection
	// can go on, as in net/http.
	maxUnread = 256 << 10
)

// conn is a connection as long as what comes on it is what runtimes send. The
// four calls of an invocation are read and answered here, with a fifth of what
// net/http takes for them: above all, an invocation is written by the very
// goroutine of its Invoke, while the connection's own waits for what comes
// next. At the first request that is anything else, however slightly, the
// connection goes over to net/http with all that was read of it, and stays
// there.
type conn struct {
	net.Conn
	s   *Server
	raw syscall.RawConn // nil: not a socket
	r   *bufio.Reader

	// write is held by whoever writes. An Invoke takes it under Server.mu when
	// it hands over; so nobody takes Server.mu who holds it.
	write sync.Mutex
	out   []byte
}

func newConn(s *Server, c net.Conn) *conn {
	k := &conn{Conn: c, s: s, r: bufio.NewReaderSize(c, readBuffer)}
	if sc, ok := c.(syscall.Conn); ok {
		k.raw, _ = sc.SyscallConn()
	}
	return k
}

// Read is what net/http reads once it has taken over.
func (c *conn) Read(p []byte) (int, error) { return c.r.Read(p) }

// serve reads requests until the connection's end.
func (c *conn) serve() {
	for {
		if _, err := c.r.Peek(1); err != nil {
			break
		}
		q, ok := c.request()
		if !ok {
			c.s.others.take(c)
			return
		}
		if !c.answer(q) {
			break
		}
	}
	c.Close()
	c.s.conns.remove(c.Conn)
}

// request reads the head of a request. It is false when the request is not one
// for us, of which nothing is consumed then.
func (c *conn) request() (q head, ok bool) {
	buffered, _ := c.r.Peek(c.r.Buffered())
	if end := headEnd(buffered); end > 0 {
		return c.parse(buffered[:end])
	}
	if err := c.SetReadDeadline(time.Now().Add(headerTimeout)); err != nil {
		return q, false
	}
	// A connection that fails here fails at its next use too.
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	for {
		n := c.r.Buffered()
		if n == c.r.Size() {
			return q, false
		}
		if _, err := c.r.Peek(n + 1); err != nil {
			return q, false
		}
		buffered, _ = c.r.Peek(c.r.Buffered())
		if end := headEnd(buffered); end > 0 {
			return c.parse(buffered[:end])
		}
	}
}

func (c *conn) parse(data []byte) (head, bool) {
	q, ok := parseHead(data)
	if !ok || q.length > int64(c.s.maxResult) {
		return q, false
	}
	_, err := c.r.Discard(len(data))
	return q, err == nil
}

// answer does what a request asks for. It is false when the connection is to
// end.
func (c *conn) answer(q head) bool {
	switch q.call {
	case callNext:
		return c.next()
	case callBinding:
		return c.binding()
	}
	claimed, no := c.s.claim(q.id)
	if claimed == nil {
		return c.unread(q) && c.refuse(no)
	}
	var rest io.Reader = c.r
	if q.chunked {
		rest = httputil.NewChunkedReader(c.r)
	}
	body, err := c.body(&q, rest)
	switch {
	case errors.Is(err, errTooLarge):
		c.s.answer(claimed, c.s.tooLarge())
		drain(rest)
		c.refuse(c.s.entityTooLarge())
		return false
	case err != nil:
		c.s.release(claimed)
		c.refuse(&badBody)
		return false
	case q.call == callError:
		c.s.answer(claimed, errorOf(q.errorType, body))
	default:
		c.s.answer(claimed, resultOf(&q, body))
	}
	return c.send(accepted)
}

// next is the long poll for work.
func (c *conn) next() bool {
	given, wait := c.s.park(c)
	if given != nil {
		c.write.Lock()
		defer c.write.Unlock()
		c.out = appendInvocation(c.out[:0], &given.inv)
		buffers := net.Buffers{c.out, given.inv.Payload}
		if _, err := buffers.WriteTo(c.Conn); err != nil {
			c.s.takeBack(given)
			return false
		}
		return true
	}
	if wait == nil {
		return c.refuse(&invalidTransition)
	}
	if _, err := c.r.Peek(1); err != nil {
		// Gone, or woken because the state has changed.
		c.s.unpark(wait)
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.SetReadDeadline(time.Time{}) != nil {
			return false
		}
	} else if given := <-wait.work; given != nil { // at once, unless it came too early
		c.written()
		return true
	}
	return c.refuse(&invalidTransition)
}

// written waits until what was given has been written: who writes holds the lock.
func (c *conn) written() {
	c.write.Lock()
	defer c.write.Unlock()
}

// deliver writes an invocation for which the runtime waits. The caller has
// taken write, and does not wait for the other side.
func (c *conn) deliver(given *call) {
	payload := given.inv.Payload
	c.out = appendInvocation(c.out[:0], &given.inv)
	written := 0
	if len(payload) <= directWrite {
		c.out = append(c.out, payload...)
		payload = nil
		written = c.try(c.out)
	}
	if written == len(c.out) {
		c.free()
		return
	}
	rest := net.Buffers{c.out[written:], payload}
	c.s.conns.wg.Go(func() {
		_, err := rest.WriteTo(c.Conn)
		c.free()
		if err != nil {
			c.s.takeBack(given)
		}
	})
}

// free gives write back.
func (c *conn) free() {
	if cap(c.out) > readBuffer {
		c.out = nil
	}
	c.write.Unlock()
}

// try writes as much as goes without waiting. Errors show when the rest is
// written.
func (c *conn) try(b []byte) (n int) {
	if c.raw == nil {
		return 0
	}
	err := c.raw.Write(func(fd uintptr) bool {
		n, _ = unix.Write(int(fd), b)
		return true
	})
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// wake makes next look at the state.
func (c *conn) wake() { _ = c.SetReadDeadline(time.Unix(1, 0)) } // fails when it is closed

// binding is the long poll of a bootstrap without a function.
func (c *conn) binding() bool {
	bound, epoch, ok := c.s.poll()
	if !ok {
		return c.refuse(&invalidTransition)
	}
	select {
	case <-bound:
	case <-epoch:
		return c.refuse(&invalidTransition)
	}
	return c.send(appendMessage(nil, c.s.message()))
}

func (c *conn) refuse(no *refusal) bool { return c.send(appendRefusal(nil, no)) }

func (c *conn) send(b []byte) bool {
	c.write.Lock()
	defer c.write.Unlock()
	_, err := c.Conn.Write(b)
	return err == nil
}

// body reads the body of a request, and the trailers behind it.
func (c *conn) body(q *head, r io.Reader) ([]byte, error) {
	if !q.chunked {
		buf := make([]byte, q.length)
		_, err := io.ReadFull(r, buf)
		return buf, err
	}
	body, err := readAll(r, c.s.maxResult)
	if err != nil {
		return nil, err
	}
	return body, c.trailers(q)
}

// trailers reads what follows the last chunk.
func (c *conn) trailers(q *head) error {
	for left := MaxHeader; left > 0; {
		line, err := c.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return errTrailers // what runtimes put there is shorter
		}
		if err != nil {
			return err
		}
		left -= len(line)
		if len(line) <= 2 {
			return nil
		}
		q.trailer(line)
	}
	return errTrailers
}

var errTrailers = errors.New("malformed trailers")

// unread throws a refused body away. It is false when that would take too
// long.
func (c *conn) unread(q head) bool {
	if !q.chunked {
		if q.length > maxUnread {
			return false
		}
		_, err := c.r.Discard(int(q.length))
		return err == nil
	}
	n, err := io.CopyN(io.Discard, httputil.NewChunkedReader(c.r), maxUnread)
	return n < maxUnread && errors.Is(err, io.EOF) && c.trailers(&q) == nil
}
