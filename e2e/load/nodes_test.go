package load_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// natsServer is an external NATS server, such as a cluster's.
func natsServer(t *testing.T) string {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not answer")
	}
	return s.ClientURL()
}

// TestStoppedManagersAreRehomed runs two nodes on one NATS server and stops
// one of them under load: the functions whose home it was move to the other,
// and no request fails.
func TestStoppedManagersAreRehomed(t *testing.T) {
	needsHost(t)
	url := natsServer(t)
	a := newServer(t, "--nats", url, "--node", "a", "--memory-mb", "4096")
	a.start()
	b := newServer(t, "--nats", url, "--node", "b", "--memory-mb", "4096")
	// Secrets in the store are sealed with a key that all nodes share.
	raw, err := os.ReadFile(filepath.Join(a.data, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.data, "secret.key"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()

	names := []string{"f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"}
	onB := 0
	for _, name := range names {
		a.deploy(name, a.nodeRuntime(), "index.handler", "index.js", echoJS)
	}
	for _, name := range names {
		if home := a.explain(name).Manager; len(home) > 2 && home[:2] == "b-" {
			onB++
		}
	}
	if onB == 0 || onB == len(names) {
		t.Fatalf("%d of %d functions have their home on the second node: nothing to show", onB, len(names))
	}

	var failed, done atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for _, name := range names {
		load.Go(func() {
			for ctx.Err() == nil {
				got, err := a.invoke(t.Context(), name, `7`)
				done.Add(1)
				if err != nil || got != `7` {
					failed.Add(1)
					t.Errorf("%s: %q, %v", name, got, err)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	time.Sleep(3 * time.Second)
	b.terminate()
	time.Sleep(3 * time.Second)
	cancel()
	load.Wait()
	for _, name := range names {
		if home := a.explain(name).Manager; len(home) < 2 || home[:2] != "a-" {
			t.Errorf("the home of %s is %s, whose node has stopped", name, home)
		}
	}
	t.Logf("%d requests, %d failed; %d functions were rehomed", done.Load(), failed.Load(), onB)
}
