package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/manager/ledger"
)

var start = time.Unix(1_700_000_000, 0)

// three returns a ledger of 1,000 MB with the members a, b and c, each sure of
// 200.
func three(t *testing.T) *ledger.Ledger {
	t.Helper()
	l := ledger.New(1000, ledger.Config{})
	for _, id := range []string{"a", "b", "c"} {
		if !l.Join(id, 200, start) {
			t.Fatalf("%s could not join", id)
		}
	}
	return l
}

func take(t *testing.T, l *ledger.Ledger, id string, mb int) {
	t.Helper()
	if !l.Take(id, mb, start) {
		t.Fatalf("%s could not take %d MB of %d", id, mb, l.Available(id, start))
	}
}

func TestGuarantee(t *testing.T) {
	l := three(t)
	if l.Join("a", 1, start) || l.Join("d", 401, start) {
		t.Error("somebody joined twice, or was guaranteed what others are")
	}
	if got := l.Available("a", start); got != 600 {
		t.Errorf("a finds %d MB, want what is not guaranteed to others: 600", got)
	}
	take(t, l, "a", 600)
	if l.Take("a", 1, start) {
		t.Error("a took of what is guaranteed to others")
	}
	take(t, l, "b", 200)
	take(t, l, "c", 200)
	if l.Take("b", 1, start) {
		t.Error("more was taken than there is")
	}
	l.Give("a", 100, start)
	if l.Take("d", 1, start) || l.Available("d", start) != 0 {
		t.Error("a stranger took some")
	}
	take(t, l, "c", 100)
	l.Leave("a")
	if got := l.Available("b", start); got != 500 {
		t.Errorf("after a left b finds %d MB, want 500", got)
	}
}

func TestAsk(t *testing.T) {
	idle := func(mb int) ledger.Offer { return ledger.Offer{MemoryMB: mb, Used: start.Add(-2 * time.Minute)} }
	busy := func(mb int) ledger.Offer { return ledger.Offer{MemoryMB: mb, BusyMB: mb} }
	tests := []struct {
		name   string
		used   [3]int // of a, b and c
		offers map[string]ledger.Offer
		idle   bool // not needed
		want   ledger.Reclaim
		answer ledger.Answer
	}{
		{"free", [3]int{100, 600, 100}, nil, false, ledger.Reclaim{}, ledger.Free},
		{"nobody offers", [3]int{200, 600, 200}, nil, false, ledger.Reclaim{}, ledger.None},
		{
			"idle memory", [3]int{200, 600, 200}, map[string]ledger.Offer{"b": idle(200)}, false,
			ledger.Reclaim{From: "b", For: "a", MB: 200}, ledger.Asked,
		},
		{
			"never below the guarantee", [3]int{200, 200, 600}, map[string]ledger.Offer{"b": idle(100), "c": idle(500)}, false,
			ledger.Reclaim{}, ledger.None,
		},
		{
			"the most above its guarantee", [3]int{200, 350, 450}, map[string]ledger.Offer{"b": idle(100), "c": idle(100)}, false,
			ledger.Reclaim{From: "c", For: "a", MB: 100}, ledger.Asked,
		},
		{
			"the least valuable", [3]int{200, 400, 400}, map[string]ledger.Offer{
				"b": {MemoryMB: 100, Value: 2}, "c": {MemoryMB: 100, Value: 1},
			}, false, ledger.Reclaim{From: "c", For: "a", MB: 100}, ledger.Asked,
		},
		{
			"idle before busy", [3]int{200, 500, 300}, map[string]ledger.Offer{"b": busy(100), "c": idle(100)}, false,
			ledger.Reclaim{From: "c", For: "a", MB: 100}, ledger.Asked,
		},
		{
			"busy, of who has more than its share", [3]int{200, 600, 200}, map[string]ledger.Offer{"b": busy(200)}, false,
			ledger.Reclaim{From: "b", For: "a", MB: 200}, ledger.Asked,
		},
		{
			"busy, of who would then have less", [3]int{300, 500, 200}, map[string]ledger.Offer{"b": busy(200)}, false,
			ledger.Reclaim{}, ledger.None,
		},
		{
			"not needed: what has lain idle", [3]int{200, 600, 200}, map[string]ledger.Offer{"b": idle(200)}, true,
			ledger.Reclaim{From: "b", For: "a", MB: 200}, ledger.Asked,
		},
		{
			"not needed: not what was used just now", [3]int{200, 600, 200},
			map[string]ledger.Offer{"b": {MemoryMB: 200, Used: start.Add(-time.Second)}}, true,
			ledger.Reclaim{}, ledger.None,
		},
		{
			"not needed: not what is busy", [3]int{200, 600, 200}, map[string]ledger.Offer{"b": busy(200)}, true,
			ledger.Reclaim{}, ledger.None,
		},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			l := three(t)
			for i, id := range []string{"a", "b", "c"} {
				take(t, l, id, c.used[i])
			}
			for id, o := range c.offers {
				l.Report(id, o)
			}
			got, answer := l.Ask("a", 100, !c.idle, start)
			if diff := cmp.Diff(c.want, got); diff != "" || answer != c.answer {
				t.Errorf("answer %v, want %v (-want +got):\n%s", answer, c.answer, diff)
			}
		})
	}
}

