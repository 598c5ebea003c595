package fleet_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"thermocline"
	"thermocline/fleet"
	"thermocline/history"
)

var t0 = time.Date(2026, 3, 14, 15, 30, 0, 0, time.UTC)

func fn(name string) thermocline.FunctionID {
	return thermocline.FunctionID{Account: "123456789012", Name: name, Version: thermocline.Latest}
}

func newSet(t testing.TB, c fleet.Config) *fleet.Set {
	t.Helper()
	s, err := fleet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// two is a configuration of two fleets with these expressions.
func two(enter, stay string, dwell time.Duration) fleet.Config {
	return fleet.Config{Fleets: []fleet.FleetConfig{
		{Name: "hot", Dispatch: fleet.DispatchDirect, Enter: enter, Stay: stay, Dwell: dwell},
		{Name: "cold", Dispatch: fleet.DispatchQueue},
	}}
}

// drive calls a function at times until it ends, as a frontend does, and
// returns the fleet after each call.
type driver struct {
	h   *history.History
	s   *fleet.Set
	now time.Time
}

func newDriver(t testing.TB, c fleet.Config) *driver {
	return &driver{h: history.New(history.Options{}), s: newSet(t, c), now: t0}
}

func (d *driver) call(id thermocline.FunctionID, takes time.Duration) fleet.Decision {
	d.h.Started(id, d.now)
	dec := d.classify(id)
	d.h.Finished(id, takes, d.now.Add(takes))
	return dec
}

func (d *driver) classify(id thermocline.FunctionID) fleet.Decision {
	return d.s.Classify(id, d.h.Usage(id, d.now), d.now)
}

func TestDefaultThresholds(t *testing.T) {
	cases := map[string]struct {
		calls int
		gap   time.Duration
		takes time.Duration
		want  string
	}{
		"one call":                            {1, 0, 10 * time.Millisecond, "low-volume"},
		"one call of the longest duration":    {2, 15 * time.Minute, 15 * time.Minute, "low-volume"},
		"a few in a row":                      {9, time.Second, 5 * time.Second, "low-volume"},
		"one a minute":                        {120, time.Minute, time.Second, "low-volume"},
		"every six seconds":                   {3000, 6 * time.Second, 10 * time.Millisecond, "low-volume"},
		"every four seconds":                  {3000, 4 * time.Second, 10 * time.Millisecond, "high-volume"},
		"five a second":                       {75, 200 * time.Millisecond, 10 * time.Millisecond, "high-volume"},
		"one a minute that takes it all":      {200, time.Minute, 59 * time.Second, "high-volume"},
		"every ten seconds, takes six of ten": {1500, 10 * time.Second, 6 * time.Second, "high-volume"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, fleet.Default())
			var got fleet.Decision
			for range c.calls {
				got = d.call(fn("f"), c.takes)
				d.now = d.now.Add(c.gap)
			}
			if got.Fleet != c.want {
				t.Errorf("after %d calls: %s, want %s (%+v)", c.calls, got.Fleet, c.want, d.h.Usage(fn("f"), d.now))
			}
		})
	}
}

// The function of the issue: five a second reaches high-volume within 15 s and
// comes back when it stops; one called once stays.
func TestUpAndDown(t *testing.T) {
	d := newDriver(t, fleet.Default())
	d.call(fn("once"), time.Millisecond)
	var up time.Time
	for d.now.Before(t0.Add(time.Minute)) {
		if dec := d.call(fn("hot"), 20*time.Millisecond); dec.Fleet == "high-volume" && up.IsZero() {
			if !dec.Moved || dec.From != "low-volume" || !dec.Since.Equal(d.now) {
				t.Errorf("the move says %+v", dec)
			}
			up = d.now
		}
		d.now = d.now.Add(200 * time.Millisecond)
	}
	if up.IsZero() || up.Sub(t0) > 15*time.Second {
		t.Fatalf("promoted after %v", up.Sub(t0))
	}
	for d.now.Before(up.Add(10 * time.Minute)) {
		if dec := d.classify(fn("hot")); dec.Fleet != "high-volume" || !dec.Since.Equal(up) {
			t.Fatalf("%v after its promotion: %+v", d.now.Sub(up), dec)
		}
		d.now = d.now.Add(17 * time.Second)
	}
	for d.classify(fn("hot")).Fleet != "low-volume" {
		if d.now = d.now.Add(time.Minute); d.now.After(t0.Add(3 * time.Hour)) {
			t.Fatal("it never comes back")
		}
	}
	if dec := d.classify(fn("once")); dec.Fleet != "low-volume" || !dec.Since.Equal(t0) {
		t.Errorf("called once: %+v", dec)
	}
}

