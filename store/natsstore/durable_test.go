package natsstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/internal/natsserver"
	"thermocline/store"
	"thermocline/store/natsstore"
)

const account = "123456789012"

func id(name, version string) thermocline.FunctionID {
	return thermocline.FunctionID{Account: account, Name: name, Version: version}
}

func function(name, version string) *thermocline.Function {
	return &thermocline.Function{
		FunctionID: id(name, version), Runtime: "nodejs20.x", Generation: 1,
		Environment: map[string]string{"PASSWORD": "geheimes-passwort"},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isKind(t testing.TB, err error, kind thermocline.Kind) {
	t.Helper()
	if !errors.Is(err, &thermocline.Error{Kind: kind}) {
		t.Fatalf("got %v, want kind %v", err, kind)
	}
}

// eventually waits for something that another process does, so to speak: there
// is nothing to wait on.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var zipBytes = bytes.Repeat([]byte("code"), 3<<20/4)

func zipSHA() string {
	sum := sha256.Sum256(zipBytes)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// furnish puts one of everything into a store; furnished checks it.
func furnish(t *testing.T, s *natsstore.Store) {
	t.Helper()
	ctx := t.Context()
	must(t, s.Create(ctx, function("f", thermocline.Latest)))
	must(t, s.Publish(ctx, function("f", "1")))
	must(t, s.Create(ctx, function("gone", thermocline.Latest)))
	must(t, s.Delete(ctx, id("gone", "")))
	must(t, s.CreateAccount(ctx, store.Account{ID: account}))
	must(t, s.PutKey(ctx, store.Key{ID: "AKIA1", Secret: "geheimer-schluessel", Account: account}))
	must(t, s.Put(ctx, zipSHA(), zipBytes))
	must(t, s.Append(ctx, []thermocline.LogLine{{Time: time.Now(), Account: account, Function: "f", Text: "hello"}}))
	must(t, s.SaveHistory(ctx, "1", []byte("history")))
}

func furnished(t *testing.T, s *natsstore.Store, unsynced bool) {
	t.Helper()
	ctx := t.Context()
	for _, v := range []string{thermocline.Latest, "1"} {
		f, err := s.Get(ctx, id("f", v))
		must(t, err)
		if f.Environment["PASSWORD"] != "geheimes-passwort" {
			t.Errorf("the environment is %v", f.Environment)
		}
	}
	_, err := s.Get(ctx, id("gone", thermocline.Latest))
	isKind(t, err, thermocline.KindNotFound)
	k, err := s.Key(ctx, "AKIA1")
	must(t, err)
	if k.Secret != "geheimer-schluessel" {
		t.Error("the secret is another one")
	}
	r, err := s.Open(ctx, zipSHA())
	must(t, err)
	var got bytes.Buffer
	_, err = got.ReadFrom(r)
	must(t, err)
	r.Close()
	if !bytes.Equal(got.Bytes(), zipBytes) {
		t.Error("the code is other code")
	}
	if n, err := s.NextVersion(ctx, account, "f"); err != nil || n != "2" {
		t.Errorf("the next version is %q, %v", n, err)
	}
	if !unsynced {
		return
	}
	n := 0
	must(t, s.Read(ctx, store.LogQuery{Account: account, Function: "f"}, func(thermocline.LogLine) error { n++; return nil }))
	h, err := s.LoadHistories(ctx)
	must(t, err)
	if n != 1 || string(h["1"]) != "history" {
		t.Errorf("%d log lines, history %q", n, h["1"])
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		srv, nc := serve(t, dir)
		s := open(t, nc, dir)
		if round == 0 {
			furnish(t, s)
		}
		furnished(t, s, true)
		s.Close()
		nc.Close()
		srv.Close()
	}
}

// TestReopenAfterACrash takes what is on disk at one moment, with the server
// running, as kill -9 would leave it.
func TestReopenAfterACrash(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	_, nc := serve(t, dir)
	s := open(t, nc, dir)
	furnish(t, s)
	must(t, os.CopyFS(filepath.Join(copied, "d"), os.DirFS(dir)))
	must(t, os.Chmod(filepath.Join(copied, "d", "key"), 0o600))

	dir = filepath.Join(copied, "d")
	_, nc = serve(t, dir)
	furnished(t, open(t, nc, dir), false)
}

func TestTwoStoresFollowEachOther(t *testing.T) {
	dir := t.TempDir()
	srv, nc := serve(t, dir)
	a := open(t, nc, dir)
	nc2, err := srv.Connect()
	must(t, err)
	t.Cleanup(nc2.Close)
	b := open(t, nc2, dir)
	ctx := t.Context()

	must(t, a.Create(ctx, function("f", thermocline.Latest)))
	eventually(t, "a created function", func() bool { _, err := b.Get(ctx, id("f", thermocline.Latest)); return err == nil })
	_, err = b.Update(ctx, id("f", thermocline.Latest), func(f *thermocline.Function) error { f.Generation = 2; return nil })
	must(t, err)
	f, err := a.Fresh(ctx, id("f", thermocline.Latest))
	must(t, err)
	if f.Generation != 2 {
		t.Errorf("Fresh has generation %d", f.Generation)
	}
	// Fresh takes what it found into the memory.
	if f, _ = a.Get(ctx, id("f", thermocline.Latest)); f.Generation != 2 {
		t.Errorf("Get has generation %d after Fresh", f.Generation)
	}
	must(t, b.Publish(ctx, function("f", "1")))
	eventually(t, "a published version", func() bool { _, err := a.Get(ctx, id("f", "1")); return err == nil })
	must(t, b.Delete(ctx, id("f", "")))
	eventually(t, "a deleted function", func() bool { _, err := a.Get(ctx, id("f", thermocline.Latest)); return err != nil })
	_, err = a.Get(ctx, id("f", "1"))
	isKind(t, err, thermocline.KindNotFound)

	must(t, a.CreateAccount(ctx, store.Account{ID: account}))
	must(t, a.PutKey(ctx, store.Key{ID: "K", Account: account, Secret: "s"}))
	eventually(t, "a key", func() bool { k, err := b.Key(ctx, "K"); return err == nil && k.Secret == "s" })
	must(t, a.PutKey(ctx, store.Key{ID: "K", Account: account, Secret: "s", Revoked: true}))
	eventually(t, "a revocation", func() bool { k, _ := b.Key(ctx, "K"); return k.Revoked })
	must(t, b.DeleteAccount(ctx, account))
	eventually(t, "a deleted account", func() bool { _, err := a.Key(ctx, "K"); return err != nil })
}

// TestCrashBetweenWrites makes what a crash in the middle of a deletion leaves,
// and sees that it does not count and is removed by the next start.
func TestCrashBetweenWrites(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	s := open(t, nc, dir)
	ctx := t.Context()
	js, err := jetstream.New(nc)
	must(t, err)
	functions, err := js.KeyValue(ctx, "thermocline_functions")
	must(t, err)
	people, err := js.KeyValue(ctx, "thermocline_identity")
	must(t, err)

	must(t, s.Create(ctx, function("f", thermocline.Latest)))
	must(t, s.Publish(ctx, function("f", "1")))
	must(t, s.Publish(ctx, function("f", "2")))
	must(t, s.Create(ctx, function("g", thermocline.Latest)))
	must(t, s.Publish(ctx, function("g", "1")))
	must(t, s.CreateAccount(ctx, store.Account{ID: account}))
	must(t, s.PutKey(ctx, store.Key{ID: "K", Account: account, Secret: "s"}))

	// The first write of each deletion; the others do not come.
	head := account + ".f.=24LATEST"
	must(t, functions.Delete(ctx, head))
	must(t, people.Delete(ctx, "account."+account))
	eventually(t, "the function is gone", func() bool { _, err := s.Get(ctx, id("f", thermocline.Latest)); return err != nil })
	_, err = s.Get(ctx, id("f", "1"))
	isKind(t, err, thermocline.KindNotFound)
	_, err = s.Fresh(ctx, id("f", "1"))
	isKind(t, err, thermocline.KindNotFound)
	eventually(t, "the key is worth nothing", func() bool { _, err := s.Key(ctx, "K"); return err != nil })

	// A new function of the name does not get them.
	must(t, s.Create(ctx, function("f", thermocline.Latest)))
	vs, err := s.Versions(ctx, account, "f")
	must(t, err)
	if len(vs) != 1 {
		t.Errorf("a new function has %d versions", len(vs))
	}
	fresh := function("f", "1")
	fresh.Description = "fresh"
	must(t, s.Publish(ctx, fresh))
	s.Close()

	s = open(t, nc, dir)
	eventually(t, "left-over version removed", func() bool {
		_, err := functions.Get(ctx, account+".f.2")
		return errors.Is(err, jetstream.ErrKeyNotFound)
	})
	eventually(t, "left-over key removed", func() bool {
		_, err := people.Get(ctx, "key.K")
		return errors.Is(err, jetstream.ErrKeyNotFound)
	})
	f, err := s.Get(ctx, id("f", "1"))
	must(t, err)
	if f.Description != "fresh" {
		t.Errorf("version 1 is %q", f.Description)
	}
	_, err = s.Get(ctx, id("g", "1"))
	must(t, err)
}

// TestServerRestartsUnderTheStore is what the guard of the disk does.
func TestServerRestartsUnderTheStore(t *testing.T) {
	dir := t.TempDir()
	srv, nc := serve(t, dir)
	a := open(t, nc, dir)
	nc2, err := srv.Connect()
	must(t, err)
	t.Cleanup(nc2.Close)
	b := open(t, nc2, dir)
	must(t, a.Create(t.Context(), function("f", thermocline.Latest)))

	seen := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- a.Read(ctx, store.LogQuery{Account: account, Function: "f", Follow: true}, func(l thermocline.LogLine) error {
			seen <- l.Text
			return nil
		})
	}()
	say := func(text string) {
		t.Helper()
		eventually(t, "appending", func() bool {
			octx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return b.Append(octx, []thermocline.LogLine{{Time: time.Now(), Account: account, Function: "f", Text: text}}) == nil
		})
		for {
			select {
			case got := <-seen:
				if got == text {
					return
				} // else an append that timed out and was stored all the same
			case <-time.After(15 * time.Second):
				t.Fatalf("%q was not followed", text)
			}
		}
	}
	say("before")
	srv.Failed()
	for round := range 2 {
		eventually(t, "an update after the restart", func() bool {
			octx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := b.Update(octx, id("f", thermocline.Latest), func(f *thermocline.Function) error { f.Generation = int64(100 + round); return nil })
			return err == nil && srv.Writable() == nil
		})
		eventually(t, "the other one sees it", func() bool {
			f, err := a.Get(t.Context(), id("f", thermocline.Latest))
			return err == nil && f.Generation == int64(100+round)
		})
		say(fmt.Sprint("after ", round))
	}
	cancel()
	must(t, <-ended)
}

func TestFullDiskRefusesWritesAndAllowsDeletion(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	var full error
	s := open(t, nc, dir, func(o *natsstore.Options) { o.Writable = func() error { return full } })
	furnish(t, s)
	full = thermocline.Errorf(thermocline.KindUnavailable, "full")
	ctx := t.Context()
	for name, err := range map[string]error{
		"Create":        s.Create(ctx, function("g", thermocline.Latest)),
		"Publish":       s.Publish(ctx, function("f", "2")),
		"CreateAccount": s.CreateAccount(ctx, store.Account{ID: "1"}),
		"PutKey":        s.PutKey(ctx, store.Key{ID: "K2", Account: account}),
		"Put":           s.Put(ctx, base64.StdEncoding.EncodeToString(sha(nil)), nil),
		"Append":        s.Append(ctx, []thermocline.LogLine{{Account: account, Function: "f"}}),
		"SaveHistory":   s.SaveHistory(ctx, "2", nil),
	} {
		if !errors.Is(err, full) {
			t.Errorf("%s: %v", name, err)
		}
	}
	furnished(t, s, true)
	must(t, s.Delete(ctx, id("f", "")))
	must(t, s.DeleteAccount(ctx, account))
	if n, err := s.Collect(ctx, -time.Minute, func(string) bool { return false }); n != 1 || err != nil {
		t.Errorf("collected %d: %v", n, err)
	}
}

func sha(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

func TestStoreThatIsGone(t *testing.T) {
	dir := t.TempDir()
	srv, nc := serve(t, dir)
	s := open(t, nc, dir)
	must(t, s.Create(t.Context(), function("f", thermocline.Latest)))
	srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	isKind(t, s.Create(ctx, function("g", thermocline.Latest)), thermocline.KindUnavailable)
	_, err := s.Fresh(ctx, id("f", thermocline.Latest))
	isKind(t, err, thermocline.KindUnavailable)
	// Memory answers still.
	_, err = s.Get(t.Context(), id("f", thermocline.Latest))
	must(t, err)
	s.Close()
	s.Close()
	isKind(t, s.Create(t.Context(), function("g", thermocline.Latest)), thermocline.KindUnavailable)
}

func TestCollectKeepsWhatIsUsedAndSweepsCutOffUploads(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	now := time.Now()
	s := open(t, nc, dir, func(o *natsstore.Options) { o.Now = func() time.Time { return now } })
	ctx := t.Context()
	must(t, s.Put(ctx, zipSHA(), zipBytes))
	f := function("f", thermocline.Latest)
	must(t, s.Create(ctx, f))
	v := function("f", "1")
	v.CodeSHA256 = zipSHA()
	must(t, s.Publish(ctx, v))
	js, err := jetstream.New(nc)
	must(t, err)
	_, err = js.Publish(ctx, "$O.thermocline_code.C.cutoff", []byte("half an upload"))
	must(t, err)
	chunks := func() uint64 {
		st, err := js.Stream(ctx, "OBJ_thermocline_code")
		must(t, err)
		return st.CachedInfo().State.Msgs
	}
	now = now.Add(2 * time.Hour)
	if n, err := s.CollectUnused(ctx, time.Hour); n != 0 || err != nil {
		t.Fatalf("collected %d: %v", n, err)
	}
	if n := chunks(); n != 4 { // three chunks and the entry
		t.Errorf("%d messages are left, not 4", n)
	}
	must(t, s.Delete(ctx, id("f", "")))
	// Stored again: young again.
	now = time.Now().Add(10 * time.Minute)
	must(t, s.Put(ctx, zipSHA(), zipBytes))
	if n, err := s.CollectUnused(ctx, 11*time.Minute); n != 0 || err != nil {
		t.Fatalf("collected %d that was just stored: %v", n, err)
	}
	if n, err := s.CollectUnused(ctx, time.Minute); n != 1 || err != nil {
		t.Fatalf("collected %d: %v", n, err)
	}
	if n := chunks(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestLogsAreBounded(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	s := open(t, nc, dir, func(o *natsstore.Options) { o.LogMaxBytes, o.LogMaxPerFunction = 1<<20, 20 })
	ctx := t.Context()
	quietLine := []thermocline.LogLine{{Time: time.Now(), Account: account, Function: "quiet", Text: "small"}}
	must(t, s.Append(ctx, quietLine))
	for i := range 50 {
		must(t, s.Append(ctx, []thermocline.LogLine{{Time: time.Now(), Account: account, Function: "noisy", Text: fmt.Sprint(i)}}))
	}
	n := 0
	first := ""
	must(t, s.Read(ctx, store.LogQuery{Account: account, Function: "noisy"}, func(l thermocline.LogLine) error {
		if n++; n == 1 {
			first = l.Text
		}
		return nil
	}))
	if n != 20 || first != "30" {
		t.Errorf("%d lines from %s on", n, first)
	}
	n = 0
	must(t, s.Read(ctx, store.LogQuery{Account: account, Function: "quiet"}, func(thermocline.LogLine) error { n++; return nil }))
	if n != 1 {
		t.Error("a noisy function took a quiet one's lines")
	}
	// Limits that change are taken over at the next start.
	s.Close()
	open(t, nc, dir, func(o *natsstore.Options) { o.LogMaxBytes, o.LogMaxAge = 2<<20, time.Minute })
	js, err := jetstream.New(nc)
	must(t, err)
	st, err := js.Stream(ctx, "THERMOCLINE_LOGS")
	must(t, err)
	if c := st.CachedInfo().Config; c.MaxBytes != 2<<20 || c.MaxAge != time.Minute || c.PersistMode != jetstream.AsyncPersistMode {
		t.Errorf("the stream has %+v", c)
	}
}

// TestNothingSecretOnDisk reads every byte that the server wrote.
func TestNothingSecretOnDisk(t *testing.T) {
	dir := t.TempDir()
	srv, nc := serve(t, dir)
	s := open(t, nc, dir)
	furnish(t, s)
	s.Close()
	nc.Close()
	srv.Close()
	found := false
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		must(t, err)
		found = found || bytes.Contains(b, []byte("nodejs20.x"))
		for _, secret := range []string{"geheimes-passwort", "geheimer-schluessel"} {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))} {
				if bytes.Contains(b, []byte(strings.TrimRight(form, "="))) {
					t.Errorf("%s holds %s", p, form)
				}
			}
		}
		return nil
	})
	if !found {
		t.Error("this test looks in the wrong place: not even the runtime is there")
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	key := filepath.Join(dir, "key")
	try := func() error {
		s, err := natsstore.Open(t.Context(), nc, natsstore.Options{KeyFile: key, Logger: quiet})
		if err == nil {
			s.Close()
		}
		return err
	}
	refused := func(what, want string) {
		t.Helper()
		if err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, try())
	info, err := os.Stat(key)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v", info.Mode())
	}
	good, err := os.ReadFile(key)
	must(t, err)

	must(t, os.Chmod(key, 0o640))
	refused("readable by the group", "chmod 600 "+key)
	must(t, os.Chmod(key, 0o600))
	must(t, try())
	must(t, os.WriteFile(key, []byte(strings.Repeat("ab", 32)), 0o600))
	refused("another key", "not the one that this store was made with")
	must(t, os.WriteFile(key, []byte("short"), 0o600))
	refused("no key", "64 hex digits")
	must(t, os.Remove(key))
	refused("missing", "is missing")
	if _, err := os.Stat(key); err == nil {
		t.Error("a new key was made for an old store")
	}
	must(t, os.Mkdir(key, 0o700))
	refused("a directory", "not a regular file")
	must(t, os.Remove(key))
	must(t, os.WriteFile(key, good, 0o600))
	must(t, try())
}

