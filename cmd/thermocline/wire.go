package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"thermocline"
	"thermocline/dispatch/natsdispatch"
	"thermocline/fleet"
	"thermocline/frontend"
	"thermocline/history"
	"thermocline/instance/host"
	"thermocline/internal/natsserver"
	"thermocline/manager"
	"thermocline/manager/pool"
	"thermocline/sandbox/interpreter"
	"thermocline/sandbox/oci"
	"thermocline/store/code"
	"thermocline/store/natsstore"
)

// node is one running server: all the parts, joined. startNode makes them in
// the order in which they need each other; stop ends them in reverse.
type node struct {
	cfg      Config
	log      *slog.Logger
	endpoint string
	failed   chan error // a part ended that should not have

	id       string // of this data directory on this machine
	pace     thermocline.Pace
	writable func() error
	nc       *nats.Conn
	store    *natsstore.Store
	code     *code.Cache
	scratch  *code.Scratch
	finder   *interpreter.Finder
	provider *host.Provider
	client   *natsdispatch.Client
	server   *natsdispatch.Server
	fleets   *fleet.Set
	history  *history.History
	running  *frontend.Concurrency // counts the executions of this node
	managers []*manager.Manager
	http     *http.Server
	ending   context.Context // ends when stop begins: log followers go

	stops []func(ctx context.Context) error // run last to first
}

// startNode returns a node that answers. When a part does not start, those that
// did are stopped.
func startNode(ctx context.Context, cfg Config, log *slog.Logger) (*node, error) {
	n := &node{cfg: cfg, log: log, failed: make(chan error, 16)}
	n.pace = thermocline.Pace{Origin: time.Now(), Factor: cfg.TimeScale}
	for _, part := range []struct {
		name  string
		start func(context.Context) error
	}{
		{"OCI runtime", n.startRunc},
		{"data directory", n.startData},
		{"nats", n.startNATS},
		{"store", n.startStore},
		{"sandboxes", n.startSandboxes},
		{"history", n.startHistory},
		{"dispatch", n.startDispatch},
		{"managers", n.startManagers},
		{"frontend", n.startFrontend},
	} {
		if err := part.start(ctx); err != nil {
			stopped := n.stop(5 * time.Second)
			var known *exitError
			if errors.As(err, &known) {
				return nil, err
			}
			return nil, errors.Join(fmt.Errorf("start the %s: %w", part.name, err), stopped)
		}
	}
	return n, nil
}

// stop ends all parts. Running invocations have until the deadline.
func (n *node) stop(deadline time.Duration) error {
	var errs []error
	end := time.Now().Add(deadline)
	for i := len(n.stops) - 1; i >= 0; i-- {
		// What holds things on the host gets time to remove them, also when the
		// deadline is used up.
		ctx, cancel := context.WithDeadline(context.Background(), maxTime(end, time.Now().Add(5*time.Second)))
		errs = append(errs, n.stops[i](ctx))
		cancel()
	}
	n.stops = nil
	return errors.Join(errs...)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (n *node) onStop(f func(context.Context) error) { n.stops = append(n.stops, f) }

// run starts a part that runs until it is stopped. Its stop waits for it; an
// end before that is a failure of the node.
func (n *node) run(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := f(ctx)
		if ctx.Err() == nil {
			n.failed <- fmt.Errorf("%s ended: %w", name, err)
		}
		done <- err
	}()
	n.onStop(func(stop context.Context) error {
		cancel()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-stop.Done():
			return fmt.Errorf("%s did not end in time", name)
		}
	})
}

// startData makes the data directory and locks it.
func (n *node) startData(context.Context) error {
	if os.Geteuid() != 0 {
		return fail(exitFailed, "run it with sudo", "serve needs root, for namespaces, mounts and cgroups")
	}
	dir := n.cfg.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(exitFailed, "name another with --data", "make the data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fail(exitFailed, "name another with --data", "the data directory cannot be written: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return fail(exitFailed, "stop it first, or name another directory with --data", "another server runs on %s", dir)
	}
	n.onStop(func(context.Context) error { return lock.Close() })
	n.id = fmt.Sprintf("%.24s-%08x", n.cfg.Node, hash32(dir))
	return nil
}

// hash32 makes the node's id the same at each start on a data directory, and
// different from those of other servers on the machine.
func hash32(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum32()
}

