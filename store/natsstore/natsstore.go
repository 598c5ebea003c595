package natsstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"thermocline/store"
)

// The defaults of Options.
const (
	DefaultLogMaxBytes       = 1 << 30 // bytes
	DefaultLogMaxAge         = 7 * 24 * time.Hour
	DefaultLogMaxPerFunction = 100_000 // appended batches, that is about invocations

	opTimeout     = 10 * time.Second // of one operation on small things
	objectTimeout = 2 * time.Minute  // of one code package or snapshot
	collectEvery  = time.Hour
	collectAge    = 24 * time.Hour
)

// Options of Open. The zero value of each but KeyFile is its default.
type Options struct {
	// KeyFile holds the key that secrets are sealed with: 32 bytes in hex, mode
	// 0600. It is made when it does not exist and the store is new. All nodes
	// of one store need the same.
	KeyFile string

	LogMaxBytes       int64         // of all log lines together
	LogMaxAge         time.Duration // of a log line
	LogMaxPerFunction int64         // appended batches kept of one function

	Replicas int // of every stream; 1 unless the server is a cluster

	// Writable is asked before every write; its error is returned. The embedded
	// server's guard of the disk is one. nil: always.
	Writable func() error

	Logger *slog.Logger     // nil: slog.Default()
	Now    func() time.Time // nil: time.Now
}

// Store is a store.Store over JetStream.
type Store struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	soon   jetstream.JetStream // of AppendSoon
	opts   Options
	log    *slog.Logger
	now    func() time.Time
	sealer *sealer

	functions *functions
	identity  *identity
	code      *objects
	histories *objects
	logs      jetstream.Stream
	putting   keyedMutex // of code packages by their hash

	ready     chan struct{} // closed when the caches hold the initial values
	readyOnce sync.Once
	link      link

	closing   context.Context
	close     context.CancelFunc
	operating sync.WaitGroup // Run
	mu        sync.Mutex
	running   bool
}

var _ store.Store = (*Store)(nil)

// Open makes the buckets and streams where they do not exist and reads the key
// file. Nothing is followed yet: Run does that. The connection stays the
// caller's and is closed after the store.
func Open(ctx context.Context, nc *nats.Conn, opts Options) (*Store, error) {
	if opts.KeyFile == "" {
		return nil, errors.New("natsstore: no key file given")
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Writable == nil {
		opts.Writable = func() error { return nil }
	}
	if opts.LogMaxBytes == 0 {
		opts.LogMaxBytes = DefaultLogMaxBytes
	}
	if opts.LogMaxAge == 0 {
		opts.LogMaxAge = DefaultLogMaxAge
	}
	if opts.LogMaxPerFunction == 0 {
		opts.LogMaxPerFunction = DefaultLogMaxPerFunction
	}
	opts.Replicas = max(opts.Replicas, 1)
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("natsstore: %w", err)
	}
	s := &Store{
		nc: nc, js: js, opts: opts, log: opts.Logger, now: opts.Now,
		ready: make(chan struct{}),
	}
	if err := s.openSoon(); err != nil {
		return nil, fmt.Errorf("natsstore: %w", err)
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.link.init()
	ctx, cancel := context.WithTimeout(ctx, 3*opTimeout)
	defer cancel()
	if err := s.open(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	ib, err := s.openBucket(ctx, "thermocline_identity")
	if err != nil {
		return err
	}
	if s.sealer, err = openSealer(ctx, ib, s.opts.KeyFile); err != nil {
		return err
	}
	s.identity = newIdentity(ib)
	fb, err := s.openBucket(ctx, "thermocline_functions")
	if err != nil {
		return err
	}
	s.functions = newFunctions(fb)
	if s.code, err = s.openObjects(ctx, "thermocline_code", jetstream.DefaultPersistMode); err != nil {
		return err
	}
	if s.histories, err = s.openObjects(ctx, "thermocline_history", s.async()); err != nil {
		return err
	}
	return s.openLogs(ctx)
}

// async is the persist mode of what need not be synced. A replicated stream
// knows no such mode: its replicas are its safety.
func (s *Store) async() jetstream.PersistModeType {
	if s.opts.Replicas > 1 {
		return jetstream.DefaultPersistMode
	}
	return jetstream.AsyncPersistMode
}

// Run follows the buckets into memory until ctx ends or the store is closed. It
// runs once.
func (s *Store) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running || s.closing.Err() != nil {
		s.mu.Unlock()
		return errors.New("natsstore: the store runs already or is closed")
	}
	s.running = true
	s.operating.Add(1)
	s.mu.Unlock()
	defer s.operating.Done()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()

	functionsSynced, identitySynced := make(chan struct{}), make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watchLink(ctx) })
	g.Go(func() error {
		return s.follow(ctx, s.functions.bucket, func(it item) { s.applyFunction(it, true) },
			s.functions.cache.begin, s.functions.cache.synced, functionsSynced)
	})
	g.Go(func() error {
		return s.follow(ctx, s.identity.bucket, func(it item) { s.applyIdentity(it, true) },
			s.identity.begin, s.identity.synced, identitySynced)
	})
	g.Go(func() error {
		for _, c := range []chan struct{}{functionsSynced, identitySynced} {
			select {
			case <-c:
			case <-ctx.Done():
				return nil
			}
		}
		s.readyOnce.Do(func() { close(s.ready) })
		s.repair(ctx)
		return s.collectLoop(ctx)
	})
	return g.Wait()
}

// Ready waits until the memory holds what the store held when Run began.
func (s *Store) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	select {
	case <-s.ready:
		return nil
	case <-s.closing.Done():
		return errClosed()
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
}

// Close ends Run and waits for it. It is idempotent and leaves the connection
// open.
func (s *Store) Close() error {
	s.mu.Lock()
	s.close()
	s.mu.Unlock()
	s.operating.Wait()
	s.closeSoon()
	return nil
}

// collectLoop removes the code that no function has, from time to time.
func (s *Store) collectLoop(ctx context.Context) error {
	t := time.NewTicker(collectEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		n, err := s.CollectUnused(ctx, collectAge)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("unused code could not be collected", "error", err)
		} else if n > 0 {
			s.log.Info("unused code was collected", "packages", n)
		}
	}
}
