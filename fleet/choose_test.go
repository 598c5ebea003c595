package fleet_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/fleet"
)

func managers(fleetName string, n, slots int) []thermocline.ManagerInfo {
	var ms []thermocline.ManagerInfo
	for i := range n {
		ms = append(ms, thermocline.ManagerInfo{ID: fmt.Sprintf("%s-%d", fleetName, i), Fleet: fleetName, Slots: slots})
	}
	return ms
}

func set(t testing.TB, name string) *fleet.FleetConfig {
	return newSet(t, fleet.Default()).Fleet(name)
}

func TestChooseLeavesOut(t *testing.T) {
	low := set(t, "low-volume")
	ms := append(managers("low-volume", 6, 10), managers("high-volume", 3, 10)...)
	ms[1].Draining = true
	for i := range 100 {
		got := fleet.Choose(nil, low, fn(fmt.Sprint("f", i)), thermocline.Usage{}, ms, 0)
		if len(got) != 4 {
			t.Fatalf("%d choices, want 4: %v", len(got), got)
		}
		seen := map[string]bool{}
		for _, id := range got {
			if seen[id] || id == "low-volume-1" || id[:3] != "low" {
				t.Fatalf("choices %v", got)
			}
			seen[id] = true
		}
	}
	if got := fleet.Choose(nil, low, fn("f"), thermocline.Usage{}, ms[6:], 0); got != nil {
		t.Errorf("chose %v of another fleet", got)
	}
	if got := fleet.Choose([]string{"x"}, low, fn("f"), thermocline.Usage{}, ms[:1], 0); !slices.Equal(got, []string{"x", "low-volume-0"}) {
		t.Errorf("the buffer is not appended to: %v", got)
	}
}

// When a manager goes only its functions move, and each to its second choice;
// homes are spread evenly.
func TestRehomingIsMinimal(t *testing.T) {
	const functions, n = 10000, 8
	low := set(t, "low-volume")
	ms := managers("low-volume", n, 1000)
	homes := map[string]int{}
	moved := 0
	for i := range functions {
		id := fn(fmt.Sprintf("function-%d", i))
		before := fleet.Choose(nil, low, id, thermocline.Usage{}, ms, 0)
		homes[before[0]]++
		after := fleet.Choose(nil, low, id, thermocline.Usage{}, ms[1:], 0)
		if before[0] != ms[0].ID && after[0] != before[0] {
			t.Fatalf("%v moved from %s to %s", id, before[0], after[0])
		}
		if before[0] == ms[0].ID {
			moved++
			if after[0] != before[1] {
				t.Fatalf("%v went to %s, its second choice was %s", id, after[0], before[1])
			}
		}
	}
	for id, k := range homes {
		if math.Abs(float64(k)-functions/n) > 5*math.Sqrt(functions/n) {
			t.Errorf("%s is home to %d of %d", id, k, functions)
		}
	}
	if moved == 0 {
		t.Error("nothing had its home there")
	}
}

// However skewed the functions, no manager is given more than its bound while
// another has room.
func TestLoadIsBounded(t *testing.T) {
	low := set(t, "low-volume")
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		zipf := rand.NewZipf(r, 1.2, 1, 200)
		n := 2 + r.IntN(10)
		ms := managers("low-volume", n, 100)
		total := 0
		var placed []int
		for range 3000 {
			if len(placed) > 0 && (total >= 90*n || r.IntN(3) == 0) {
				k := r.IntN(len(placed))
				ms[placed[k]].Outstanding--
				total--
				placed[k] = placed[len(placed)-1]
				placed = placed[:len(placed)-1]
			}
			id := fn(fmt.Sprint("f", zipf.Uint64()))
			first := fleet.Choose(nil, low, id, thermocline.Usage{}, ms, 0)[0]
			k := slices.IndexFunc(ms, func(m thermocline.ManagerInfo) bool { return m.ID == first })
			total++
			ms[k].Outstanding++
			placed = append(placed, k)
			bound := math.Max(math.Ceil(low.Bound*float64(total)/float64(n)), low.Pack*100)
			if float64(ms[k].Outstanding) > bound {
				t.Fatalf("seed %d: %d outstanding, bound %g of %d in all", seed, ms[k].Outstanding, bound, total)
			}
		}
	}
}

func TestFullManagersComeLast(t *testing.T) {
	for _, name := range []string{"low-volume", "high-volume"} {
		c := set(t, name)
		ms := managers(name, 5, 4)
		for i := range 4 {
			ms[i].Outstanding = 4
		}
		for i := range 50 {
			got := fleet.Choose(nil, c, fn(fmt.Sprint("f", i)), thermocline.Usage{Concurrency: 3}, ms, uint64(i)*0x9e3779b97f4a7c15)
			if got[0] != ms[4].ID {
				t.Fatalf("%s: first choice %s has no room", name, got[0])
			}
		}
	}
}