// A function whose rate lies anywhere near the thresholds does not flap: it
// moves up once, and down at most once per dwell.
func TestHysteresis(t *testing.T) {
	for _, rate := range []float64{0.04, 0.05, 0.08, 0.15, 0.19, 0.2, 0.21, 0.3, 0.5} {
		for seed := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, 1))
			d := newDriver(t, fleet.Default())
			moves := 0
			for d.now.Before(t0.Add(12 * time.Hour)) {
				if dec := d.call(fn("f"), 50*time.Millisecond); dec.From != "" {
					moves++
				}
				d.now = d.now.Add(time.Duration(r.ExpFloat64() / rate * float64(time.Second)))
			}
			// Without the band the rates about 0.2 move more than 200 times.
			if moves > 2 {
				t.Errorf("rate %g, seed %d: %d moves in 12 h", rate, seed, moves)
			}
		}
	}
}

func TestDwell(t *testing.T) {
	s := newSet(t, two("concurrency > 5.0", "concurrency > 3.0", time.Minute))
	at := func(concurrency float64, after time.Duration) string {
		return s.Classify(fn("f"), thermocline.Usage{Concurrency: concurrency}, t0.Add(after)).Fleet
	}
	steps := []struct {
		concurrency float64
		after       time.Duration
		want        string
	}{
		{4, 0, "cold"}, // stay does not bring it in
		{6, 1 * time.Second, "hot"},
		{0, 2 * time.Second, "hot"}, // dwell
		{0, 60 * time.Second, "hot"},
		{4, 61 * time.Second, "hot"}, // stay
		{3, 62 * time.Second, "cold"},
		{6, 63 * time.Second, "hot"}, // up at once, whatever the time in cold
	}
	for _, st := range steps {
		if got := at(st.concurrency, st.after); got != st.want {
			t.Fatalf("at %v with %g: %s, want %s", st.after, st.concurrency, got, st.want)
		}
	}
}

func TestThreeFleets(t *testing.T) {
	c := two("rate_minute > 10.0", "rate_minute > 5.0", 0)
	c.Fleets = []fleet.FleetConfig{
		c.Fleets[0],
		{Name: "warm", Dispatch: fleet.DispatchQueue, Enter: "rate_minute > 1", Dwell: time.Hour},
		c.Fleets[1],
	}
	s := newSet(t, c)
	for i, st := range []struct {
		rate float64
		want string
	}{{0, "cold"}, {2, "warm"}, {20, "hot"}, {6, "hot"}, {2, "warm"}, {0, "warm"}, {11, "hot"}} {
		u := thermocline.Usage{RateMinute: st.rate, CountMinute: st.rate * 90}
		if got := s.Classify(fn("f"), u, t0.Add(time.Duration(i)*time.Second)).Fleet; got != st.want {
			t.Fatalf("step %d, rate %g: %s, want %s", i, st.rate, got, st.want)
		}
	}
}

// More of everything never puts a new function into a later fleet.
func TestPromotionIsMonotone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 20000 {
		s := func() float64 { return 3 * r.ExpFloat64() * r.Float64() }
		less := thermocline.Usage{
			RateMinute: s() / 5, RateHour: s() / 5, Concurrency: s(), Offered: s(),
			MeanDuration: time.Duration(s() * float64(time.Second)), CountMinute: 10 * s(),
		}
		more := less
		more.RateMinute += s()
		more.RateHour += s()
		more.Concurrency += s()
		more.Offered += s()
		more.CountMinute += s()
		set := monotoneSet(t)
		a := set.Classify(fn(fmt.Sprint("a", i)), less, t0)
		b := set.Classify(fn(fmt.Sprint("b", i)), more, t0)
		if b.Index > a.Index {
			t.Fatalf("%+v is in %s, and with more, %+v, in %s", less, a.Fleet, more, b.Fleet)
		}
	}
}

var monotone = sync.OnceValues(func() (*fleet.Set, error) { return fleet.New(fleet.Default()) })

