package simulate

import (
	"fmt"
	"time"

	"thermocline/fleet"
	"thermocline/trace"
)

// Forever is the keep-alive of sandboxes that are only evicted.
const Forever = 10 * 365 * 24 * time.Hour

// Options describe a run.
type Options struct {
	Policy string
	Seed   uint64

	Instances int // machines that there are, 1 to 4,096
	Slots     int // invocations that run at once on one, starts included
	MemoryMB  int // of one, for sandboxes in whatever state

	Frontends  int           // a request comes to one of them, at random
	StateDelay time.Duration // how old what a frontend knows of others may be
	// StaleBaselines has StateDelay apply to the baselines too; they know
	// everything at once otherwise.
	StaleBaselines bool

	KeepAlive   time.Duration // of the baselines; see each of them
	ColdStart   Delay         // from the decision to a sandbox that runs the function
	PooledStart Delay         // the same for one of the warming pool

	Arrivals trace.Arrivals
	Warmup   time.Duration // what arrives before it is not counted
	Burst    *trace.Burst  // nil: none
	// LoseInstance is when an instance dies, 0 for never.
	LoseInstance time.Duration

	// Managers of each of thermocline's fleets.
	Managers int

	// Check verifies the guarantees at every event, and panics where one does
	// not hold: it is for tests.
	Check bool
	// Progress is called now and then with the share of the trace that is over.
	Progress func(share float64)
	// Series asks for Result.Minutes.
	Series bool
}

// Defaults are the options of the command, without policy and seed.
func Defaults() Options {
	return Options{
		Seed: 1, Instances: 16, Slots: 16, MemoryMB: 16 * 1024, Frontends: 1,
		KeepAlive: 10 * time.Minute, ColdStart: Constant(500 * time.Millisecond),
		PooledStart: Constant(10 * time.Millisecond), Warmup: time.Hour, Managers: 2,
	}
}

// Validate says what is wrong with the options.
func (o *Options) Validate(t *trace.Trace) error {
	length := time.Duration(t.Minutes()) * time.Minute
	switch {
	case newPolicy(o.Policy) == nil:
		return fmt.Errorf("there is no policy %q", o.Policy)
	case o.Instances < 1 || o.Instances > 4096:
		return fmt.Errorf("instances are 1 to 4096, not %d", o.Instances)
	case o.Policy == Thermocline && o.Instances < len(fleet.Default().Fleets):
		return fmt.Errorf("thermocline needs an instance for each of its %d fleets", len(fleet.Default().Fleets))
	case o.Slots < 1 || o.Slots > 65536:
		return fmt.Errorf("slots are 1 to 65536, not %d", o.Slots)
	case o.MemoryMB < 1 || o.MemoryMB > 1<<24:
		return fmt.Errorf("the memory of an instance is 1 MB to 16,384 GB, not %d MB", o.MemoryMB)
	case o.Frontends < 1 || o.Frontends > 256:
		return fmt.Errorf("frontends are 1 to 256, not %d", o.Frontends)
	case o.Managers < 1 || o.Managers > 64:
		return fmt.Errorf("managers are 1 to 64, not %d", o.Managers)
	case o.StateDelay < 0 || o.StateDelay > time.Hour:
		return fmt.Errorf("the state's delay is 0 to 1h, not %s", o.StateDelay)
	case o.StateDelay > 0 && o.StateDelay < time.Millisecond:
		return fmt.Errorf("the state's delay is 0 or at least 1ms, not %s", o.StateDelay)
	case o.KeepAlive < 0:
		return fmt.Errorf("a keep-alive is not negative")
	case o.Warmup < 0 || o.Warmup >= length:
		return fmt.Errorf("the warm-up of %s leaves nothing of a trace of %s to be measured", o.Warmup, length)
	case o.LoseInstance < 0 || o.LoseInstance >= length:
		return fmt.Errorf("an instance cannot be lost at %s of a trace of %s", o.LoseInstance, length)
	}
	return nil
}