// startNATS starts the embedded server, or connects to the cluster.
func (n *node) startNATS(ctx context.Context) error {
	if urls := n.cfg.natsURLs(); len(urls) > 0 {
		nc, err := nats.Connect(strings.Join(urls, ","), nats.Name("thermocline "+n.id), nats.MaxReconnects(-1))
		if err != nil {
			return fail(exitFailed, "check --nats, and that the cluster is up", "connect to NATS at %s: %w", n.cfg.redacted(), err)
		}
		n.nc = nc
		n.onStop(func(context.Context) error { nc.Close(); return nil })
		return natsserver.Check(ctx, nc)
	}
	s, err := natsserver.Start(ctx, natsserver.Options{
		Dir:        filepath.Join(n.cfg.Data, "nats"),
		MaxStore:   int64(n.cfg.Storage.MaxMB) << 20,
		Reserve:    int64(n.cfg.Storage.ReserveMB) << 20,
		SyncAlways: n.cfg.Storage.Sync,
		Logger:     n.log,
	})
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) error { return s.Close() })
	n.writable = s.Writable
	n.nc, err = s.Connect(nats.Name("thermocline " + n.id))
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) error { n.nc.Close(); return nil })
	return nil
}

// startStore opens the store and waits until its memory is filled.
func (n *node) startStore(ctx context.Context) error {
	s, err := natsstore.Open(ctx, n.nc, natsstore.Options{
		KeyFile:  filepath.Join(n.cfg.Data, "secret.key"),
		Writable: n.writable,
		Logger:   n.log,
	})
	if err != nil {
		return err
	}
	n.store = s
	n.onStop(func(context.Context) error { return s.Close() })
	n.run("store", s.Run)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return s.Ready(ctx)
}

// startSandboxes prepares the host: what a dead predecessor left goes first.
func (n *node) startSandboxes(ctx context.Context) error {
	cache, err := code.NewCache(filepath.Join(n.cfg.Data, "code"), n.store.Open, 4<<30)
	if err != nil {
		return err
	}
	n.code = cache
	n.onStop(func(context.Context) error { return cache.Close() })
	// In memory: what runs once is gone when the machine is.
	if n.scratch, err = code.NewScratch(filepath.Join("/run/thermocline", n.id+"-programs"), scratchBytes); err != nil {
		return err
	}
	n.onStop(func(context.Context) error { return n.scratch.Close() })
	n.finder = interpreter.NewFinder(interpreter.Options{DataDir: n.cfg.Data, Logger: n.log})
	runtime, err := oci.New(oci.Config{
		RuncPath:   n.cfg.Runc,
		StateDir:   filepath.Join("/run/thermocline", n.id),
		ScratchDir: filepath.Join(n.cfg.Data, "scratch"),
		Lookup:     n.lookup,
		Logger:     n.log,
	})
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) error { return runtime.Close() })
	n.provider, err = host.New(host.Options{
		NodeID:        n.id,
		StateDir:      filepath.Join(n.cfg.Data, "instances"),
		TotalMemoryMB: n.cfg.Provider.MemoryMB,
		TotalCPU:      n.cfg.Provider.CPUs,
		Starter:       runtime,
		Logger:        n.log,
	})
	if err != nil {
		return err
	}
	n.onStop(n.provider.Close)
	return n.provider.Recover(ctx)
}

// scratchBytes bounds the unpacked code of all programs that run at once.
const scratchBytes = 256 << 20

// lookup finds an interpreter for a sandbox.
func (n *node) lookup(ctx context.Context, runtime string) (oci.Interpreter, error) {
	found, err := n.finder.Lookup(ctx, runtime)
	if err != nil {
		return oci.Interpreter{}, err
	}
	i := oci.Interpreter{Path: found.Path}
	for _, m := range found.Mounts {
		i.Mounts = append(i.Mounts, oci.Mount(m))
	}
	return i, nil
}