func monotoneSet(t *testing.T) *fleet.Set {
	s, err := monotone()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDecisionIsRemembered(t *testing.T) {
	s := newSet(t, two("total > 100", "", 0))
	u := thermocline.Usage{CountMinute: 50, Total: 50}
	at := func(d time.Duration) string { return s.Classify(fn("f"), u, t0.Add(d)).Fleet }
	at(0)
	u.Total = 200
	if got := at(900 * time.Millisecond); got != "cold" {
		t.Errorf("a fresh decision was taken anew: %s", got)
	}
	if got := at(time.Second); got != "hot" {
		t.Errorf("after a second: %s", got)
	}
	u.Total, u.CountMinute = 0, 60
	if got := at(1100 * time.Millisecond); got != "cold" {
		t.Errorf("after the usage moved: %s", got)
	}
}

// What is no number (0/0, before the first call) is in no relation to anything.
func TestNotANumber(t *testing.T) {
	for text, want := range map[string]string{
		"total / total > 1.0":            "cold",
		"total / total <= 1.0":           "cold",
		"total / total == total / total": "cold",
		"!(total / total > 1.0)":         "hot",
		"total / total != 1.0":           "hot",
	} {
		s := newSet(t, two(text, "", 0))
		if got := s.Classify(fn("f"), thermocline.Usage{}, t0).Fleet; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if bad := fleet.Disagreement(s, 0, 0); bad != "" {
			t.Error(bad)
		}
	}
}

func TestMembers(t *testing.T) {
	s := newSet(t, fleet.Default())
	for i := range 10 {
		s.Classify(fn(fmt.Sprint("f", i)), thermocline.Usage{RateMinute: float64(i), CountMinute: 90 * float64(i)}, t0)
	}
	if got := s.Members(); got[0] != 9 || got[1] != 1 || s.Len() != 10 {
		t.Errorf("members %v, %d in all", got, s.Len())
	}
	s.Forget(fn("f0"))
	if s.Len() != 9 {
		t.Error("forgot nothing")
	}
	if s.Fleet("low-volume") == nil || s.Fleet("none") != nil || s.Fleets()[0].Bound != 1.25 {
		t.Error("the fleets are not what was configured, with defaults")
	}
}

func TestRestart(t *testing.T) {
	s := newSet(t, fleet.Default())
	hot := thermocline.Usage{RateMinute: 5, RateHour: 1, CountMinute: 400}
	s.Classify(fn("hot"), hot, t0)
	s.Classify(fn("cold"), thermocline.Usage{}, t0.Add(time.Minute))
	snapshot := s.Snapshot()

	now := t0.Add(time.Hour)
	next := newSet(t, fleet.Default())
	if err := next.Restore(snapshot, now); err != nil {
		t.Fatal(err)
	}
	if d := next.Classify(fn("hot"), hot, now); d.Fleet != "high-volume" || !d.Since.Equal(t0) || d.Moved {
		t.Errorf("hot: %+v", d)
	}
	if d := next.Classify(fn("cold"), thermocline.Usage{}, now); !d.Since.Equal(t0.Add(time.Minute)) {
		t.Errorf("cold: %+v", d)
	}
	other := newSet(t, two("total > 1.0", "", 0))
	if err := other.Restore(snapshot, now); err != nil || other.Len() != 0 {
		t.Errorf("another configuration: %v, %d members", err, other.Len())
	}
	for cut := range snapshot {
		fresh := newSet(t, two("total > 1.0", "", 0))
		if err := fresh.Restore(snapshot[:cut], now); thermocline.KindOf(err) != thermocline.KindValidation {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if err := next.Restore(append(snapshot, 0), now); err == nil {
		t.Error("more after the end was taken")
	}
}

func TestConcurrentUse(t *testing.T) {
	s := newSet(t, fleet.Default())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				now := t0.Add(time.Duration(i) * time.Millisecond)
				id := fn(fmt.Sprint("f", i%10))
				s.Classify(id, thermocline.Usage{RateMinute: float64(i%10) / 9, CountMinute: float64(i)}, now)
				if i%500 == 0 {
					s.Explain(id, thermocline.Usage{}, now)
					s.Restore(s.Snapshot(), now)
				}
			}
		})
	}
	wg.Wait()
	if s.Len() != 10 {
		t.Errorf("%d members", s.Len())
	}
}

