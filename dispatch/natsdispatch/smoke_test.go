package natsdispatch_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/dispatch/natsdispatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startNATS starts a server in this process on a directory of its own.
func startNATS(t testing.TB) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true, NoLog: true,
		MaxPayload: 8 << 20, SyncAlways: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not come up")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
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

type echo struct{ id string }

func (e echo) Info() thermocline.ManagerInfo {
	return thermocline.ManagerInfo{ID: e.id, Fleet: "low", Slots: 4}
}
func (e echo) Handle(_ context.Context, inv *thermocline.Invocation, accepted func() error) (*thermocline.Result, error) {
	if err := accepted(); err != nil {
		return nil, err
	}
	return &thermocline.Result{RequestID: inv.RequestID, Payload: inv.Payload}, nil
}

func TestSmoke(t *testing.T) {
	s := startNATS(t)
	ctx, cancel := context.WithCancel(t.Context())
	nc := connect(t, s)
	t0 := time.Now()
	c, err := natsdispatch.NewClient(ctx, nc, natsdispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := natsdispatch.NewServer(ctx, nc, natsdispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 3)
	go func() { done <- c.Run(ctx) }()
	for _, id := range []string{"a", "b"} {
		go func() { done <- srv.Serve(ctx, echo{id}) }()
	}
	for {
		n := 0
		for _, m := range c.Managers() {
			n += len(m.Partitions)
		}
		if n == dispatch.Partitions && len(c.Managers()) == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	t.Log("ready", time.Since(t0), c.Managers())
	for _, mode := range []dispatch.Mode{dispatch.ModeDirect, dispatch.ModeQueue} {
		t0 = time.Now()
		const n = 2000
		for i := range n {
			r := dispatch.Route{Fleet: "low", Mode: mode, Partition: i % 64, Managers: []string{"a", "b"}}
			_, err := c.Invoke(ctx, r, &thermocline.Invocation{RequestID: fmt.Sprint("r", i), Payload: []byte("x"), StartBy: time.Now().Add(time.Second)})
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Log(mode, time.Since(t0)/n)
	}
	if err := c.Enqueue(ctx, dispatch.Route{Fleet: "low", Partition: 3}, &thermocline.Invocation{RequestID: "e"}); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
