package thermocline_test

import (
	"testing"
	"time"

	"thermocline"
)

func TestPace(t *testing.T) {
	origin := time.Unix(1000, 0)
	for _, tt := range []struct {
		name   string
		factor float64
		clock  time.Duration // since the origin
		policy time.Duration
	}{
		{"zero", 0, time.Minute, time.Minute},
		{"one", 1, time.Minute, time.Minute},
		{"sixty", 60, time.Minute, time.Hour},
		{"slow", 0.5, time.Minute, 30 * time.Second},
		{"before the origin", 60, -time.Second, -time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := thermocline.Pace{Origin: origin, Factor: tt.factor}
			if got := p.Policy(origin.Add(tt.clock)).Sub(origin); got != tt.policy {
				t.Errorf("policy %v, want %v", got, tt.policy)
			}
			if got := p.Clock(origin.Add(tt.policy)).Sub(origin); got != tt.clock {
				t.Errorf("clock %v, want %v", got, tt.clock)
			}
			if got := p.Stretch(tt.clock); got != tt.policy {
				t.Errorf("stretched %v, want %v", got, tt.policy)
			}
			if !p.Policy(time.Time{}).IsZero() || !p.Clock(time.Time{}).IsZero() {
				t.Error("no time has become one")
			}
		})
	}
}
