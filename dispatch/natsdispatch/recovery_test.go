package natsdispatch_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/dispatch/dispatchtest"
	"thermocline/dispatch/natsdispatch"
)

const fleet = "low-volume"

var options = natsdispatch.Options{Heartbeat: 200 * time.Millisecond, Lease: 2 * time.Second, EventAckWait: 2 * time.Second}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// settled waits until the managers that announce themselves lease everything.
func settled(t *testing.T, c *natsdispatch.Client, managers int) {
	t.Helper()
	eventually(t, "the managers settle", func() bool {
		infos := c.Managers()
		n := 0
		for _, m := range infos {
			n += len(m.Partitions)
		}
		return len(infos) == managers && n == dispatch.Partitions
	})
}

func invocation(id string) *thermocline.Invocation {
	return &thermocline.Invocation{RequestID: id, StartBy: time.Now().Add(10 * time.Second), Payload: []byte("x")}
}

// TestEventsSurviveKill takes what is on disk while events run, as kill -9
// leaves it, and starts from that.
func TestEventsSurviveKill(t *testing.T) {
	first := startNATS(t)
	client := runClient(t, connect(t, first), options)
	stop := make(chan struct{})
	blocked := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 8, Run: func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) {
		<-stop
		return &thermocline.Result{}, nil
	}}
	defer close(stop)
	serve(t, connect(t, first), options, blocked)
	settled(t, client, 1)
	want := map[string]bool{}
	for i := range 50 {
		id := fmt.Sprint("event-", i)
		want[id] = true
		if err := client.Enqueue(t.Context(), dispatch.Route{Fleet: fleet, Partition: i}, invocation(id)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "some run", func() bool { return len(blocked.Ran()) == 8 })

	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(first.JetStreamConfig().StoreDir)); err != nil {
		t.Fatal(err)
	}
	second := startNATSOn(t, left, nil)
	runClient(t, connect(t, second), options)
	m := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 8}
	began := time.Now()
	serve(t, connect(t, second), options, m)
	eventually(t, "all run", func() bool { return len(m.Ran()) >= len(want) })
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("the events ran only after %v", d)
	}
	for _, inv := range m.Ran() {
		delete(want, inv.RequestID)
		if inv.Attempt != 1 {
			t.Errorf("%s ran as attempt %d: a crash is none", inv.RequestID, inv.Attempt)
		}
	}
	if len(want) > 0 {
		t.Errorf("never ran: %v", want)
	}
}

