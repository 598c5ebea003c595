package frontend_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"thermocline"
	"thermocline/frontend"
	"thermocline/store"
	"thermocline/store/storetest"
)

// limited is a store with a function without a reservation and one with two.
func limited(t testing.TB, concurrency int) *storetest.Memory {
	m := storetest.NewMemory()
	if err := m.CreateAccount(t.Context(), store.Account{ID: account, Concurrency: concurrency}); err != nil {
		t.Fatal(err)
	}
	for name, extra := range map[string]map[string][]byte{"plain": nil, "reserved": {".concurrency": []byte("2")}, "stopped": {".concurrency": []byte("0")}} {
		f := &thermocline.Function{FunctionID: thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}, Extra: extra}
		if err := m.Create(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestEnter(t *testing.T) {
	c := frontend.NewConcurrency(limited(t, 3), 0)
	enter := func(name, reason string) func() {
		t.Helper()
		leave, err := c.Enter(t.Context(), thermocline.FunctionID{Account: account, Name: name, Version: "7"})
		var e *thermocline.Error
		switch {
		case reason == "" && err != nil:
			t.Fatalf("%s: %v", name, err)
		case reason != "" && (!errors.As(err, &e) || e.Kind != thermocline.KindThrottled || e.Reason != reason):
			t.Fatalf("%s: %v, want %s", name, err, reason)
		}
		return leave
	}
	a := enter("reserved", "")
	b := enter("reserved", "")
	enter("reserved", thermocline.ReasonReservedConcurrent)
	enter("stopped", thermocline.ReasonReservedConcurrent)
	var plain []func()
	for range 3 {
		plain = append(plain, enter("plain", ""))
	}
	enter("plain", thermocline.ReasonConcurrent)
	enter("reserved", thermocline.ReasonReservedConcurrent) // the account's is not the function's
	a()
	a = enter("reserved", "")
	plain[0]()
	plain[0] = enter("plain", "")
	for _, leave := range append(plain, a, b) {
		leave()
	}
	if _, err := c.Enter(t.Context(), thermocline.FunctionID{Account: account, Name: "gone", Version: "1"}); thermocline.KindOf(err) != thermocline.KindNotFound {
		t.Errorf("%v", err)
	}
}

// Whatever comes at once, no more run than may, and all places come back.
func TestEnterAtOnce(t *testing.T) {
	c := frontend.NewConcurrency(limited(t, 5), 0)
	for name, limit := range map[string]int64{"plain": 5, "reserved": 2} {
		id := thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}
		var running, most, entered atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for range 500 {
					leave, err := c.Enter(t.Context(), id)
					if err != nil {
						continue
					}
					entered.Add(1)
					n := running.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					running.Add(-1)
					leave()
				}
			})
		}
		all.Wait()
		if most.Load() > limit || entered.Load() == 0 {
			t.Errorf("%s: %d ran at once, of %d; %d entered", name, most.Load(), limit, entered.Load())
		}
		for range limit {
			if _, err := c.Enter(t.Context(), id); err != nil {
				t.Errorf("%s: a place was lost: %v", name, err)
			}
		}
	}
}

func BenchmarkEnter(b *testing.B) {
	c := frontend.NewConcurrency(limited(b, 1000), 0)
	id := thermocline.FunctionID{Account: account, Name: "plain", Version: thermocline.Latest}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		leave, err := c.Enter(ctx, id)
		if err != nil {
			b.Fatal(err)
		}
		leave()
	}
}