// TestMove follows one instance from its giver to who needs it.
func TestMove(t *testing.T) {
	l := three(t)
	take(t, l, "a", 200)
	take(t, l, "b", 600)
	take(t, l, "c", 200)
	l.Report("b", ledger.Offer{MemoryMB: 200})
	if _, answer := l.Ask("a", 100, true, start); answer != ledger.Asked {
		t.Fatalf("answer %v", answer)
	}
	l.Report("b", ledger.Offer{MemoryMB: 200})
	if _, answer := l.Ask("a", 100, true, start); answer != ledger.Moving {
		t.Errorf("the second time the answer is %v, want Moving", answer)
	}
	if _, answer := l.Ask("c", 100, true, start); answer != ledger.None {
		t.Errorf("b was asked for two things at once: %v", answer)
	}
	l.Give("b", 200, start)
	if l.Take("c", 1, start) || l.Take("b", 1, start) {
		t.Error("what b gave for a was taken by somebody else")
	}
	take(t, l, "a", 150)
	if l.Take("c", 51, start) {
		t.Error("more was taken than there is")
	}
	// a was given memory, and is not asked for any at once.
	l.Report("a", ledger.Offer{MemoryMB: 150})
	if _, answer := l.Ask("b", 150, true, start.Add(4*time.Second)); answer != ledger.None {
		t.Errorf("a was asked for what it has just been given: %v", answer)
	}
	l.Report("a", ledger.Offer{MemoryMB: 150})
	if _, answer := l.Ask("b", 150, true, start.Add(12*time.Second)); answer != ledger.Asked {
		t.Errorf("later a is not asked: %v", answer)
	}
	// It does not give: then what it gives later is everybody's.
	l.Cancel("a")
	l.Give("a", 150, start.Add(13*time.Second))
	if got := l.Available("c", start.Add(13*time.Second)); got != 200 {
		t.Errorf("c finds %d MB, want 200", got)
	}
}

// TestNotTaken shows that what nobody takes belongs to all again.
func TestNotTaken(t *testing.T) {
	l := three(t)
	take(t, l, "a", 200)
	take(t, l, "b", 600)
	l.Report("b", ledger.Offer{MemoryMB: 200})
	if _, answer := l.Ask("a", 100, true, start); answer != ledger.Asked {
		t.Fatal(answer)
	}
	l.Give("b", 200, start)
	if got := l.Available("c", start.Add(4*time.Second)); got != 200 {
		t.Errorf("c finds %d MB, want its guarantee", got)
	}
	if got := l.Available("c", start.Add(5*time.Second)); got != 400 {
		t.Errorf("after the hold c finds %d MB, want 400", got)
	}
}

// TestTwoAskEachOther shows that nobody gives to get the same back.
func TestTwoAskEachOther(t *testing.T) {
	l := ledger.New(1000, ledger.Config{})
	l.Join("a", 100, start)
	l.Join("b", 100, start)
	take(t, l, "a", 500)
	take(t, l, "b", 500)
	asked := 0
	for i := range 200 {
		now := start.Add(time.Duration(i) * 100 * time.Millisecond)
		for _, id := range []string{"a", "b"} {
			l.Report("a", ledger.Offer{MemoryMB: 100, BusyMB: 50})
			l.Report("b", ledger.Offer{MemoryMB: 100, BusyMB: 50})
			if r, answer := l.Ask(id, 100, true, now); answer == ledger.Asked {
				asked++
				l.Give(r.From, r.MB, now)
				l.Take(r.For, r.MB, now)
			}
		}
	}
	if asked > 0 {
		t.Errorf("%d instances moved between two that have the same and need the same", asked)
	}
}

