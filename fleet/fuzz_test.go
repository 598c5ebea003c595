package fleet_test

import (
	"encoding/json"
	"testing"
	"time"

	"thermocline"
	"thermocline/fleet"
)

func FuzzNew(f *testing.F) {
	d := fleet.Default().Fleets[0]
	for _, x := range []string{
		d.Enter, d.Stay, "true", "!(1.0 < rate_minute)", "rate_minute > 1 ? true : false", "rate_minute",
		"(rate_hour > 0.1 ? offered : -offered) >= 0.5", "total / total == 1.0", "!(total / total < 1.0)", "0.0/0.0 != total",
		"size('aé') > 1 && total > 5", "'a'.matches('(a+)+$')", "1/0 > 0 || total > 1.0", "timestamp('x') < timestamp('y')",
		"rate_minute >\n\t", "\xff > 1", "[1,2,3][5] == 1", "{'a': 1.0}.a < total", "((((((1.0))))))<total",
	} {
		f.Add(x, d.Stay, 0.3, 7.0)
	}
	f.Fuzz(func(t *testing.T, enter, stay string, a, b float64) {
		s, err := fleet.New(two(enter, stay, time.Minute))
		if err != nil {
			if thermocline.KindOf(err) != thermocline.KindValidation || err.Error() == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		for i, u := range []thermocline.Usage{
			{},
			{RateMinute: a, RateHour: b, CountMinute: b, Total: int64(min(max(b, 0), 1e9)), Offered: a, Concurrency: 1},
		} {
			now := t0.Add(time.Duration(i) * time.Hour)
			d := s.Classify(fn("f"), u, now)
			x := s.Explain(fn("f"), u, now)
			if d.Fleet != x.Fleet {
				t.Fatalf("Classify says %s, Explain %s", d.Fleet, x.Fleet)
			}
			if _, err := json.Marshal(x); err != nil && a == a && b == b {
				t.Fatalf("%v: %+v", err, x)
			}
		}
		if bad := fleet.Disagreement(s, a, b); bad != "" {
			t.Fatal(bad)
		}
	})
}

func FuzzRestore(f *testing.F) {
	s, err := fleet.New(fleet.Default())
	if err != nil {
		f.Fatal(err)
	}
	s.Classify(fn("f"), thermocline.Usage{RateMinute: 5}, t0)
	f.Add(s.Snapshot())
	f.Add([]byte("TCF\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSet(t, two("total > 1", "", 0))
		if s.Restore(b, t0) != nil && s.Len() != 0 {
			t.Fatal("damaged bytes counted")
		}
		s.Snapshot()
	})
}
