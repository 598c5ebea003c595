package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The defaults of Options.
const (
	DefaultMaxPayload = 8 << 20   // bytes: a payload of 6 MB and what surrounds it
	DefaultMaxPending = 1 << 30   // bytes: 64 answers of 6 MB to one client, and more
	DefaultMaxMemory  = 2 << 30   // bytes
	DefaultReserve    = 256 << 20 // bytes, or 5% of the file system where that is less

	// minMaxStore keeps JetStream's own accounting out of the way on small
	// disks: streams reserve their limits against it, and a reservation says
	// nothing about the disk. The reserve of free space is what protects it.
	minMaxStore = 64 << 30

	readyTimeout = 30 * time.Second
)

// Options of Start. The zero value of each but Dir is its default.
type Options struct {
	Dir        string // where JetStream keeps its files; made with mode 0700
	MaxPayload int32  // bytes of one message
	MaxPending int64  // bytes waiting for one client before it is cut as too slow
	MaxStore   int64  // bytes on disk; 0: what is used and free at the start, less the reserve
	MaxMemory  int64  // bytes of memory streams

	// Reserve is the free space, in bytes, below which Writable refuses.
	// 0: 256 MB or 5% of the file system, whichever is less. Negative: none.
	Reserve int64

	// SyncAlways syncs every write before it is acknowledged, except in streams
	// with PersistMode async.
	SyncAlways bool

	// Listen is a TCP address for others than this process, "" for none.
	Listen string

	Logger *slog.Logger // nil: slog.Default()
}

// Server is an embedded NATS server.
type Server struct {
	opts    Options
	log     *slog.Logger
	lock    *os.File
	reserve int64
	free    func(dir string) (free, total int64, err error) // of the file system

	wedged atomic.Bool
	wedge  chan struct{} // capacity 1: wakes the guard
	done   chan struct{}
	guard  sync.WaitGroup

	mu     sync.Mutex // guards ns and closed; never held while starting or stopping
	ns     *server.Server
	closed bool
}

// Start locks dir, starts the server in it and returns when it answers. The
// caller closes it. ctx bounds the start only.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Dir == "" {
		return nil, errors.New("natsserver: no directory given")
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	opts.MaxPayload = orDefault(opts.MaxPayload, DefaultMaxPayload)
	opts.MaxPending = max(orDefault(opts.MaxPending, DefaultMaxPending), int64(opts.MaxPayload))
	opts.MaxMemory = orDefault(opts.MaxMemory, DefaultMaxMemory)
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("natsserver: make the data directory: %w", err)
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts:  opts,
		log:   opts.Logger,
		lock:  lock,
		free:  freeSpace,
		wedge: make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	free, total, err := s.free(opts.Dir)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("natsserver: ask for the free space: %w", err)
	}
	s.reserve = reserveOf(opts.Reserve, total)
	if s.opts.MaxStore == 0 {
		s.opts.MaxStore = max(used(opts.Dir)+free-s.reserve, minMaxStore)
	}
	ns, err := s.launch(ctx)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s.ns = ns
	s.guard.Go(s.watchDisk)
	return s, nil
}

// launch starts one incarnation of the server.
func (s *Server) launch(ctx context.Context) (*server.Server, error) {
	o := &server.Options{
		ServerName:             "thermocline",
		DontListen:             true,
		NoSigs:                 true,
		NoLog:                  true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               filepath.Join(s.opts.Dir, "data"),
		JetStreamMaxMemory:     s.opts.MaxMemory,
		JetStreamMaxStore:      s.opts.MaxStore,
		MaxPayload:             s.opts.MaxPayload,
		MaxPending:             s.opts.MaxPending,
		SyncAlways:             s.opts.SyncAlways,
		// A busy machine may keep a client of this process waiting for long; it
		// is us, so cutting it helps nobody.
		WriteDeadline: time.Minute,
	}
	if s.opts.Listen != "" {
		if err := listenOn(o, s.opts.Listen); err != nil {
			return nil, err
		}
	}
	ns, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("natsserver: configure the server: %w", err)
	}
	l := &logger{log: s.log, failed: s.Failed}
	ns.SetLoggerV2(l, false, false, false)
	ns.Start()
	wait := readyTimeout
	if d, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(d))
	}
	if !ns.ReadyForConnections(wait) || !ns.JetStreamEnabled() {
		ns.Shutdown()
		ns.WaitForShutdown()
		if m := l.fatal(); m != "" {
			return nil, fmt.Errorf("natsserver: the embedded NATS server did not start: %s", m)
		}
		return nil, fmt.Errorf("natsserver: the embedded NATS server was not ready within %s", wait.Round(time.Millisecond))
	}
	return ns, nil
}

// InProcessConn returns a new connection to the server of the moment. It makes
// *Server a nats.InProcessConnProvider that survives restarts.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	ns := s.ns
	s.mu.Unlock()
	if ns == nil {
		return nil, errors.New("natsserver: the server is not running")
	}
	return ns.InProcessConn()
}

// Connect connects in process. The connection finds the server again after a
// restart; the caller closes it before the server.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	opts = append([]nats.Option{
		nats.InProcessServer(s),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(10*time.Millisecond, 10*time.Millisecond),
		nats.Timeout(10 * time.Second),
	}, opts...)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("natsserver: connect in process: %w", err)
	}
	return nc, nil
}

// Addr is the TCP address that the server listens on, "" when it does not.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ns == nil || s.opts.Listen == "" {
		return ""
	}
	return s.ns.Addr().String()
}

// Close stops the server and waits until its files are closed. It is
// idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.guard.Wait()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.done)
	s.guard.Wait() // no restart is under way after this
	s.stop()
	return s.lock.Close()
}

// stop ends the incarnation of the moment.
func (s *Server) stop() {
	s.mu.Lock()
	ns := s.ns
	s.ns = nil
	s.mu.Unlock()
	if ns == nil {
		return
	}
	ns.Shutdown()
	ns.WaitForShutdown()
}

func listenOn(o *server.Options, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("natsserver: listen address %q: %w", addr, err)
	}
	p, err := net.LookupPort("tcp", port)
	if err != nil {
		return fmt.Errorf("natsserver: listen address %q: %w", addr, err)
	}
	if p == 0 {
		p = server.RANDOM_PORT
	}
	o.DontListen, o.Host, o.Port = false, host, p
	return nil
}

func orDefault[T int32 | int64](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}