// TestRandom checks the guarantees of the package on random operations: never
// more than there is, always what is guaranteed, and no member asked for what
// would leave it with less.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		total := 500 + r.IntN(4000)
		l := ledger.New(total, ledger.Config{})
		n := 2 + r.IntN(5)
		guarantee := r.IntN(total/n + 1)
		used := map[string]int{}
		pending := map[string]ledger.Reclaim{}
		var ids []string
		for i := range n {
			id := fmt.Sprint("m", i)
			ids = append(ids, id)
			if !l.Join(id, guarantee, start) {
				t.Fatalf("seed %d: %s could not join", seed, id)
			}
		}
		now := start
		for step := range 400 {
			now = now.Add(time.Duration(r.IntN(2000)) * time.Millisecond)
			id := ids[r.IntN(n)]
			mb := 1 + r.IntN(total/n+1)
			switch r.IntN(5) {
			case 0, 1:
				available := l.Available(id, now)
				ok := l.Take(id, mb, now)
				if ok != (mb <= available) {
					t.Fatalf("seed %d step %d: Take(%d) of %d available: %v", seed, step, mb, available, ok)
				}
				if !ok && used[id]+mb <= guarantee {
					t.Fatalf("seed %d step %d: %s has %d, was refused %d, and is guaranteed %d", seed, step, id, used[id], mb, guarantee)
				}
				if ok {
					used[id] += mb
				}
			case 2:
				mb = min(mb, used[id])
				l.Give(id, mb, now)
				used[id] -= mb
			case 3:
				for _, o := range ids {
					l.Report(o, ledger.Offer{MemoryMB: r.IntN(used[o] + 1), BusyMB: r.IntN(2) * 10, Used: now.Add(-time.Duration(r.IntN(120)) * time.Second)})
				}
				if reclaim, answer := l.Ask(id, mb, r.IntN(2) == 0, now); answer == ledger.Asked {
					if used[reclaim.From]-reclaim.MB < guarantee || reclaim.From == id {
						t.Fatalf("seed %d step %d: %+v, which has %d and is guaranteed %d", seed, step, reclaim, used[reclaim.From], guarantee)
					}
					pending[reclaim.From] = reclaim
				}
			case 4:
				if p, ok := pending[id]; ok {
					delete(pending, id)
					if r.IntN(4) == 0 {
						l.Cancel(id)
						break
					}
					mb := min(p.MB, used[id])
					l.Give(id, mb, now)
					used[id] -= mb
				}
			}
			sum := 0
			for _, id := range ids {
				if sum += used[id]; l.Used(id) != used[id] {
					t.Fatalf("seed %d step %d: %s uses %d, want %d", seed, step, id, l.Used(id), used[id])
				}
			}
			if sum > total {
				t.Fatalf("seed %d step %d: %d MB of %d are used", seed, step, sum, total)
			}
		}
	}
}

// TestProgress shows that in any interleaving of two that fill the memory with
// idle instances and one that needs some, the one gets it.
func TestProgress(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := ledger.New(2000, ledger.Config{})
		for _, id := range []string{"a", "b", "c"} {
			l.Join(id, 200, start)
		}
		now := start
		used := map[string]int{}
		for used["a"]+used["b"] < 1800 {
			id := []string{"a", "b"}[r.IntN(2)]
			if !l.Take(id, 100, now) {
				break
			}
			used[id] += 100
		}
		give := map[string]ledger.Reclaim{}
		for steps := 0; used["c"] < 1000; steps++ {
			if steps > 500 {
				t.Fatalf("seed %d: c has %d MB after %d steps, the others %v", seed, used["c"], steps, used)
			}
			now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
			switch r.IntN(3) {
			case 0: // c needs
				for _, id := range []string{"a", "b"} {
					l.Report(id, ledger.Offer{MemoryMB: 100})
				}
				if reclaim, answer := l.Ask("c", 100, true, now); answer == ledger.Asked {
					give[reclaim.From] = reclaim
				}
			case 1: // somebody gives
				for id, g := range give {
					l.Give(id, g.MB, now)
					used[id] -= g.MB
					delete(give, id)
					break
				}
			case 2: // all try to take
				for _, id := range []string{"a", "b", "c"} {
					if l.Take(id, 100, now) {
						used[id] += 100
					}
				}
			}
		}
	}
}
