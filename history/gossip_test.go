package history_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"thermocline"
	"thermocline/history"
)

var approximately = cmpopts.EquateApprox(1e-9, 0)

func frontend(slot string) *history.History {
	return history.New(history.Options{Slot: slot})
}

func call(h *history.History, id thermocline.FunctionID, now time.Time) {
	h.Started(id, now)
	h.Finished(id, 100*time.Millisecond, now)
}

func merge(t *testing.T, h *history.History, b []byte, now time.Time) {
	t.Helper()
	if err := h.Merge(b, now); err != nil {
		t.Fatal(err)
	}
}

// Frontends that gossip in any order, with losses and repetitions and across
// epochs, agree with one that saw everything.
func TestGossipConverges(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		all := frontend("all.1")
		fs := []*history.History{frontend("a.1"), frontend("b.1"), frontend("c.1")}
		var flying [][]byte
		now := t0
		for range 400 {
			now = now.Add(time.Duration(r.Int64N(int64(2 * time.Minute))))
			i := r.IntN(len(fs))
			id := fn(fmt.Sprintf("f%d", r.IntN(5)))
			call(fs[i], id, now)
			call(all, id, now)
			if r.IntN(3) == 0 {
				delta, _ := fs[i].Changed(now, 200)
				flying = append(flying, delta)
			}
			for len(flying) > 0 && r.IntN(2) == 0 {
				k := r.IntN(len(flying))
				for _, f := range fs {
					if r.IntN(2) == 0 {
						merge(t, f, flying[k], now)
					}
				}
				if r.IntN(3) == 0 { // else it may be delivered again, later
					flying = slices.Delete(flying, k, k+1)
				}
			}
		}
		for i, f := range fs {
			for j, g := range fs {
				if i != j {
					merge(t, f, g.Snapshot(now), now)
				}
			}
		}
		for _, old := range flying {
			for _, f := range fs {
				merge(t, f, old, now)
			}
		}
		for k := range 5 {
			id := fn(fmt.Sprintf("f%d", k))
			want := all.Usage(id, now)
			for _, f := range fs {
				if diff := cmp.Diff(want, f.Usage(id, now), approximately); diff != "" {
					t.Fatalf("seed %d, %v: (-all +one)\n%s", seed, id, diff)
				}
			}
		}
	}
}

// A repeated old gossip of an earlier epoch, whose sums are larger numbers,
// must not win the maximum.
func TestOldEpochDoesNotWin(t *testing.T) {
	a, b := frontend("a.1"), frontend("b.1")
	late := t0.Truncate(time.Hour).Add(59 * time.Minute)
	for range 1000 {
		call(a, fn("f"), late)
	}
	old := a.Snapshot(late)
	now := late.Add(3 * time.Hour)
	call(a, fn("f"), now)
	merge(t, b, a.Snapshot(now), now)
	want := b.Usage(fn("f"), now)
	merge(t, b, old, now)
	if diff := cmp.Diff(want, b.Usage(fn("f"), now)); diff != "" {
		t.Errorf("an old gossip changed the usage:\n%s", diff)
	}
	if want.CountMinute > 1.01 {
		t.Errorf("CountMinute = %g, want about 1", want.CountMinute)
	}
}

func TestConcurrencyOfOthers(t *testing.T) {
	a, b := frontend("a.1"), frontend("b.1")
	for range 4 {
		a.Started(fn("f"), t0)
	}
	b.Started(fn("f"), t0)
	concurrency := func(now time.Time) float64 { return b.Usage(fn("f"), now).Concurrency }

	if err := b.Load(a.Snapshot(t0), t0); err != nil {
		t.Fatal(err)
	}
	if got := concurrency(t0); got != 1 {
		t.Errorf("a stored slot's concurrency counts: %g", got)
	}
	merge(t, b, a.Snapshot(t0), t0)
	if got := concurrency(t0); got != 5 {
		t.Errorf("concurrency %g, want 5", got)
	}
	later := t0.Add(20 * time.Second)
	if got := concurrency(later); got != 1 {
		t.Errorf("a silent slot's concurrency counts: %g", got)
	}
	a.Changed(t0, 1<<20)
	heartbeat, n := a.Changed(later, 1<<20)
	if n != 0 {
		t.Fatalf("%d functions changed, want none", n)
	}
	merge(t, b, heartbeat, later)
	if got := concurrency(later); got != 5 {
		t.Errorf("after a heartbeat: concurrency %g, want 5", got)
	}
	// Ends that were lost do not count for ever.
	much := t0.Add(time.Hour)
	heartbeat, _ = a.Changed(much, 1<<20)
	merge(t, b, heartbeat, much)
	if got := concurrency(much); got != 1 {
		t.Errorf("an hour later: concurrency %g, want 1", got)
	}
}

