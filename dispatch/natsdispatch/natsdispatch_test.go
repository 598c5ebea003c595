package natsdispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"thermocline/dispatch"
	"thermocline/dispatch/dispatchtest"
	"thermocline/dispatch/natsdispatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startNATS starts a server in this process on a directory of its own.
func startNATS(t testing.TB) *server.Server { return startNATSOn(t, t.TempDir(), nil) }

func startNATSOn(t testing.TB, dir string, change func(*server.Options)) *server.Server {
	t.Helper()
	s := bootNATS(t, dir, change)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// bootNATS starts a server that the caller shuts down.
func bootNATS(t testing.TB, dir string, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{
		JetStream: true, StoreDir: dir, DontListen: true, NoSigs: true, NoLog: true,
		MaxPayload: 8 << 20, SyncAlways: true,
	}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not come up")
	}
	return s
}

func connect(t testing.TB, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		fmt.Fprintln(os.Stderr, "nats:", err)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestSuite(t *testing.T) {
	dispatchtest.Suite(t, open, func(t *testing.T, f func(*testing.T)) { f(t) })
}

// open starts a NATS server, a client on a connection of its own, and for each
// manager another connection, which a crash cuts.
func open(t *testing.T, c dispatchtest.Config) dispatchtest.Bed {
	s := startNATS(t)
	o := natsdispatch.Options{
		Retry: c.Retry, StartWithin: c.StartWithin, MaxInFlightBytes: c.MaxInFlightBytes, EventMaxMessages: int64(4 * c.MaxEvents),
		Heartbeat: 200 * time.Millisecond, Lease: 2 * time.Second, EventAckWait: time.Second,
	}
	if o.StartWithin == 0 {
		o.StartWithin = 10 * time.Second // on a busy machine two are soon over
	}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	client := runClient(t, connect(t, s), o)
	return dispatchtest.Bed{
		Client: client,
		Serve:  func(h dispatch.Handler) dispatchtest.Node { return serve(t, connect(t, s), o, h) },
	}
}

func runClient(t testing.TB, nc *nats.Conn, o natsdispatch.Options) *natsdispatch.Client {
	t.Helper()
	c, err := natsdispatch.NewClient(t.Context(), nc, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-c.Ready()
	return c
}

func serve(t testing.TB, nc *nats.Conn, o natsdispatch.Options, h dispatch.Handler) dispatchtest.Node {
	t.Helper()
	s, err := natsdispatch.NewServer(t.Context(), nc, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx, h); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return dispatchtest.Node{
		Stop: func() { cancel(); <-done },
		// What the process does after the cut reaches nobody.
		Crash: func() { nc.Close(); cancel() },
	}
}
