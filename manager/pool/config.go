package pool

import (
	"time"

	"thermocline"
)

// Config tunes a pool. The zero value of a field means its default.
type Config struct {
	// KeepAlive is how long an idle sandbox waits for its function to be called
	// again, and one of the warming pool for any. Default 10 minutes.
	KeepAlive time.Duration
	// KeepAliveMin and KeepAliveMax bound the keep-alive of functions whose
	// idle times are known well (see keepAlive). Defaults: KeepAlive, so that
	// it only ever grows, and 4 hours. A smaller KeepAliveMin saves memory and
	// costs cold starts: about one in a hundred calls of such a function.
	KeepAliveMin, KeepAliveMax time.Duration
	// Fixed keeps every sandbox for KeepAlive, whatever its function does.
	Fixed bool
	// InstanceIdle is how long an instance without sandboxes is kept. Default 1
	// minute.
	InstanceIdle time.Duration

	// WarmMB bounds the memory of the warming pool in MB. Default an eighth of
	// the instances' memory; negative: nothing is warmed.
	WarmMB int
	// Spares are sandboxes that wait booted in any case, within WarmMB and what
	// is free. Default none.
	Spares []Spare

	// MaxFunctions bounds the functions without sandboxes whose idle times are
	// remembered, about 500 bytes each. Default 50,000.
	MaxFunctions int
}

// Defaults returns c with its zero fields filled in.
func (c Config) Defaults() Config {
	if c.KeepAlive == 0 {
		c.KeepAlive = 10 * time.Minute
	}
	if c.KeepAliveMin == 0 {
		c.KeepAliveMin = c.KeepAlive
	}
	if c.KeepAliveMax == 0 {
		c.KeepAliveMax = max(c.KeepAlive, 4*time.Hour)
	}
	if c.InstanceIdle == 0 {
		c.InstanceIdle = time.Minute
	}
	if c.MaxFunctions == 0 {
		c.MaxFunctions = 50_000
	}
	return c
}

// Need is what an invocation needs of a sandbox.
type Need struct {
	Function   thermocline.FunctionID
	Generation int64 // a sandbox of an older one is never used
	Runtime    string
	MemoryMB   int
	// Late says that the function can be bound to a sandbox that runs already.
	// It cannot when its environment holds what an interpreter reads at start.
	Late bool
	// NoEvict asks for Refuse rather than an eviction to make room: the manager
	// can have another instance.
	NoEvict bool
	// Ahead says that no invocation waits for the sandbox; see Pool.Ahead.
	Ahead bool
}
