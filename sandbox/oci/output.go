package oci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"thermocline/sandbox"
)

// The bounds of output.
const (
	maxLine = 256 << 10
	// pipeSize is how much a process may write ahead of us; then it blocks.
	pipeSize = 256 << 10
	// holdTime is how long what is written before the first invocation waits
	// for it, so that it bears its request id.
	holdTime = time.Second
	// outputRate and outputBurst bound what a sandbox writes, in bytes per
	// second and at once; every line counts lineCost bytes more. Who writes
	// faster waits: storing lines takes processor time of the platform, not of
	// the sandbox, and neighbours would feel it.
	outputRate  = 4 << 20
	outputBurst = 4 << 20
	lineCost    = 128
)

// output turns what a sandbox's processes write to their stdout and stderr
// into lines. Both go through one pipe: the order of writes is the order of
// lines. A goroutine per process reads; when the receiver is slow it does not
// read, and the writers block.
type output struct {
	emit func(sandbox.Line)

	mu      sync.Mutex // held while a chunk is read and given away
	request string
	line    []byte // the incomplete last line
	skip    bool   // in the rest of a line that was cut
	opened  bool
	open    chan struct{} // closed at the first invocation, or when time is up
	debt    float64       // bytes written less those allowed since, at paid
	paid    time.Time
}

func newOutput(emit func(sandbox.Line)) *output {
	if emit == nil {
		emit = func(sandbox.Line) {}
	}
	return &output{emit: emit, open: make(chan struct{})}
}

// release lets lines through.
func (o *output) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.opened {
		o.opened = true
		close(o.open)
	}
}

// setRequest says for which invocation lines are from now on, "" for none.
func (o *output) setRequest(id string) {
	o.mu.Lock()
	o.request = id
	o.mu.Unlock()
	if id != "" {
		o.release()
	}
}

// stream is the pipe of one process.
type stream struct {
	out  *output
	r    *os.File
	raw  syscallConn
	buf  []byte
	hold *time.Timer
	stop chan struct{} // closed when the goroutine is to end
	once sync.Once     // closes stop
	done chan struct{} // closed when the goroutine has ended
}

type syscallConn interface {
	Read(f func(fd uintptr) bool) error
	Control(f func(fd uintptr)) error
}

// connect makes a pipe, of which the processes get w. uid may open it anew
// through /proc/self/fd.
func (o *output) connect(uid, gid int) (s *stream, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make a pipe: %w", err)
	}
	w = os.NewFile(uintptr(fds[1]), "output")
	if err := errors.Join(unix.SetNonblock(fds[0], true), unix.Fchown(fds[1], uid, gid)); err != nil {
		unix.Close(fds[0])
		w.Close()
		return nil, nil, fmt.Errorf("prepare a pipe: %w", err)
	}
	// Refused when the user's pipes hold too much already; the default will do.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize)
	r := os.NewFile(uintptr(fds[0]), "output")
	raw, err := r.SyscallConn()
	if err != nil {
		r.Close()
		w.Close()
		return nil, nil, err
	}
	return &stream{out: o, r: r, raw: raw, buf: make([]byte, 32<<10), stop: make(chan struct{}), done: make(chan struct{})}, w, nil
}

// run reads until no process has the pipe open any more, or close.
func (s *stream) run() {
	s.hold = time.AfterFunc(holdTime, s.out.release)
	go func() {
		defer close(s.done)
		<-s.out.open
		for s.next() && s.pace() {
		}
	}()
}

// pace waits until more may be read. It is false when the stream is closed
// meanwhile: close gives away what is left.
func (s *stream) pace() bool {
	s.out.mu.Lock()
	wait := s.out.excess(time.Now())
	s.out.mu.Unlock()
	if wait <= 0 {
		return true
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}

// next waits for a chunk and gives it away. It is false at the end.
func (s *stream) next() bool {
	more := true
	err := s.raw.Read(func(fd uintptr) bool {
		var ready bool
		ready, more = s.take(int(fd))
		return ready
	})
	return err == nil && more
}

// take reads one chunk, if there is one, and gives its lines away.
func (s *stream) take(fd int) (ready, more bool) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.takeLocked(fd)
}

func (s *stream) takeLocked(fd int) (ready, more bool) {
	n, err := unix.Read(fd, s.buf)
	for err == unix.EINTR {
		n, err = unix.Read(fd, s.buf)
	}
	switch {
	case err == unix.EAGAIN:
		return false, true
	case err != nil, n == 0:
		return true, false
	}
	s.out.write(s.buf[:n])
	return true, true
}

// drain gives away all that was in the pipe when it was called, and then what
// there is of an incomplete line.
func (s *stream) drain() {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	_ = s.raw.Control(func(fd uintptr) { // an error means that the pipe is closed
		left, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		for err == nil && left > 0 {
			ready, more := s.takeLocked(int(fd))
			if !ready || !more {
				return
			}
			left -= len(s.buf) // at least that, or the pipe was empty
		}
	})
	s.out.flush()
}

// close gives away what is left and ends the goroutine.
func (s *stream) close() {
	s.out.release()
	s.hold.Stop()
	s.once.Do(func() { close(s.stop) })
	s.drain()
	s.r.Close()
	<-s.done
}

// excess returns how long it takes until what was written is within the
// bounds. Callers hold mu.
func (o *output) excess(now time.Time) time.Duration {
	o.debt = max(0, o.debt-now.Sub(o.paid).Seconds()*outputRate)
	o.paid = now
	return time.Duration((o.debt - outputBurst) / outputRate * float64(time.Second))
}

// write splits a chunk into lines. Callers hold mu.
func (o *output) write(chunk []byte) {
	o.debt += float64(len(chunk) + lineCost*bytes.Count(chunk, []byte{'\n'}))
	for len(chunk) > 0 {
		part := chunk
		i := bytes.IndexByte(chunk, '\n')
		if i >= 0 {
			part = chunk[:i]
		}
		o.extend(part)
		if i < 0 {
			return
		}
		if !o.skip || len(o.line) > 0 {
			o.give()
		}
		o.skip = false
		chunk = chunk[i+1:]
	}
}

// extend adds to the incomplete line and cuts it at maxLine.
func (o *output) extend(part []byte) {
	if o.skip {
		return
	}
	room := maxLine - len(o.line)
	if len(part) <= room {
		o.line = append(o.line, part...)
		return
	}
	o.line = append(o.line, part[:room]...)
	o.give()
	o.skip = true
}

// flush gives the incomplete line away.
func (o *output) flush() {
	if len(o.line) > 0 {
		o.give()
	}
	o.skip = false
}

func (o *output) give() {
	text := bytes.ToValidUTF8(o.line, []byte("\uFFFD"))
	o.emit(sandbox.Line{Time: time.Now(), RequestID: o.request, Text: string(text)})
	o.line = o.line[:0]
	if cap(o.line) > 16<<10 {
		o.line = nil
	}
}