// TestForeignEntries sees that what another program wrote is neither believed
// nor fatal.
func TestForeignEntries(t *testing.T) {
	dir := t.TempDir()
	_, nc := serve(t, dir)
	s := open(t, nc, dir)
	ctx := t.Context()
	must(t, s.Create(ctx, function("f", thermocline.Latest)))
	must(t, s.Create(ctx, function("g", thermocline.Latest)))
	js, err := jetstream.New(nc)
	must(t, err)
	kv, err := js.KeyValue(ctx, "thermocline_functions")
	must(t, err)
	key := func(name string) string { return account + "." + name + ".=24LATEST" }

	// An entry copied onto another name: its environment does not open there.
	e, err := kv.Get(ctx, key("f"))
	must(t, err)
	_, err = kv.Put(ctx, key("g"), e.Value())
	must(t, err)
	_, err = kv.Put(ctx, key("newer"), []byte(`{"v":2}`))
	must(t, err)
	_, err = kv.Put(ctx, key("garbage"), []byte(`]`))
	must(t, err)
	_, err = kv.Put(ctx, "some.other.key.of.five", []byte(`]`))
	must(t, err)
	eventually(t, "the copy is not believed", func() bool { _, err := s.Get(ctx, id("g", thermocline.Latest)); return err != nil })
	for _, name := range []string{"g", "newer", "garbage"} {
		_, err = s.Fresh(ctx, id(name, thermocline.Latest))
		isKind(t, err, thermocline.KindInternal)
		_, err = s.Get(ctx, id(name, thermocline.Latest))
		isKind(t, err, thermocline.KindNotFound)
	}
	_, err = s.Get(ctx, id("f", thermocline.Latest))
	must(t, err)
	s.Close()
	s = open(t, nc, dir)
	_, err = s.Get(ctx, id("f", thermocline.Latest))
	must(t, err)
}

// TestStart measures: the budget for all of a server's start is a second.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	start := func(what string) (*natsserver.Server, *natsstore.Store, func()) {
		t.Helper()
		before := time.Now()
		srv, nc := serve(t, dir)
		server := time.Since(before)
		s := open(t, nc, dir)
		all := time.Since(before)
		t.Logf("%s: server %s, with the store %s", what, server.Round(time.Millisecond), all.Round(time.Millisecond))
		if all > 3*time.Second { // the machine of the test may be busy
			t.Errorf("%s: started within %s", what, all)
		}
		return srv, s, func() { s.Close(); nc.Close(); srv.Close() }
	}
	_, s, stop := start("empty")
	for i := range 1000 {
		must(t, s.Create(t.Context(), function(fmt.Sprintf("f%04d", i), thermocline.Latest)))
	}
	stop()
	_, s, stop = start("1,000 functions")
	defer stop()
	if _, err := s.Get(t.Context(), id("f0999", thermocline.Latest)); err != nil {
		t.Error(err)
	}
}