func TestRestart(t *testing.T) {
	stored := make(map[string][]byte)
	total := func(h *history.History, now time.Time) int64 { return h.Usage(fn("f"), now).Total }

	peer := frontend("b.1")
	var delayed [][]byte
	now := t0
	for incarnation := 1; incarnation <= 5; incarnation++ {
		h := frontend(fmt.Sprintf("a.%d", incarnation))
		for _, snapshot := range stored {
			if err := h.Load(snapshot, now); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := total(h, now), int64(10*(incarnation-1)); got != want {
			t.Fatalf("incarnation %d starts with %d calls, want %d", incarnation, got, want)
		}
		before := h.Usage(fn("f"), now)
		absorbed := h.Compact(now)
		if diff := cmp.Diff(before, h.Usage(fn("f"), now), approximately); diff != "" {
			t.Fatalf("taking over changed the usage:\n%s", diff)
		}
		stored[h.Slot()] = h.Snapshot(now)
		// The fourth crashes before it has deleted what it took over.
		if incarnation != 4 {
			for _, slot := range absorbed {
				delete(stored, slot)
			}
			if len(stored) != 1 {
				t.Fatalf("incarnation %d leaves %d slots stored, absorbed %v", incarnation, len(stored), absorbed)
			}
		}
		merge(t, peer, stored[h.Slot()], now)
		if h.Compact(now) != nil {
			t.Error("a second Compact takes over again")
		}
		for range 9 {
			now = now.Add(time.Second)
			call(h, fn("f"), now)
		}
		h.Started(fn("f"), now) // runs when the crash comes
		stored[h.Slot()] = h.Snapshot(now)
		merge(t, peer, stored[h.Slot()], now)
		for _, old := range delayed { // gossip of slots that were taken over
			merge(t, peer, old, now)
			merge(t, h, old, now)
		}
		delayed = append(delayed, stored[h.Slot()])
		if got, want := total(peer, now), total(h, now); got != want || got != int64(10*incarnation) {
			t.Fatalf("incarnation %d: the peer counts %d, it counts %d", incarnation, got, want)
		}
		if u := frontendWith(t, stored, now).Usage(fn("f"), now); u.Concurrency != 0 {
			t.Fatalf("what ran in the crash runs still: %g", u.Concurrency)
		}
	}
}

// frontendWith is a next incarnation that has loaded what is stored.
func frontendWith(t *testing.T, stored map[string][]byte, now time.Time) *history.History {
	t.Helper()
	h := frontend("a.next")
	for _, b := range stored {
		if err := h.Load(b, now); err != nil {
			t.Fatal(err)
		}
	}
	h.Compact(now)
	return h
}

func TestChangedTellsWhatMatters(t *testing.T) {
	h := frontend("a.1")
	now := t0
	for range 1000 {
		call(h, fn("hot"), now)
	}
	call(h, fn("cold"), now)
	if _, n := h.Changed(now, 1<<20); n != 2 {
		t.Fatalf("%d functions at first, want 2", n)
	}
	if _, n := h.Changed(now, 1<<20); n != 0 {
		t.Errorf("%d functions with nothing new, want 0", n)
	}
	for range 50 { // 5% more
		call(h, fn("hot"), now)
	}
	if _, n := h.Changed(now, 1<<20); n != 0 {
		t.Errorf("5%% growth was told")
	}
	h.Mark(fn("hot"))
	if _, n := h.Changed(now, 1<<20); n != 1 {
		t.Errorf("a marked function was not told")
	}
	for range 60 {
		call(h, fn("hot"), now)
	}
	for range 60 {
		call(h, fn("hot"), now)
	}
	if _, n := h.Changed(now, 1<<20); n != 1 {
		t.Errorf("11%% growth was not told")
	}
	h.Started(fn("cold"), now)
	h.Changed(now, 1<<20)
	h.Cancelled(fn("cold"))
	if _, n := h.Changed(now, 1<<20); n != 1 {
		t.Errorf("an end was not told")
	}
}

func TestChangedKeepsToItsLimit(t *testing.T) {
	a, b := frontend("a.1"), frontend("b.1")
	for i := range 1000 {
		call(a, fn(fmt.Sprintf("f%d", i)), t0)
	}
	rounds := 0
	for {
		delta, n := a.Changed(t0, 4096)
		if n == 0 {
			break
		}
		if len(delta) > 4096+300 {
			t.Fatalf("a delta of %d bytes", len(delta))
		}
		merge(t, b, delta, t0)
		rounds++
	}
	if b.Len() != 1000 || rounds < 10 {
		t.Errorf("%d functions arrived in %d rounds", b.Len(), rounds)
	}
}

func TestUnsaved(t *testing.T) {
	a := frontend("a.1")
	call(a, fn("f"), t0)
	snapshot := a.Snapshot(t0)
	call(a, fn("f"), t0)
	delta, n := a.Unsaved(t0)
	if n != 1 {
		t.Fatalf("%d unsaved, want 1", n)
	}
	if more, n := a.Unsaved(t0); more != nil || n != 0 {
		t.Errorf("unsaved twice")
	}
	for _, order := range [][][]byte{{snapshot, delta}, {delta, snapshot, delta}} {
		b := frontend("a.2")
		for _, x := range order {
			if err := b.Load(x, t0); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Usage(fn("f"), t0).Total; got != 2 {
			t.Errorf("total %d, want 2", got)
		}
	}
}

func TestSlots(t *testing.T) {
	h := history.New(history.Options{Slot: "a.1", MaxSlots: 2, Retain: time.Hour})
	for _, slot := range []string{"b.1", "c.1"} {
		o := frontend(slot)
		call(o, fn("f"), t0)
		merge(t, h, o.Snapshot(t0), t0)
	}
	if err := h.Merge(frontend("d.1").Snapshot(t0), t0); thermocline.KindOf(err) != thermocline.KindValidation {
		t.Errorf("a slot too many: %v", err)
	}
	var names []string
	for _, s := range h.Slots(t0) {
		names = append(names, s.Name)
		if !s.Alive {
			t.Errorf("%s is not alive", s.Name)
		}
	}
	if diff := cmp.Diff([]string{"a.1", "b.1", "c.1"}, names); diff != "" {
		t.Error(diff)
	}
	h.Compact(t0.Add(2 * time.Hour))
	if got := h.Slots(t0.Add(2 * time.Hour)); len(got) != 1 {
		t.Errorf("slots with nothing in them stay: %v", got)
	}
}

// Two that were given one name by mistake do not swallow each other.
func TestLiveNamesakeIsNotTakenOver(t *testing.T) {
	a, b := frontend("a.1"), frontend("a.2")
	call(a, fn("f"), t0)
	merge(t, b, a.Snapshot(t0), t0)
	if got := b.Compact(t0); got != nil {
		t.Errorf("took over %v, which is alive", got)
	}
}

func resum(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestMergeRefuses(t *testing.T) {
	a := frontend("a.1")
	call(a, fn("f"), t0)
	good := a.Snapshot(t0)
	body := good[:len(good)-4]
	flip := func(i int) []byte {
		b := slices.Clone(good)
		b[i] ^= 0x40
		return b
	}
	// with has the sum of the hour, which is 2^(30/60), replaced.
	with := func(hour float64) []byte {
		b := slices.Clone(body)
		old := binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.Exp2(0.5)))
		i := bytes.Index(b, old)
		if i < 0 {
			t.Fatal("the sum is not where it should be")
		}
		binary.LittleEndian.PutUint64(b[i:], math.Float64bits(hour))
		return resum(b)
	}
	version := slices.Clone(body)
	version[3] = 9
	cases := map[string][]byte{
		"nothing":                    nil,
		"no snapshot":                []byte("hello, this is not a snapshot"),
		"cut":                        good[:len(good)-1],
		"a flipped bit":              flip(len(good) / 2),
		"another version":            resum(version),
		"cut, resummed":              resum(slices.Clone(body[:len(body)-9])),
		"longer, resummed":           resum(append(slices.Clone(body), 0)),
		"more than there were calls": with(2.1),
		"less than nothing":          with(-1),
		"no number":                  with(math.NaN()),
		"no slot":                    resum([]byte("TCH\x01\x00\x00\x00\x00")),
	}
	for name, b := range cases {
		t.Run(name, func(t *testing.T) {
			h := frontend("b.1")
			if err := h.Merge(b, t0); thermocline.KindOf(err) != thermocline.KindValidation {
				t.Errorf("error %v, want KindValidation", err)
			}
			if h.Len() != 0 || len(h.Slots(t0)) != 1 {
				t.Error("something counted")
			}
		})
	}
	if err := frontend("b.1").Merge(good, t0.Add(-time.Hour)); err == nil {
		t.Error("a snapshot from the future was taken")
	}
}

func FuzzMerge(f *testing.F) {
	a := frontend("a.1")
	for i := range 3 {
		call(a, fn(fmt.Sprintf("f%d", i)), t0)
	}
	a.Started(thermocline.FunctionID{Account: "210987654321", Name: "v", Version: "12"}, t0.Add(time.Hour))
	delta, _ := a.Changed(t0, 1<<20)
	for _, b := range [][]byte{a.Snapshot(t0), delta, frontend("a.1").Snapshot(t0), []byte("TCH"), nil} {
		if len(b) > 4 {
			f.Add(b[:len(b)-4])
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := frontend("b.1")
		call(h, fn("f0"), t0)
		now := t0.Add(time.Minute)
		// The checksum keeps a fuzzer out; it is made right for it.
		if h.Merge(resum(slices.Clone(body)), now) != nil {
			if h.Len() != 1 {
				t.Fatal("a refused snapshot counted")
			}
			return
		}
		want := h.Snapshot(now)
		if err := h.Merge(resum(slices.Clone(body)), now); err != nil {
			t.Fatalf("the same again: %v", err)
		}
		if diff := cmp.Diff(want, h.Snapshot(now)); diff != "" {
			t.Fatal("a merge changed the own slot")
		}
		h.Each(now, func(id thermocline.FunctionID, u thermocline.Usage) bool {
			for _, x := range []float64{u.CountMinute, u.CountHour, u.RateMinute, u.RateHour, u.Concurrency, u.Offered} {
				if !(x >= 0 && x < 1e300) {
					t.Fatalf("%v: %+v", id, u)
				}
			}
			if u.Total < 0 || u.MeanDuration < 0 {
				t.Fatalf("%v: %+v", id, u)
			}
			return true
		})
		h.Compact(now)
	})
}
