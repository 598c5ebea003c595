package autoscale

import (
	"fmt"
	"strings"
	"time"

	"thermocline"
)

// Config tunes the scaling. Default returns the defaults named here; zero
// values are not replaced.
type Config struct {
	// Stable is the window that sizes, and the time for which what was needed
	// is kept. Default 60 s; 1 s to 1 h.
	Stable time.Duration `json:"stable" koanf:"stable"`
	// Panic is the window that notices bursts. Default 6 s; Stable/60 to Stable.
	Panic time.Duration `json:"panic" koanf:"panic"`
	// PanicAt is how many times the ready sandboxes the panic window must ask
	// for before nothing at all is taken away for a stable window. Default 2;
	// 1.1 to 100.
	PanicAt float64 `json:"panic_at" koanf:"panic_at"`
	// Beta is β of the square-root rule: 1 leaves about a fifth of the arrivals
	// without a free sandbox, 2 about one in forty. Default 2; 0 to 10.
	Beta float64 `json:"beta" koanf:"beta"`
	// MinSandboxes and MaxSandboxes bound a function's. Defaults 0 and 1,000.
	MinSandboxes int `json:"min_sandboxes" koanf:"min_sandboxes"`
	MaxSandboxes int `json:"max_sandboxes" koanf:"max_sandboxes"`

	// InstanceMB is the memory of an instance in MB. Default 2,048; 128 to
	// 1,048,576.
	InstanceMB int `json:"instance_mb" koanf:"instance_mb"`
	// Headroom is the share of memory kept free over what is needed, so that a
	// burst finds instances. Default 0.1; 0 to 10.
	Headroom float64 `json:"headroom" koanf:"headroom"`
	// MinInstances and MaxInstances bound a manager's. Defaults 0 and 64.
	MinInstances int `json:"min_instances" koanf:"min_instances"`
	MaxInstances int `json:"max_instances" koanf:"max_instances"`
}

// Default returns the defaults.
func Default() Config {
	return Config{
		Stable: time.Minute, Panic: 6 * time.Second, PanicAt: 2, Beta: 2,
		MaxSandboxes: 1000,
		InstanceMB:   2048, Headroom: 0.1, MaxInstances: 64,
	}
}

// Validate returns an error of KindValidation that names every fault.
func (c Config) Validate() error {
	var faults []string
	within := func(name string, value, least, most float64, unit string) {
		if !(value >= least && value <= most) {
			faults = append(faults, fmt.Sprintf("%s must be from %g to %g%s, not %g", name, least, most, unit, value))
		}
	}
	within("stable", c.Stable.Seconds(), 1, 3600, " s")
	within("panic", c.Panic.Seconds(), c.Stable.Seconds()/buckets, max(c.Stable.Seconds(), 0), " s")
	within("panic_at", c.PanicAt, 1.1, 100, "")
	within("beta", c.Beta, 0, 10, "")
	within("min_sandboxes", float64(c.MinSandboxes), 0, 1e6, "")
	within("max_sandboxes", float64(c.MaxSandboxes), float64(max(1, c.MinSandboxes)), 1e6, "")
	within("instance_mb", float64(c.InstanceMB), 128, 1<<20, " MB")
	within("headroom", c.Headroom, 0, 10, "")
	within("min_instances", float64(c.MinInstances), 0, 1e6, "")
	within("max_instances", float64(c.MaxInstances), float64(max(1, c.MinInstances)), 1e6, "")
	if len(faults) == 0 {
		return nil
	}
	return thermocline.Errorf(thermocline.KindValidation, "autoscale: %s", strings.Join(faults, "; "))
}
