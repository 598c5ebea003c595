package natsstore_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"thermocline/internal/natsserver"
	"thermocline/store"
	"thermocline/store/natsstore"
	"thermocline/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// serve starts a server in a directory.
func serve(t testing.TB, dir string) (*natsserver.Server, *nats.Conn) {
	t.Helper()
	s, err := natsserver.Start(t.Context(), natsserver.Options{Dir: filepath.Join(dir, "nats"), SyncAlways: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return s, nc
}

// open opens a store that is ready.
func open(t testing.TB, nc *nats.Conn, dir string, change ...func(*natsstore.Options)) *natsstore.Store {
	t.Helper()
	opts := natsstore.Options{KeyFile: filepath.Join(dir, "key"), Logger: quiet}
	for _, c := range change {
		c(&opts)
	}
	s, err := natsstore.Open(t.Context(), nc, opts)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T) store.Store {
		dir := t.TempDir()
		_, nc := serve(t, dir)
		return open(t, nc, dir)
	})
}
