package pool

import (
	"time"

	"thermocline"
	"thermocline/manager/autoscale"
)

// Config tunes a pool. The zero value of a field means its default.
type Config struct {
	// Worth is the price of a cold start: how much memory may wait how long to
	// save one, in GB·s. Default 400, for which 128 MB may wait for 52 minutes.
	// It decides how long idle sandboxes are kept (plan.go).
	Worth float64
	// Bin is the resolution at which idle times are learned; four hours at the
	// default of 1 minute, 240 bins in all, are looked ahead.
	Bin time.Duration
	// KeepAliveMin is how long a function's last sandbox is kept at least while
	// little is known of its idle times. Default 5 bins. KeepAliveMax bounds how
	// long any is kept. Default 240 bins.
	KeepAliveMin, KeepAliveMax time.Duration
	// KeepAlive is how long a sandbox of the warming pool waits for anybody,
	// and, if Fixed is set, every idle one for its function. Default 10 minutes.
	KeepAlive time.Duration
	// Fixed keeps every sandbox for KeepAlive, whatever its function does.
	Fixed bool
	// Slots is how many invocations an instance may run at once; 0: as many as
	// its memory holds.
	Slots int
	// Staff, when not nil, has a function whose sandboxes did not do get as many
	// more as its concurrency asks for (see autoscale), before they are called.
	Staff *autoscale.Config
	// InstanceIdle is how long an instance without sandboxes is kept. Default 1
	// minute.
	InstanceIdle time.Duration

	// WarmMB bounds the memory of the warming pool in MB. Default an eighth of
	// the instances' memory, and at least that of the Spares; negative: nothing
	// is warmed.
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
	if c.Worth == 0 {
		c.Worth = 400
	}
	if c.Bin == 0 {
		c.Bin = time.Minute
	}
	if c.KeepAliveMin == 0 {
		c.KeepAliveMin = 5 * c.Bin
	}
	if c.KeepAliveMax == 0 {
		c.KeepAliveMax = binCount * c.Bin
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
	// ClassMB is the memory class of the warming pool in which the function
	// finds its sandboxes; 0: MemoryMB.
	ClassMB int
	// Late says that the function can be bound to a sandbox that runs already.
	// It cannot when its environment holds what an interpreter reads at start.
	Late bool
	// NoEvict asks for Refuse rather than an eviction to make room: the manager
	// can have another instance.
	NoEvict bool
	// NoWait asks for a start rather than Wait.
	NoWait bool
	// Guest says that the invocation belongs to another fleet, whose managers
	// have no room. It gets room that nobody uses, and evicts nothing.
	Guest bool
	// Ahead says that no invocation waits for the sandbox; see Pool.Ahead.
	Ahead bool
}

// classMB is the memory of a sandbox of the warming pool for n.
func (n *Need) classMB() int {
	if n.ClassMB > 0 {
		return n.ClassMB
	}
	return n.MemoryMB
}