func TestNewRefuses(t *testing.T) {
	valid := fleet.Default()
	with := func(change func(c *fleet.Config)) fleet.Config {
		c := fleet.Default()
		change(&c)
		return c
	}
	cases := map[string]struct {
		c    fleet.Config
		want []string
	}{
		"no fleets":  {fleet.Config{}, []string{"1 to 16 fleets, not 0"}},
		"bad name":   {with(func(c *fleet.Config) { c.Fleets[0].Name = "Hot!" }), []string{`fleet "Hot!"`, "lower-case"}},
		"same names": {with(func(c *fleet.Config) { c.Fleets[0].Name = "low-volume" }), []string{"given twice"}},
		"no enter":   {with(func(c *fleet.Config) { c.Fleets[0].Enter = "" }), []string{"enter is missing"}},
		"condition on the last": {with(func(c *fleet.Config) { c.Fleets[1].Enter = "true" }),
			[]string{"takes what the others leave"}},
		"dispatch":       {with(func(c *fleet.Config) { c.Fleets[0].Dispatch = "mail" }), []string{`"mail"`}},
		"negative dwell": {with(func(c *fleet.Config) { c.Fleets[0].Dwell = -1 }), []string{"dwell"}},
		"bound":          {with(func(c *fleet.Config) { c.Fleets[0].Bound = 0.5 }), []string{"bound"}},
		"unknown variable": {two("rate_minut > 0.2", "", 0),
			[]string{"fleet hot: enter:1:1: undeclared reference to 'rate_minut'", "\n  | rate_minut > 0.2\n  | ^"}},
		"on its second line": {two("rate_minute > 0.2 ||\n  rate_hour >> 1.0", "", 0),
			[]string{"fleet hot: enter:2:14: Syntax error", "\n  |   rate_hour >> 1.0\n  |              ^"}},
		"in stay":      {two("true", "total + 1 > 2.0", 0), []string{"fleet hot: stay:1:7: found no matching overload"}},
		"not a bool":   {two("rate_minute", "", 0), []string{"fleet hot: enter:1:1: the expression is of type double, it must be bool"}},
		"a macro":      {two("[1.0].all(x, x > rate_minute)", "", 0), []string{"fleet hot: enter:1:10"}},
		"fails always": {two("1/0 == 1", "", 0), []string{"fleet hot: enter", "division by zero"}},
		"too long":     {two(strings.Repeat("true && ", 600)+"true", "", 0), []string{"longer than 4096"}},
		"too many nodes": {two(strings.Repeat("total>1.0||", 300)+"true", "", 0),
			[]string{"fleet hot: enter"}},
		"too deep": {two(strings.Repeat("(", 200)+"true"+strings.Repeat(")", 200), "", 0), []string{"fleet hot: enter"}},
		"all faults at once": {fleet.Config{Fleets: []fleet.FleetConfig{
			{Name: "a", Dispatch: "x", Enter: "foo", Stay: "bar"}, {Name: "b", Dispatch: "y"}}},
			[]string{`not "x"`, `not "y"`, "'foo'", "'bar'"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := fleet.New(c.c)
			if thermocline.KindOf(err) != thermocline.KindValidation {
				t.Fatalf("error %v, want KindValidation", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
		})
	}
	if _, err := fleet.New(valid); err != nil {
		t.Errorf("the default: %v", err)
	}
}

func BenchmarkClassify(b *testing.B) {
	run := func(b *testing.B, gap time.Duration, growth float64) {
		s := newSet(b, fleet.Default())
		ids := make([]thermocline.FunctionID, 1000)
		for i := range ids {
			ids[i] = fn(fmt.Sprintf("function-%05d", i))
		}
		u := thermocline.Usage{RateMinute: 0.1, CountMinute: 9, MeanDuration: time.Second}
		now := t0
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			now = now.Add(gap)
			u.CountMinute *= growth
			s.Classify(ids[i%len(ids)], u, now)
		}
	}
	b.Run("remembered", func(b *testing.B) { run(b, time.Nanosecond, 1) })
	b.Run("evaluated", func(b *testing.B) { run(b, time.Second, 1) })
}

func BenchmarkExpressionInCEL(b *testing.B) {
	// A conditional of ints is not for our own evaluation: what cel-go takes.
	s := newSet(b, two("rate_minute > 0.2 || offered_hour > 0.5 || (offered > 0.5 && count_minute >= 10.0) || size('x') > 2", "", 0))
	now := t0
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		s.Classify(fn("f"), thermocline.Usage{}, now)
	}
}

func BenchmarkExplain(b *testing.B) {
	s := newSet(b, fleet.Default())
	for b.Loop() {
		s.Explain(fn("f"), thermocline.Usage{}, t0)
	}
}
