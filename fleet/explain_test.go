package fleet_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/fleet"
)

func TestExplain(t *testing.T) {
	s := newSet(t, fleet.Default())
	u := thermocline.Usage{
		RateMinute: 0.05, RateHour: 0.01, CountMinute: 4.3, CountHour: 50,
		MeanDuration: 2 * time.Second, Concurrency: 1, Offered: 0.1, Total: 77, Last: t0.Add(-3 * time.Second),
	}
	s.Classify(fn("f"), u, t0)
	x := s.Explain(fn("f"), u, t0.Add(time.Hour))

	if x.Fleet != "low-volume" || x.Function != "123456789012/f/$LATEST" || !x.Since.Equal(t0) || x.MayLeave != nil {
		t.Errorf("head: %+v", x)
	}
	want := fleet.Criterion{
		Fleet: "high-volume", Expression: "enter", Variable: "rate_minute", Unit: "1/s", Operator: ">",
		Threshold: 0.2, Value: 0.05, Distance: 0.15000000000000002, Holds: false,
	}
	if len(x.Criteria) != 9 {
		t.Fatalf("%d criteria, want the 9 comparisons of the default", len(x.Criteria))
	}
	if diff := cmp.Diff(want, x.Criteria[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"enters high-volume when rate_minute > 0.2 (now 0.05)",
		"enters high-volume when offered_hour > 0.5 (now 0.02)",
		"enters high-volume when offered > 0.5 (now 0.1) and count_minute >= 10 (now 4.3)",
		"enters high-volume when concurrency >= 10 (now 1)",
	}, x.Changes); diff != "" {
		t.Error(diff)
	}
	if x.Usage["offered_hour"] != 0.02 || x.Usage["mean_duration_ms"] != 2000 || x.Usage["idle_s"] != 3603 || x.Usage["total"] != 77 {
		t.Errorf("usage: %v", x.Usage)
	}
}

func TestExplainLeaving(t *testing.T) {
	s := newSet(t, two("rate_minute > 1.0", "!(rate_minute <= 0.5) || 2.0 < rate_hour * 100.0", time.Minute))
	u := thermocline.Usage{RateMinute: 3, RateHour: 0.05}
	s.Classify(fn("f"), u, t0)
	x := s.Explain(fn("f"), u, t0.Add(time.Second))
	if x.Fleet != "hot" || x.MayLeave == nil || !x.MayLeave.Equal(t0.Add(time.Minute)) {
		t.Errorf("%+v", x)
	}
	if diff := cmp.Diff([]string{
		"leaves hot when rate_minute <= 1 (now 3) and rate_minute <= 0.5 (now 3) and rate_hour * 100.0 <= 2 (now 5), not before 2026-03-14T15:31:00Z",
	}, x.Changes); diff != "" {
		t.Error(diff)
	}
	last := x.Criteria[len(x.Criteria)-1]
	if last.Variable != "rate_hour * 100.0" || last.Operator != ">" || last.Threshold != 2 || last.Value != 5 || !last.Holds {
		t.Errorf("a term: %+v", last)
	}

	x = s.Explain(fn("f"), thermocline.Usage{}, t0.Add(time.Second))
	if len(x.Changes) != 1 || x.Changes[0] != "leaves hot when the dwell ends, not before 2026-03-14T15:31:00Z" {
		t.Errorf("kept by the dwell: %q", x.Changes)
	}
	x = s.Explain(fn("f"), thermocline.Usage{}, t0.Add(time.Hour))
	if x.Fleet != "cold" {
		t.Errorf("Explain does not say what a request would find: %s", x.Fleet)
	}
	if s.Classify(fn("f"), u, t0.Add(time.Hour)).Moved {
		t.Error("Explain moved the function")
	}
}

// Explanations survive JSON whatever the numbers are.
func TestExplainIsJSON(t *testing.T) {
	s := newSet(t, two("rate_minute / rate_hour > 1.0 || size('a') > total", "total / total == 1.0", 0))
	for _, u := range []thermocline.Usage{{}, {RateMinute: 1}, {RateHour: 1e300, RateMinute: 1e-300, Total: 3}} {
		x := s.Explain(fn("f"), u, t0)
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		var back fleet.Explanation
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(x, back); diff != "" {
			t.Error(diff)
		}
	}
}
