package runtimeapi

import (
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"thermocline"
)

// The bounds of one server.
const (
	// MaxConns is the largest number of open connections. Runtimes use one or
	// two; further ones wait in the kernel's backlog.
	MaxConns = 64
	// MaxHeader is the largest size of a request's headers, in bytes. Runtimes
	// send a stack trace for X-Ray in one, hence more than the usual few KB.
	MaxHeader = 256 << 10

	// headerTimeout is how long a request's headers may take.
	headerTimeout = 10 * time.Second
	// drainLimit is how much of a body that is too large is read and thrown
	// away, so that its sender gets to see the refusal.
	drainLimit = 32 << 20
	// resetGrace is how long Reset waits for an answer that a dead process had
	// sent completely and that is being read.
	resetGrace = time.Second
)

// Options of a Server.
type Options struct {
	// Logger gets what goes wrong on our side; slog.Default() if nil. Errors
	// of the other side are not logged: it could fill the log with them.
	Logger *slog.Logger
	// MaxResult is the largest answer in bytes, thermocline.MaxResult if 0.
	MaxResult int
}

// Server is the Runtime API of one sandbox. Its methods may be called from
// any goroutine; only one Invoke may run at a time.
type Server struct {
	log       *slog.Logger
	maxResult int
	http      *http.Server // of the requests that conn does not know
	others    others
	conns     connTable

	mu      sync.Mutex
	phase   phase
	closed  bool
	served  chan struct{} // closed when Serve has returned; nil before Serve
	socket  net.Listener  // nil before Serve
	waiter  *waiter       // the parked call of next, nil if none
	queued  *call         // waits for the runtime to ask
	current *call         // the last one handed over, until the runtime asks again

	failure   Response  // phase failed: what init/error said
	initStart time.Time // when initialisation began
	initTime  time.Duration
	initNew   bool // initTime has not been reported yet

	receiving chan struct{} // phase receiving: closed when it ends

	initDone chan struct{} // closed when the phase is booting no more
	polled   chan struct{} // closed when a bootstrap has asked for its binding
	isPolled bool
	binding  []byte        // the encoded BindMessage, nil before Specialise
	bound    chan struct{} // closed by Specialise
	epoch    chan struct{} // closed by Reset and Close
}

var _ http.Handler = (*handler)(nil)

// New returns a server in the state booting. It starts nothing.
func New(opts Options) *Server {
	s := &Server{log: opts.Logger, maxResult: opts.MaxResult}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.maxResult <= 0 {
		s.maxResult = thermocline.MaxResult
	}
	s.conns.init(MaxConns)
	s.others = others{conns: make(chan *conn), done: s.conns.done}
	s.forget()
	s.http = &http.Server{
		Handler:           &handler{s},
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    MaxHeader,
		// No idle timeout: a sandbox is frozen for as long as it is idle, and
		// would wake up to a connection that is gone.
		ConnState: s.conns.observe,
		ErrorLog:  log.New(io.Discard, "", 0),
		// OPTIONS * is a path that there is not, like any other.
		DisableGeneralOptionsHandler: true,
	}
	return s
}

// Serve answers the runtime on l until Close, which makes it return nil. It
// takes ownership of l and may be called once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closed || s.served != nil {
		s.mu.Unlock()
		l.Close() // nobody will use it
		return ErrClosed
	}
	served := make(chan struct{})
	s.served, s.socket = served, l
	s.others.addr = l.Addr()
	s.mu.Unlock()
	defer close(served)
	var rest sync.WaitGroup
	defer rest.Wait()
	rest.Go(func() { _ = s.http.Serve(&s.others) }) // until close
	err := s.accept(&limitListener{Listener: l, conns: &s.conns})
	l.Close()
	s.conns.close()
	if s.isClosed() {
		return nil
	}
	return thermocline.WithCause(thermocline.KindInternal, err, "the Runtime API stopped")
}

// accept starts connections until the listener's end.
func (s *Server) accept(l net.Listener) error {
	for pause := acceptPause; ; {
		c, err := l.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = acceptPause
			s.conns.add(c)
			go newConn(s, c).serve()
		case errors.As(err, &temporary) && temporary.Temporary() && !s.isClosed():
			// Out of descriptors, say.
			time.Sleep(pause)
			pause = min(2*pause, maxAcceptPause)
		default:
			return err
		}
	}
}

// The pauses after an accept that failed for now.
const (
	acceptPause    = 5 * time.Millisecond
	maxAcceptPause = 200 * time.Millisecond
)

// Close ends all connections and waits for their goroutines. A pending Invoke
// returns ErrClosed. Idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.epoch)
		s.fail(ErrClosed)
	}
	served, socket := s.served, s.socket
	s.mu.Unlock()
	s.conns.close()
	err := s.http.Close()
	if socket != nil {
		err = errors.Join(err, socket.Close())
	}
	if served != nil {
		<-served
	}
	s.conns.drop() // what was accepted in between
	s.conns.wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return thermocline.WithCause(thermocline.KindInternal, err, "the Runtime API could not be closed")
	}
	return nil
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