// startDispatch joins the frontend's and the managers' side of the messages.
func (n *node) startDispatch(ctx context.Context) error {
	o := natsdispatch.Options{
		Logger: n.log, DrainTimeout: max(n.cfg.ShutdownDeadline, time.Second),
		StartWithin: 5 * time.Second,
	}
	var err error
	if n.server, err = natsdispatch.NewServer(ctx, n.nc, o); err != nil {
		return err
	}
	if n.client, err = natsdispatch.NewClient(ctx, n.nc, o); err != nil {
		return err
	}
	n.run("dispatch", n.client.Run)
	select {
	case <-n.client.Ready():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startManagers starts this node's managers of every fleet. They are served
// after they run and drained before they are closed.
func (n *node) startManagers(context.Context) error {
	n.running = frontend.NewConcurrency(n.store, n.cfg.Concurrency)
	ledger := manager.NewLedger(n.provider)
	var options []manager.Options
	fleets := n.cfg.fleetConfig().Fleets
	for at, f := range n.fleets.Fleets() {
		var spares func(context.Context) ([]pool.Spare, error)
		if at == len(fleets)-1 { // where the first call of every function goes
			spares = n.spares
		}
		for i := range f.Managers {
			options = append(options, manager.Options{
				ID: fmt.Sprintf("%s-%s-%d", n.id, f.Name, i+1), Fleet: f.Name, Node: n.cfg.Node,
				Provider: ledger.Share(), Functions: n.store, Code: n.code, Logs: n.store, Programs: n.scratch,
				FreezeAfter: n.cfg.FreezeAfter,
				Pool:        n.cfg.poolConfig(fleets[at]), Spares: spares, Pace: n.pace,
				Logger: n.log,
			})
		}
	}
	for _, o := range options {
		o.InstanceMB = manager.InstanceMB(ledger.GuaranteedMB())
		n.managers = append(n.managers, manager.New(o))
	}
	n.onStop(n.closeManagers)
	for _, m := range n.managers {
		n.run("manager", m.Run)
	}
	var serving sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background()) // ends with the node, not with its start
	for _, m := range n.managers {
		serving.Go(func() {
			if err := n.server.Serve(ctx, &bounded{m, n.running, n.store, n.log}); err != nil && ctx.Err() == nil {
				n.failed <- fmt.Errorf("serve manager %s: %w", m.Info().ID, err)
			}
		})
	}
	n.onStop(func(context.Context) error {
		cancel()
		serving.Wait() // bounded by the dispatch's DrainTimeout
		return nil
	})
	return nil
}

// closeManagers closes all at once: each waits for its sandboxes.
func (n *node) closeManagers(ctx context.Context) error {
	errs := make([]error, len(n.managers))
	var closing sync.WaitGroup
	for i, m := range n.managers {
		closing.Go(func() { errs[i] = m.Close(ctx) })
	}
	closing.Wait()
	return errors.Join(errs...)
}

// startFrontend listens last, so that whoever reaches it is answered.
func (n *node) startFrontend(ctx context.Context) error {
	if err := n.awaitManagers(ctx); err != nil {
		return err
	}
	key, err := n.firstKey(ctx)
	if err != nil {
		return err
	}
	f := frontend.New(frontend.Options{
		Store: n.store, History: n.history, Fleets: n.fleets, Dispatch: n.client,
		Runtimes: &runtimes{n}, Pace: n.pace, Managers: &statuses{n}, Region: n.cfg.Region, Concurrency: n.running, Writable: n.writable,
		Version: currentVersion().Version, Node: n.cfg.Node, Logger: n.log,
	})
	listener, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fail(exitFailed, "stop what listens there, or name another with --listen (port 0 takes a free one)", "%s is in use", n.cfg.Listen)
		}
		return fail(exitFailed, "name another address with --listen", "listen: %w", err)
	}
	n.endpoint = "http://" + reachable(listener.Addr())
	if err := n.writeCredentials(key); err != nil {
		_ = listener.Close()
		return err
	}
	n.run("frontend", f.Run)
	ending, end := context.WithCancel(context.Background())
	n.ending = ending
	n.http = &http.Server{
		Handler:           n.handler(f),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := n.http.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.failed <- fmt.Errorf("http: %w", err)
		}
	}()
	n.onStop(func(ctx context.Context) error {
		end()
		if err := n.http.Shutdown(ctx); err != nil {
			return n.http.Close()
		}
		return nil
	})
	return nil
}

// handler ends the requests that would go on for ever when the node stops.
func (n *node) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/thermocline/") && r.URL.Path != "/thermocline/v1/run" {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(n.ending, cancel)()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// awaitManagers waits until this node's managers are known to its frontend.
func (n *node) awaitManagers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		known := 0
		for _, m := range n.client.Managers() {
			if strings.HasPrefix(m.ID, n.id+"-") {
				known++
			}
		}
		if known >= len(n.managers) {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-n.failed:
			return err
		case <-ctx.Done():
			return errors.New("the instance managers did not announce themselves")
		}
	}
}

// reachable is an address that clients on this machine can use.
func reachable(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(t.Port))
	}
	return a.String()
}

// notExist reports whether err says that a file is not there.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
