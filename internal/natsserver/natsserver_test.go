package natsserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"thermocline"
	"thermocline/internal/natsserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func start(t *testing.T, opts natsserver.Options) (*natsserver.Server, *nats.Conn) {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	s, err := natsserver.Start(t.Context(), opts)
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

func TestStartIsFastAndListensNowhere(t *testing.T) {
	before := time.Now()
	s, nc := start(t, natsserver.Options{Dir: filepath.Join(t.TempDir(), "new", "nats"), SyncAlways: true})
	took := time.Since(before)
	t.Logf("ready after %s", took)
	if took > 2*time.Second {
		t.Errorf("ready after %s", took)
	}
	if a := s.Addr(); a != "" {
		t.Errorf("listens on %s", a)
	}
	if p := nc.MaxPayload(); p != 8<<20 {
		t.Errorf("max payload is %d", p)
	}
	if err := natsserver.Check(t.Context(), nc); err != nil {
		t.Error(err)
	}
	if err := s.Writable(); err != nil {
		t.Error(err)
	}
}

func TestSecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, nc := start(t, natsserver.Options{Dir: dir})
	_, err := natsserver.Start(t.Context(), natsserver.Options{Dir: dir, Logger: quiet})
	if thermocline.KindOf(err) != thermocline.KindConflict || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second server: %v", err)
	}
	nc.Close()
	for range 2 { // idempotent
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	start(t, natsserver.Options{Dir: dir})
}

func TestReservationsNeverKeepAStreamFromComingBack(t *testing.T) {
	dir := t.TempDir()
	s, nc := start(t, natsserver.Options{Dir: dir, MaxStore: 1 << 30})
	js, _ := jetstream.New(nc)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", MaxBytes: 512 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "S", []byte("x")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.Close()
	_, nc = start(t, natsserver.Options{Dir: dir, MaxStore: 64 << 20})
	js, _ = jetstream.New(nc)
	st, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Msgs; n != 1 {
		t.Fatalf("%d messages", n)
	}
}

// TestManyLargeMessages shows that a client which does not read for a while is
// not cut off with 128 messages of 6 MB waiting for it.
func TestManyLargeMessages(t *testing.T) {
	s, nc := start(t, natsserver.Options{Dir: t.TempDir()})
	sub, err := nc.SubscribeSync("big")
	if err != nil {
		t.Fatal(err)
	}
	sub.SetPendingLimits(-1, -1)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	pub, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	payload := make([]byte, 6<<20)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 4 {
				if err := pub.Publish("big", payload); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 128 {
		if _, err := sub.NextMsg(20 * time.Second); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}

func TestCheckNamesTheSettings(t *testing.T) {
	ns, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer func() { ns.Shutdown(); ns.WaitForShutdown() }()
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	err = natsserver.Check(t.Context(), nc)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"max_payload: 8MB", "jetstream {"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// needRoot skips, or fails where CI is set.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root to mount a small file system")
	}
	t.Skip("SKIPPED: needs root to mount a small file system")
}

// smallDisk mounts a tmpfs of the size.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d", bytes)); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount a tmpfs: %v", err)
		}
		t.Skipf("SKIPPED: mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill writes a file until the disk has at most leave bytes free.
func fill(t *testing.T, dir string, leave int64) string {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 64<<10)
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		free := int64(st.Bavail)*st.Bsize - leave
		if free <= 0 {
			return name
		}
		if _, err := f.Write(chunk[:min(free, int64(len(chunk)))]); err != nil {
			return name
		}
	}
}

func TestReserveRefusesAndResumes(t *testing.T) {
	dir := smallDisk(t, 64<<20)
	s, _ := start(t, natsserver.Options{Dir: filepath.Join(dir, "nats"), Reserve: 8 << 20})
	if err := s.Writable(); err != nil {
		t.Fatal(err)
	}
	ballast := fill(t, dir, 4<<20)
	if err := s.Writable(); !errors.Is(err, &thermocline.Error{Kind: thermocline.KindUnavailable}) {
		t.Fatalf("with 4 MB of 8 MB reserve free: %v", err)
	}
	os.Remove(ballast)
	if err := s.Writable(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskIsSurvived writes into a disk that is full, frees it and sees that
// the server which JetStream's wedge needs restarted is restarted.
func TestFullDiskIsSurvived(t *testing.T) {
	dir := smallDisk(t, 64<<20)
	var log bytes.Buffer
	var mu sync.Mutex
	s, nc := start(t, natsserver.Options{
		Dir: filepath.Join(dir, "nats"), Reserve: 8 << 20, SyncAlways: true,
		Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)),
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
		t.Fatal(err)
	}
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, "S", make([]byte, 256<<10))
		return err
	}
	accepted := uint64(0)
	for range 8 {
		if err := publish(); err != nil {
			t.Fatal(err)
		}
		accepted++
	}
	ballast := fill(t, dir, 0)
	failed := false
	for range 20 {
		if publish() == nil {
			accepted++
			continue
		}
		failed = true
		break
	}
	if !failed {
		t.Fatal("the disk is full and every write succeeded")
	}
	if err := s.Writable(); thermocline.KindOf(err) != thermocline.KindUnavailable || err == nil {
		t.Fatalf("after a failed write: %v", err)
	}
	os.Remove(ballast)

	deadline := time.Now().Add(15 * time.Second)
	for s.Writable() != nil || publish() != nil {
		if time.Now().After(deadline) {
			mu.Lock()
			defer mu.Unlock()
			t.Fatalf("writes did not resume; log:\n%s", log.String())
		}
		time.Sleep(50 * time.Millisecond) // polls a server; nothing to wait on
	}
	st, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := st.CachedInfo().State.Msgs; n < accepted+1 {
		t.Errorf("%d messages of %d accepted are there", n, accepted+1)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "restarted") {
		t.Errorf("no restart in the log:\n%s", log.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
