package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"thermocline"
	"thermocline/store"
)

func shaOf(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func testCode(t *testing.T, s store.Store) {
	ctx := t.Context()
	_, err := s.Open(ctx, shaOf([]byte("absent")))
	want(t, err, thermocline.KindNotFound)
	want(t, s.Put(ctx, shaOf([]byte("one")), []byte("another")), thermocline.KindInvalidParameter)

	large := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16) // more than a message holds
	for _, zip := range [][]byte{[]byte("small"), {}, large} {
		var wg sync.WaitGroup
		for range 4 { // at once, and again
			wg.Go(func() {
				if err := s.Put(ctx, shaOf(zip), zip); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		ok(t, s.Put(ctx, shaOf(zip), zip))
		r, err := s.Open(ctx, shaOf(zip))
		ok(t, err)
		got, err := io.ReadAll(r)
		ok(t, err)
		ok(t, r.Close())
		if !bytes.Equal(got, zip) {
			t.Errorf("%d bytes came back as %d others", len(zip), len(got))
		}
	}
	// Who reads a part and leaves does no harm.
	r, err := s.Open(ctx, shaOf(large))
	ok(t, err)
	_, err = io.ReadFull(r, make([]byte, 100))
	ok(t, err)
	r.Close()
}

func testCollect(t *testing.T, s store.Store) {
	ctx := t.Context()
	zips := map[string][]byte{}
	var kept string
	for i := range 5 {
		zip := fmt.Appendf(nil, "zip %d", i)
		zips[shaOf(zip)] = zip
		kept = shaOf(zip)
		ok(t, s.Put(ctx, shaOf(zip), zip))
	}
	n, err := s.Collect(ctx, time.Hour, func(string) bool { return false })
	ok(t, err)
	if n != 0 {
		t.Fatalf("%d young packages were removed", n)
	}
	n, err = s.Collect(ctx, -time.Minute, func(sha string) bool { return sha == kept })
	ok(t, err)
	if n != 4 {
		t.Fatalf("%d packages were removed, not 4", n)
	}
	for sha := range zips {
		r, err := s.Open(ctx, sha)
		if sha == kept {
			ok(t, err)
			r.Close()
			continue
		}
		want(t, err, thermocline.KindNotFound)
	}
	// What was removed can be stored again.
	for sha, zip := range zips {
		ok(t, s.Put(ctx, sha, zip))
		r, err := s.Open(ctx, sha)
		ok(t, err)
		got, err := io.ReadAll(r)
		ok(t, err)
		r.Close()
		same(t, "stored again", got, zip)
	}
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testAccounts(t *testing.T, s store.Store) {
	ctx := t.Context()
	as, err := s.Accounts(ctx)
	ok(t, err)
	same(t, "accounts", as, []store.Account{})
	a := store.Account{ID: account, Name: "first", Created: created}
	b := store.Account{ID: "000000000001", Name: "second", Created: created}
	ok(t, s.CreateAccount(ctx, a))
	ok(t, s.CreateAccount(ctx, b))
	want(t, s.CreateAccount(ctx, a), thermocline.KindConflict)
	want(t, s.CreateAccount(ctx, store.Account{}), thermocline.KindInvalidParameter)
	as, err = s.Accounts(ctx)
	ok(t, err)
	same(t, "accounts", as, []store.Account{b, a})
	want(t, s.DeleteAccount(ctx, "999999999999"), thermocline.KindNotFound)
}

func testKeys(t *testing.T, s store.Store) {
	ctx := t.Context()
	k := store.Key{ID: "AKIA1", Secret: "geheim", Account: account, Scope: store.ScopeAdmin, Created: created}
	want(t, s.PutKey(ctx, k), thermocline.KindNotFound) // no such account
	ok(t, s.CreateAccount(ctx, store.Account{ID: account}))
	_, err := s.Key(ctx, k.ID)
	want(t, err, thermocline.KindNotFound)
	_, err = s.Keys(ctx, "999999999999")
	want(t, err, thermocline.KindNotFound)

	ok(t, s.PutKey(ctx, k))
	older := store.Key{ID: "AKIA2", Secret: "auch", Account: account, Scope: store.ScopeInvoke, Created: created.Add(-time.Hour)}
	ok(t, s.PutKey(ctx, older))
	got, err := s.Key(ctx, k.ID)
	ok(t, err)
	same(t, "the key", got, k)

	k.Revoked = true
	ok(t, s.PutKey(ctx, k))
	got, err = s.Key(ctx, k.ID)
	ok(t, err)
	same(t, "the replaced key", got, k)

	k.Secret, older.Secret = "", ""
	ks, err := s.Keys(ctx, account)
	ok(t, err)
	same(t, "keys without secrets", ks, []store.Key{older, k})
	want(t, s.PutKey(ctx, store.Key{Account: account}), thermocline.KindInvalidParameter)
}

func testUpdateAccount(t *testing.T, s store.Store) {
	ctx := t.Context()
	_, err := s.Account(ctx, account)
	want(t, err, thermocline.KindNotFound)
	_, err = s.UpdateAccount(ctx, account, func(*store.Account) error { return nil })
	want(t, err, thermocline.KindNotFound)
	a := store.Account{ID: account, Name: "first", Created: created, Operator: true, Concurrency: 7}
	ok(t, s.CreateAccount(ctx, a))
	got, err := s.Account(ctx, account)
	ok(t, err)
	same(t, "account", got, a)

	refusal := errors.New("no")
	_, err = s.UpdateAccount(ctx, account, func(a *store.Account) error { a.Name = "unseen"; return refusal })
	if !errors.Is(err, refusal) {
		t.Fatalf("the error of change came back as %v", err)
	}
	_, err = s.UpdateAccount(ctx, account, func(a *store.Account) error { a.ID = "000000000001"; return nil })
	want(t, err, thermocline.KindInternal)
	const writers, each = 8, 5
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, err := s.UpdateAccount(ctx, account, func(a *store.Account) error { a.Concurrency++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	a.Concurrency += writers * each
	got, err = s.Account(ctx, account)
	ok(t, err)
	same(t, "updated", got, a)
}

func testKeyLife(t *testing.T, s store.Store) {
	ctx := t.Context()
	k := store.Key{ID: "AKIA1", Secret: "geheim", Account: account, Scope: store.ScopeAdmin, Created: created}
	want(t, s.CreateKey(ctx, k), thermocline.KindNotFound) // no such account
	for _, a := range []string{account, "000000000001"} {
		ok(t, s.CreateAccount(ctx, store.Account{ID: a}))
	}
	ok(t, s.CreateKey(ctx, k))
	want(t, s.CreateKey(ctx, k), thermocline.KindConflict)
	other := k
	other.Account = "000000000001"
	want(t, s.CreateKey(ctx, other), thermocline.KindConflict)
	got, err := s.Key(ctx, k.ID)
	ok(t, err)
	same(t, "the key", got, k)

	for _, id := range []string{"", "AKIA2"} {
		_, err = s.RevokeKey(ctx, account, id)
		want(t, err, thermocline.KindNotFound)
		want(t, s.DeleteKey(ctx, account, id), thermocline.KindNotFound)
	}
	_, err = s.RevokeKey(ctx, "000000000001", k.ID) // another account's
	want(t, err, thermocline.KindNotFound)
	want(t, s.DeleteKey(ctx, "000000000001", k.ID), thermocline.KindNotFound)
	k.Revoked, k.Secret = true, ""
	for range 2 {
		got, err = s.RevokeKey(ctx, account, k.ID)
		ok(t, err)
		same(t, "revoked", got, k)
	}
	got, err = s.Key(ctx, k.ID)
	ok(t, err)
	same(t, "revoked", got, k)
	ok(t, s.DeleteKey(ctx, account, k.ID))
	_, err = s.Key(ctx, k.ID)
	want(t, err, thermocline.KindNotFound)
	ok(t, s.CreateKey(ctx, other))
}

func testClosing(t *testing.T, s store.Store) {
	ctx := t.Context()
	ok(t, s.CreateAccount(ctx, store.Account{ID: account}))
	k := store.Key{ID: "AKIA1", Secret: "geheim", Account: account, Scope: store.ScopeAdmin, Created: created}
	ok(t, s.CreateKey(ctx, k))
	closing := func(c store.Closing) {
		_, err := s.UpdateAccount(ctx, account, func(a *store.Account) error { a.Closing = c; return nil })
		ok(t, err)
	}
	closing(store.ClosingWithFunctions)
	_, err := s.Key(ctx, k.ID)
	want(t, err, thermocline.KindNotFound)
	next := k
	next.ID = "AKIA2"
	want(t, s.CreateKey(ctx, next), thermocline.KindConflict)
	closing("")
	got, err := s.Key(ctx, k.ID)
	ok(t, err)
	same(t, "the key of an account that stays", got, k)
	closing(store.ClosingEmpty)
	ok(t, s.DeleteAccount(ctx, account))
	want(t, s.DeleteAccount(ctx, account), thermocline.KindNotFound)
}

func testDeleteAccount(t *testing.T, s store.Store) {
	ctx := t.Context()
	for _, a := range []string{account, "000000000001"} {
		ok(t, s.CreateAccount(ctx, store.Account{ID: a}))
		for i := range 3 {
			ok(t, s.PutKey(ctx, store.Key{ID: fmt.Sprintf("%s-%d", a, i), Account: a, Secret: "s"}))
		}
	}
	ok(t, s.DeleteAccount(ctx, account))
	_, err := s.Key(ctx, account+"-0")
	want(t, err, thermocline.KindNotFound)
	_, err = s.Keys(ctx, account)
	want(t, err, thermocline.KindNotFound)
	_, err = s.Key(ctx, "000000000001-0")
	ok(t, err)
	// Its keys do not come back with it.
	ok(t, s.CreateAccount(ctx, store.Account{ID: account}))
	ks, err := s.Keys(ctx, account)
	ok(t, err)
	same(t, "keys", ks, []store.Key{})
}

// lines are n lines of a function from a time on, a second apart.
func lines(function string, from time.Time, n int) []thermocline.LogLine {
	ls := make([]thermocline.LogLine, n)
	for i := range ls {
		ls[i] = thermocline.LogLine{
			Time: from.Add(time.Duration(i) * time.Second), Account: account, Function: function, Version: thermocline.Latest,
			RequestID: "r-1", Kind: thermocline.LogText, Text: fmt.Sprintf("line %d <ü>", i),
			Manager: "m", Instance: "i", Sandbox: "s",
		}
	}
	return ls
}

func read(t *testing.T, s store.Store, q store.LogQuery) (got []thermocline.LogLine) {
	t.Helper()
	q.Account = account
	ok(t, s.Read(t.Context(), q, func(l thermocline.LogLine) error { got = append(got, l); return nil }))
	return got
}

func testLogs(t *testing.T, s store.Store) {
	ctx := t.Context()
	same(t, "no lines", read(t, s, store.LogQuery{Function: "f"}), []thermocline.LogLine{})
	same(t, "the last of no lines", read(t, s, store.LogQuery{Function: "f", Limit: 3}), []thermocline.LogLine{})
	ok(t, s.Append(ctx, nil))

	start := time.Now().UTC().Truncate(time.Second).Add(-100 * time.Second)
	all := lines("f", start, 90)
	for i := 0; i < len(all); i += 9 {
		ok(t, s.Append(ctx, all[i:i+9]))
		ok(t, s.Append(ctx, lines("g.x", start, 2)))
	}
	same(t, "all", read(t, s, store.LogQuery{Function: "f"}), all)
	same(t, "of nobody", read(t, s, store.LogQuery{Function: "g"}), []thermocline.LogLine{})
	if n := len(read(t, s, store.LogQuery{Function: "g.x"})); n != 20 {
		t.Errorf("g.x has %d lines", n)
	}
	for _, n := range []int{1, 5, 9, 10, 89, 90, 91, 100_000} {
		same(t, fmt.Sprintf("the last %d", n), read(t, s, store.LogQuery{Function: "f", Limit: n}), all[max(0, 90-n):])
	}
	same(t, "since", read(t, s, store.LogQuery{Function: "f", Since: all[50].Time}), all[50:])
	same(t, "the last 10 since", read(t, s, store.LogQuery{Function: "f", Since: all[50].Time, Limit: 10}), all[80:])
	same(t, "the last 60 since", read(t, s, store.LogQuery{Function: "f", Since: all[50].Time, Limit: 60}), all[50:])

	ok(t, s.DeleteLogs(ctx, account, "f"))
	ok(t, s.DeleteLogs(ctx, account, "never there"))
	same(t, "after deletion", read(t, s, store.LogQuery{Function: "f"}), []thermocline.LogLine{})
	if n := len(read(t, s, store.LogQuery{Function: "g.x"})); n != 20 {
		t.Errorf("g.x has %d lines after the other's were deleted", n)
	}
	ok(t, s.Append(ctx, lines("f", time.Now().UTC(), 1)))
	ok(t, s.Append(ctx, lines("g", time.Now().UTC(), 1)))
	ok(t, s.DeleteLogs(ctx, "000000000001", ""))
	if n := len(read(t, s, store.LogQuery{Function: "g"})); n == 0 {
		t.Error("another account's lines went")
	}
	ok(t, s.DeleteLogs(ctx, account, ""))
	for _, name := range []string{"f", "g"} {
		same(t, "the lines of all functions", read(t, s, store.LogQuery{Function: name}), []thermocline.LogLine(nil))
	}
}

func testLargeLogs(t *testing.T, s store.Store) {
	ls := lines("f", time.Now().UTC().Add(-time.Minute), 12)
	for i := range ls {
		ls[i].Text = strings.Repeat("\x01", 200<<10) // six bytes each in JSON
	}
	ok(t, s.Append(t.Context(), ls))
	got := read(t, s, store.LogQuery{Function: "f"})
	if len(got) != len(ls) || got[11].Text != ls[11].Text || !got[11].Time.Equal(ls[11].Time) {
		t.Errorf("%d lines came back as %d", len(ls), len(got))
	}
}

func testFollow(t *testing.T, s store.Store) {
	start := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	all := lines("f", start, 12)
	ok(t, s.Append(t.Context(), all[:4]))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan thermocline.LogLine, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Read(ctx, store.LogQuery{Account: account, Function: "f", Follow: true, Limit: 2},
			func(l thermocline.LogLine) error { seen <- l; return nil })
	}()
	next := func(want thermocline.LogLine) {
		t.Helper()
		select {
		case l := <-seen:
			same(t, "followed", l, want)
		case err := <-ended:
			t.Fatalf("following ended: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatal("a line did not come")
		}
	}
	next(all[2])
	next(all[3])
	for i := 4; i < 12; i += 2 {
		ok(t, s.Append(t.Context(), all[i:i+2]))
		ok(t, s.Append(t.Context(), lines("other", start, 1)))
		next(all[i])
		next(all[i+1])
	}
	cancel()
	select {
	case err := <-ended:
		ok(t, err) // the end of ctx is how following ends
	case <-time.After(10 * time.Second):
		t.Fatal("following did not end with its context")
	}
}

func testReadError(t *testing.T, s store.Store) {
	ok(t, s.Append(t.Context(), lines("f", time.Now().UTC(), 5)))
	stop := errors.New("enough")
	for _, q := range []store.LogQuery{{}, {Follow: true}, {Limit: 3}, {Limit: 3, Follow: true}} {
		q.Account, q.Function = account, "f"
		n := 0
		err := s.Read(t.Context(), q, func(thermocline.LogLine) error {
			if n++; n == 2 {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || n != 2 {
			t.Errorf("%+v: %d lines, %v", q, n, err)
		}
	}
}

func testHistories(t *testing.T, s store.Store) {
	ctx := t.Context()
	all, err := s.LoadHistories(ctx)
	ok(t, err)
	same(t, "no histories", all, map[string][]byte{})
	large := bytes.Repeat([]byte("history!"), 9<<20/8)
	for range 3 {
		ok(t, s.SaveHistory(ctx, "front.end/1", []byte("old")))
		ok(t, s.SaveHistory(ctx, "front.end/1", large))
		ok(t, s.SaveHistory(ctx, "2", []byte("two")))
	}
	all, err = s.LoadHistories(ctx)
	ok(t, err)
	if len(all) != 2 || !bytes.Equal(all["front.end/1"], large) || string(all["2"]) != "two" {
		t.Errorf("%d histories, or wrong ones", len(all))
	}
	ok(t, s.DeleteHistory(ctx, "2"))
	ok(t, s.DeleteHistory(ctx, "2"))
	all, err = s.LoadHistories(ctx)
	ok(t, err)
	if len(all) != 1 {
		t.Errorf("%d histories after one was deleted", len(all))
	}
	want(t, s.SaveHistory(ctx, "", nil), thermocline.KindInvalidParameter)
}