// TestServerRestarts restarts a NATS server that runs apart: what it kept in
// memory is gone, the connections come back, everything goes on.
func TestServerRestarts(t *testing.T) {
	dir := t.TempDir()
	listen := func(o *server.Options) { o.DontListen = false; o.Host = "127.0.0.1"; o.Port = server.RANDOM_PORT }
	first := bootNATS(t, dir, listen)
	running := first
	t.Cleanup(func() { running.Shutdown(); running.WaitForShutdown() }) // after the client's end
	addr := first.Addr().(*net.TCPAddr)
	dial := func() *nats.Conn {
		nc, err := nats.Connect(fmt.Sprintf("nats://%s", addr), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	client := runClient(t, dial(), options)
	release := make(chan struct{})
	var once sync.Once
	m := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 8, Run: func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		if inv.Type == thermocline.Event {
			<-release
		}
		return &thermocline.Result{}, nil
	}}
	defer once.Do(func() { close(release) })
	node := serve(t, dial(), options, m)
	settled(t, client, 1)
	for i := range 3 {
		if err := client.Enqueue(t.Context(), dispatch.Route{Fleet: fleet, Partition: i}, invocation(fmt.Sprint("event-", i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the events run", func() bool { return len(m.Ran()) == 3 })
	first.Shutdown()
	first.WaitForShutdown()
	second := bootNATS(t, dir, func(o *server.Options) { listen(o); o.Port = addr.Port })
	running = second
	once.Do(func() { close(release) })
	settled(t, client, 1)
	for p := range dispatch.Partitions {
		r := dispatch.Route{Fleet: fleet, Mode: dispatch.ModeQueue, Partition: p, Managers: []string{"a"}}
		if _, err := client.Invoke(t.Context(), r, invocation(fmt.Sprint("after-", p))); err != nil {
			t.Fatalf("queue: %v", err)
		}
	}
	r := dispatch.Route{Fleet: fleet, Mode: dispatch.ModeDirect, Managers: []string{"a"}}
	if _, err := client.Invoke(t.Context(), r, invocation("direct")); err != nil {
		t.Fatalf("direct: %v", err)
	}
	if err := client.Enqueue(t.Context(), dispatch.Route{Fleet: fleet, Partition: 1}, invocation("event-after")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is queued", func() bool {
		queued, err := client.Queued(t.Context())
		return err == nil && queued[fleet] == 0
	})
	node.Stop()
	if n := len(m.Ran()); n != dispatch.Partitions+5 {
		t.Errorf("ran %d, want each of %d once", n, dispatch.Partitions+5)
	}
	if second.ID() == first.ID() {
		t.Error("the server was not started again")
	}
}

// TestPoison puts what cannot be decoded into both queues and onto the
// subject of a manager.
func TestPoison(t *testing.T) {
	s := startNATS(t)
	nc := connect(t, s)
	client := runClient(t, connect(t, s), options)
	m := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 8}
	serve(t, connect(t, s), options, m)
	settled(t, client, 1)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"thermocline.event1." + fleet + ".1", "thermocline.queue." + fleet + ".1"} {
		for _, junk := range []string{"junk", "", "TQ", "T\x01Q\xff\xff\xff\xff\xff", "T\x01Q\x02\x05x"} {
			if _, err := js.Publish(t.Context(), subject, []byte(junk)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := nc.Publish("thermocline.direct.a", []byte("junk")); err != nil {
		t.Fatal(err)
	}
	if err := client.Enqueue(t.Context(), dispatch.Route{Fleet: fleet, Partition: 1}, invocation("event")); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]dispatch.Route{
		"direct": {Fleet: fleet, Mode: dispatch.ModeDirect, Managers: []string{"a"}},
		"queue":  {Fleet: fleet, Mode: dispatch.ModeQueue, Partition: 1},
	} {
		if _, err := client.Invoke(t.Context(), r, invocation(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	eventually(t, "the queues are empty", func() bool {
		queued, err := client.Queued(t.Context())
		return err == nil && queued[fleet] == 0
	})
	if n := len(m.Ran()); n != 3 {
		t.Errorf("ran %d, want 3", n)
	}
}

// TestBacklog starts a manager on a backlog of the largest events: they must
// not come all at once, or the server cuts the connection (64 MB unless
// configured).
func TestBacklog(t *testing.T) {
	s := startNATS(t)
	client := runClient(t, connect(t, s), options)
	const n = dispatch.Partitions
	for i := range n {
		inv := invocation(fmt.Sprint("event-", i))
		inv.Payload = make([]byte, thermocline.MaxEventPayload)
		if err := client.Enqueue(t.Context(), dispatch.Route{Fleet: fleet, Partition: i % dispatch.Partitions}, inv); err != nil {
			t.Fatal(err)
		}
	}
	nc := connect(t, s)
	m := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 16}
	serve(t, nc, options, m)
	eventually(t, "all run", func() bool { return len(m.Ran()) >= n })
	if got := len(m.Ran()); got != n {
		t.Errorf("ran %d, want %d", got, n)
	}
	if r := nc.Stats().Reconnects; r != 0 {
		t.Errorf("the connection was cut %d times", r)
	}
}

// TestOneName serves two managers of the same name, as after a restart that
// the old process outlives: no invocation runs twice, and the other takes over.
func TestOneName(t *testing.T) {
	s := startNATS(t)
	client := runClient(t, connect(t, s), options)
	old := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 8}
	young := &dispatchtest.Manager{ID: "a", Fleet: fleet, Slots: 8}
	node := serve(t, connect(t, s), options, old)
	settled(t, client, 1)
	last := serve(t, connect(t, s), options, young)
	invoke := func(name string) {
		for p := range dispatch.Partitions {
			for _, mode := range []dispatch.Mode{dispatch.ModeQueue, dispatch.ModeDirect} {
				r := dispatch.Route{Fleet: fleet, Mode: mode, Partition: p, Managers: []string{"a"}}
				_, err := client.Invoke(t.Context(), r, invocation(fmt.Sprint(name, p, mode)))
				// Of two that announce the same name the client takes the
				// earlier for dead.
				if err != nil && (name != "both" || thermocline.KindOf(err) != thermocline.KindPossiblyStarted) {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
	invoke("both")
	node.Stop()
	settled(t, client, 1)
	invoke("young")
	last.Stop()
	runs := map[string]int{}
	for _, inv := range append(old.Ran(), young.Ran()...) {
		runs[inv.RequestID]++
	}
	for id, n := range runs {
		if n != 1 {
			t.Errorf("%s ran %d times", id, n)
		}
	}
	if len(runs) != 4*dispatch.Partitions {
		t.Errorf("%d invocations ran, want %d", len(runs), 4*dispatch.Partitions)
	}
}

func TestRefusesToStart(t *testing.T) {
	s := startNATS(t)
	nc := connect(t, s)
	_, err := natsdispatch.NewClient(t.Context(), nc, natsdispatch.Options{Prefix: "a.b", Lease: time.Millisecond, MaxInFlight: -1})
	for _, want := range []string{"Prefix", "Lease", "Heartbeat", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	srv, err := natsdispatch.NewServer(t.Context(), nc, natsdispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(t.Context(), &dispatchtest.Manager{ID: "a.b", Fleet: fleet}); err == nil {
		t.Error("a manager with a dot in its name serves")
	}
	small := startNATSOn(t, t.TempDir(), func(o *server.Options) { o.MaxPayload = 1 << 20 })
	if _, err := natsdispatch.NewServer(t.Context(), connect(t, small), natsdispatch.Options{}); err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("error %v does not name max_payload", err)
	}
}

// BenchmarkInvoke is one caller, in process, with an empty function.
func BenchmarkInvoke(b *testing.B) {
	s := startNATS(b)
	nc := connect(b, s)
	client := runClient(b, nc, natsdispatch.Options{})
	for _, id := range []string{"a", "b"} {
		serve(b, nc, natsdispatch.Options{}, &dispatchtest.Manager{ID: id, Fleet: fleet, Slots: 64})
	}
	for len(client.Managers()) < 2 || len(client.Managers()[0].Partitions)+len(client.Managers()[1].Partitions) != dispatch.Partitions {
		time.Sleep(time.Millisecond)
	}
	for _, mode := range []dispatch.Mode{dispatch.ModeDirect, dispatch.ModeQueue} {
		b.Run(string(mode), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				r := dispatch.Route{Fleet: fleet, Mode: mode, Partition: i % dispatch.Partitions, Managers: []string{"a", "b"}}
				if _, err := client.Invoke(b.Context(), r, invocation("r")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReady is the time from an empty directory to two fleets with two
// managers each that lease all partitions.
func BenchmarkReady(b *testing.B) {
	for b.Loop() {
		s := startNATS(b)
		nc := connect(b, s)
		client := runClient(b, nc, natsdispatch.Options{})
		var nodes []dispatchtest.Node
		for _, f := range []string{"low", "high"} {
			for _, id := range []string{"a", "b"} {
				nodes = append(nodes, serve(b, nc, natsdispatch.Options{}, &dispatchtest.Manager{ID: f + id, Fleet: f, Slots: 4}))
			}
		}
		for n := 0; n < 2*dispatch.Partitions; time.Sleep(time.Millisecond) {
			n = 0
			for _, m := range client.Managers() {
				n += len(m.Partitions)
			}
		}
		b.StopTimer()
		for _, n := range nodes {
			n.Stop()
		}
		b.StartTimer()
	}
}
