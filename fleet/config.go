package fleet

import (
	"fmt"
	"regexp"
	"time"

	"thermocline"
)

// The values of FleetConfig.Dispatch.
const (
	DispatchQueue  = "queue"  // managers pull from the partitions that they lease
	DispatchDirect = "direct" // the frontend sends to a manager that it chose
)

// The bounds of a configuration.
const (
	maxFleets     = 16
	maxExpression = 4096 // bytes
	maxNodes      = 256  // of an expression's syntax tree
)

// Config lists the fleets in the order in which they claim functions.
type Config struct {
	Fleets []FleetConfig `json:"fleets" koanf:"fleets"`
}

// FleetConfig is one fleet.
type FleetConfig struct {
	// Name: lower-case letters, digits and hyphens, at most 32.
	Name string `json:"name" koanf:"name"`
	// Dispatch is "queue" or "direct".
	Dispatch string `json:"dispatch" koanf:"dispatch"`
	// Enter brings a function into the fleet: CEL, of type bool, over the
	// variables of Variables. Empty for the last fleet only.
	Enter string `json:"enter,omitempty" koanf:"enter"`
	// Stay keeps a function in the fleet when Enter does not hold any more.
	// Empty: nothing but Enter and Dwell keeps it.
	Stay string `json:"stay,omitempty" koanf:"stay"`
	// Dwell is the least time in the fleet before a function may leave it for a
	// later one. An earlier fleet takes it at any time.
	Dwell time.Duration `json:"dwell" koanf:"dwell"`

	// Managers is the number of managers on each node (0 means 2).
	Managers int `json:"managers,omitempty" koanf:"managers"`

	// Spread is the number of managers that a function uses at least, as long
	// as its rate keeps sandboxes warm in all of them (0 means 1). For direct
	// fleets.
	Spread int `json:"spread,omitempty" koanf:"spread"`
	// Bound is c of the bounded load: a manager with more than c times the mean
	// of outstanding invocations is not the first choice (0 means 1.25).
	Bound float64 `json:"bound,omitempty" koanf:"bound"`
	// Pack is the share of a manager's slots below which it is never thought
	// loaded, however idle the others are: locality comes first (0 means 0.5).
	Pack float64 `json:"pack,omitempty" koanf:"pack"`
	// KeepAlive is how long managers keep an idle sandbox: how far a function
	// may be spread depends on it (0 means 10 minutes).
	KeepAlive time.Duration `json:"keep_alive,omitempty" koanf:"keep_alive"`
	// Alternatives is the number of choices that Choose returns at most (0
	// means 4).
	Alternatives int `json:"alternatives,omitempty" koanf:"alternatives"`
}

// Default returns the two fleets of the design.
//
// high-volume takes what is called more than 0.2 times a second, and what
// keeps more than half a sandbox busy (ρ > 0.5). One call gives a rate of
// ln 2/60 in the first minute, and with a long duration a large ρ; so the fast
// ρ counts only after ten calls. offered_hour is ρ as measured over an hour,
// which one call of the longest duration (900 s) brings to 0.17 only; and ten
// running at once are ten calls and more than ρ = 0.5 explains. A function
// falls back when all of it is below a quarter, on the slow rate, after ten
// minutes: the time for which managers keep its idle sandboxes anyway.
func Default() Config {
	return Config{Fleets: []FleetConfig{
		{
			Name:     "high-volume",
			Dispatch: DispatchDirect,
			Enter: "rate_minute > 0.2 || offered_hour > 0.5 ||\n" +
				"(offered > 0.5 && count_minute >= 10.0) || concurrency >= 10.0",
			Stay:  "rate_minute > 0.05 || rate_hour > 0.05 || offered_hour > 0.125 || concurrency >= 2.5",
			Dwell: 10 * time.Minute,
		},
		{Name: "low-volume", Dispatch: DispatchQueue},
	}}
}

// withDefaults fills in the zero fields.
func (c FleetConfig) withDefaults() FleetConfig {
	if c.Managers == 0 {
		c.Managers = 2
	}
	if c.Spread == 0 {
		c.Spread = 1
	}
	if c.Bound == 0 {
		c.Bound = 1.25
	}
	if c.Pack == 0 {
		c.Pack = 0.5
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 10 * time.Minute
	}
	if c.Alternatives == 0 {
		c.Alternatives = 4
	}
	return c
}

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// faults returns what is wrong with the list, apart from the expressions.
func (c Config) faults() []string {
	var faults []string
	if len(c.Fleets) == 0 || len(c.Fleets) > maxFleets {
		faults = append(faults, fmt.Sprintf("there must be 1 to %d fleets, not %d", maxFleets, len(c.Fleets)))
	}
	seen := make(map[string]bool)
	for i, f := range c.Fleets[:min(len(c.Fleets), maxFleets)] {
		bad := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("fleet %q: ", f.Name)+fmt.Sprintf(format, args...))
		}
		if !namePattern.MatchString(f.Name) {
			bad("a name is 1 to 32 lower-case letters, digits and hyphens")
		} else if seen[f.Name] {
			bad("the name is given twice")
		}
		seen[f.Name] = true
		last := i == len(c.Fleets)-1
		switch {
		case last && (f.Enter != "" || f.Stay != ""):
			bad("the last fleet takes what the others leave and has no enter or stay")
		case !last && f.Enter == "":
			bad("enter is missing; only the last fleet has none")
		}
		if f.Dispatch != DispatchQueue && f.Dispatch != DispatchDirect {
			bad("dispatch must be %q or %q, not %q", DispatchQueue, DispatchDirect, f.Dispatch)
		}
		for _, r := range []struct {
			name     string
			value    float64
			min, max float64
		}{
			{"dwell (seconds)", f.Dwell.Seconds(), 0, 30 * 86400},
			{"managers", float64(f.Managers), 0, 1024},
			{"spread", float64(f.Spread), 0, 1024},
			{"pack", f.Pack, 0, 1},
			{"keep_alive (seconds)", f.KeepAlive.Seconds(), 0, 30 * 86400},
			{"alternatives", float64(f.Alternatives), 0, 64},
		} {
			if !(r.value >= r.min && r.value <= r.max) {
				bad("%s must be from %g to %g, not %g", r.name, r.min, r.max, r.value)
			}
		}
		if f.Bound != 0 && !(f.Bound >= 1 && f.Bound <= 100) {
			bad("bound must be from 1 to 100, not %g", f.Bound)
		}
	}
	return faults
}

func invalid(format string, args ...any) error {
	return thermocline.Errorf(thermocline.KindValidation, format, args...)
}
