package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// requestTimeout bounds one request.
const requestTimeout = 30 * time.Second

// target is a server that the load generator speaks to.
type target struct {
	addr string
	// request renders the whole HTTP request. It is called before each round.
	request func(now time.Time) ([]byte, error)
	// answer is a part of every right answer.
	answer string
}

// load is what a round has measured.
type load struct {
	latencies []time.Duration // sorted, without the warm-up's
	elapsed   time.Duration   // without the warm-up
	requests  int             // with the warm-up's
}

func (l load) throughput() float64 {
	if l.elapsed <= 0 {
		return 0
	}
	return float64(len(l.latencies)) / l.elapsed.Seconds()
}

// drive sends requests from so many clients, each its next as soon as it has
// the answer. The first tenth of the time is warm-up and not measured. Any wrong
// answer is an error.
func drive(ctx context.Context, t target, clients int, d time.Duration) (load, error) {
	raw, err := t.request(time.Now())
	if err != nil {
		return load{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	warm, end := begin.Add(d/10), begin.Add(d)
	type part struct {
		took []time.Duration
		n    int
		err  error
	}
	parts := make(chan part, clients)
	for range clients {
		go func() {
			var p part
			p.took, p.n, p.err = drive1(ctx, t, raw, warm, end)
			if p.err != nil {
				cancel()
			}
			parts <- p
		}()
	}
	var l load
	var errs []error
	for range clients {
		p := <-parts
		l.latencies = append(l.latencies, p.took...)
		l.requests += p.n
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			errs = append(errs, p.err)
		}
	}
	l.elapsed = time.Since(warm)
	slices.Sort(l.latencies)
	if len(errs) > 0 {
		return l, errs[0]
	}
	return l, context.Cause(ctx)
}

// drive1 is one client.
func drive1(ctx context.Context, t target, raw []byte, warm, end time.Time) (took []time.Duration, n int, err error) {
	c, err := dial(ctx, t.addr)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	took = make([]time.Duration, 0, 4096)
	for {
		began := time.Now()
		if !began.Before(end) || ctx.Err() != nil {
			return took, n, ctx.Err()
		}
		r, err := c.do(raw)
		if err == nil && (r.status != 200 || r.functionError != "" || !bytes.Contains(r.body, []byte(t.answer))) {
			err = fmt.Errorf("answer %d %s: %.200s", r.status, r.functionError, r.body)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return took, n, err
		}
		n++
		if began.After(warm) {
			took = append(took, time.Since(began))
		}
	}
}

// conn is a connection of HTTP/1.1, as cheap as it can be made: the load
// generator shares the processors with what it measures.
type conn struct {
	net.Conn
	r    *bufio.Reader
	body []byte // of the last response
}

func dial(ctx context.Context, addr string) (*conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newConn(c), nil
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, r: bufio.NewReader(c)} }

// response is valid until the next request.
type response struct {
	status        int
	functionError string
	logTail       string // base64
	body          []byte
}

// do sends a request and reads its response.
func (c *conn) do(raw []byte) (response, error) {
	if err := c.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return response{}, err
	}
	if _, err := c.Write(raw); err != nil {
		return response{}, err
	}
	return c.read()
}

func (c *conn) read() (r response, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return r, err
	}
	if len(line) < 12 {
		return r, fmt.Errorf("no status line: %q", line)
	}
	if r.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, err
	}
	length := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return r, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return r, err
			}
		case bytes.EqualFold(name, []byte("X-Amz-Function-Error")):
			r.functionError = string(bytes.TrimSpace(value))
		case bytes.EqualFold(name, []byte("X-Amz-Log-Result")):
			r.logTail = string(bytes.TrimSpace(value))
		}
	}
	if length >= 0 {
		c.body = slices.Grow(c.body[:0], length)[:length]
		_, err = io.ReadFull(c.r, c.body)
	} else {
		err = c.readChunks()
	}
	r.body = c.body
	return r, err
}

// readChunks reads a chunked body without trailers.
func (c *conn) readChunks() error {
	c.body = c.body[:0]
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 31)
		if err != nil {
			return err
		}
		at := len(c.body)
		c.body = slices.Grow(c.body, int(n)+2)[:at+int(n)+2] // with its CRLF
		if _, err := io.ReadFull(c.r, c.body[at:]); err != nil {
			return err
		}
		c.body = c.body[:at+int(n)]
		if n == 0 {
			return nil
		}
	}
}