func TestLocalityComesFirst(t *testing.T) {
	low := set(t, "low-volume")
	ms := managers("low-volume", 4, 100)
	home := fleet.Choose(nil, low, fn("f"), thermocline.Usage{}, ms, 0)[0]
	k := slices.IndexFunc(ms, func(m thermocline.ManagerInfo) bool { return m.ID == home })
	ms[k].Outstanding = 40 // far over the mean of 10, far from full
	if got := fleet.Choose(nil, low, fn("f"), thermocline.Usage{}, ms, 0)[0]; got != home {
		t.Errorf("left its home for no need")
	}
	ms[k].Outstanding = 60
	if got := fleet.Choose(nil, low, fn("f"), thermocline.Usage{}, ms, 0); got[0] == home || !slices.Contains(got, home) {
		t.Errorf("the home is over its bound: %v", got)
	}
}

func TestBreadth(t *testing.T) {
	high := set(t, "high-volume")
	second := time.Second
	cases := map[string]struct {
		u    thermocline.Usage
		want int
	}{
		"nothing":                       {thermocline.Usage{}, 1},
		"one call looks large":          {thermocline.Usage{CountMinute: 1, RateMinute: 0.0116, Offered: 10, MeanDuration: 900 * second}, 1},
		"rare and long":                 {thermocline.Usage{RateHour: 0.001, MeanDuration: 900 * second}, 1},
		"frequent and short":            {thermocline.Usage{RateHour: 1, RateMinute: 1, CountMinute: 87, Offered: 0.01, MeanDuration: second / 100}, 1},
		"ρ = 100 on managers of ten":    {thermocline.Usage{RateMinute: 100, CountMinute: 8600, Offered: 100, MeanDuration: second}, 12},
		"measured, before any has come": {thermocline.Usage{Concurrency: 100, RateMinute: 1.2, CountMinute: 100}, 12},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := fleet.Breadth(high, &c.u, 10); got != c.want {
				t.Errorf("Breadth = %d, want %d", got, c.want)
			}
		})
	}
}

// Configured to spread, a function does so as far as its calls keep sandboxes
// warm in all places.
func TestSpread(t *testing.T) {
	high := *set(t, "high-volume")
	high.Spread = 3
	for rate, want := range map[float64]int{0.001: 1, 0.02: 2, 1: 3} {
		u := thermocline.Usage{RateHour: rate, MeanDuration: 10 * time.Millisecond}
		if got := fleet.Breadth(&high, &u, 10); got != want {
			t.Errorf("at %g/s: %d, want %d", rate, got, want)
		}
	}
}

func TestOverflow(t *testing.T) {
	high := set(t, "high-volume")
	own := thermocline.ManagerInfo{ID: "h", Fleet: "high-volume", Slots: 99}
	other := func(id string, slots, outstanding int) thermocline.ManagerInfo {
		return thermocline.ManagerInfo{ID: id, Fleet: "low-volume", Slots: slots, Outstanding: outstanding}
	}
	draining := other("d", 99, 0)
	draining.Draining = true
	got := fleet.Overflow([]string{"h"}, high, []thermocline.ManagerInfo{
		own, draining, other("small", 10, 2), other("loaded", 100, 80), other("none", 0, 0), other("large", 20, 4), other("middle", 20, 7),
	})
	if diff := cmp.Diff([]string{"h", "large", "middle"}, got); diff != "" {
		t.Error(diff)
	}
}

// A hot function stays within its k managers, uses all of them, and evenly.
func TestPowerOfTwoChoices(t *testing.T) {
	high := set(t, "high-volume")
	r := rand.New(rand.NewPCG(1, 1))
	ms := managers("high-volume", 10, 50)
	u := thermocline.Usage{RateMinute: 100, RateHour: 100, CountMinute: 8600, Offered: 100, MeanDuration: time.Second}
	k := fleet.Breadth(high, &u, 50)
	for range 120 {
		first := fleet.Choose(nil, high, fn("hot"), u, ms, r.Uint64())[0]
		ms[slices.IndexFunc(ms, func(m thermocline.ManagerInfo) bool { return m.ID == first })].Outstanding++
	}
	used, least, most := 0, math.MaxInt, 0
	for _, m := range ms {
		if m.Outstanding > 0 {
			used++
			least, most = min(least, m.Outstanding), max(most, m.Outstanding)
		}
	}
	if k != 3 || used != k || most-least > 3 {
		t.Errorf("k = %d, %d managers used, from %d to %d", k, used, least, most)
	}
}

func BenchmarkChoose(b *testing.B) {
	u := thermocline.Usage{RateMinute: 100, RateHour: 100, CountMinute: 8600, Offered: 100, MeanDuration: time.Second}
	for _, name := range []string{"low-volume", "high-volume"} {
		for _, n := range []int{2, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				c, ms := set(b, name), managers(name, n, 50)
				r := rand.New(rand.NewPCG(1, 1))
				var buf [8]string
				b.ReportAllocs()
				for b.Loop() {
					fleet.Choose(buf[:0], c, fn("function-00001"), u, ms, r.Uint64())
				}
			})
		}
	}
}
