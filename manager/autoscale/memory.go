package autoscale

import (
	"math"
	"time"
)

// Demand is the sandboxes that a function should have, and their size.
type Demand struct {
	Sandboxes int
	MemoryMB  int
}

// Memory scales the instances of one manager.
type Memory struct {
	c *Config
	w window
}

// NewMemory returns the scaling of a manager that needs nothing yet. c must be
// valid and is not copied.
func NewMemory(c *Config, now time.Time) *Memory {
	return &Memory{c: c, w: newWindow(c.Stable, now)}
}

// Observe notes what is needed from now on.
func (m *Memory) Observe(demands []Demand, now time.Time) {
	total := 0.0
	for _, d := range demands {
		total += float64(max(0, d.Sandboxes)) * float64(max(0, d.MemoryMB))
	}
	m.w.set(total, now.UnixNano())
}

// MemoryWish is how much memory a manager should hold.
type MemoryWish struct {
	NeededMB  int // the stable window's peak, without headroom
	MemoryMB  int // of Instances instances
	Instances int
}

// Wish returns the memory that the manager should hold: the peak of the stable
// window and the headroom, in whole instances. A manager that has more drains
// those that are empty, or emptiest.
func (m *Memory) Wish(now time.Time) MemoryWish {
	_, peak := m.w.over(buckets, now.UnixNano())
	n := math.Ceil(peak * (1 + m.c.Headroom) / float64(m.c.InstanceMB))
	instances := int(min(max(n, float64(m.c.MinInstances)), float64(m.c.MaxInstances)))
	return MemoryWish{NeededMB: int(peak), Instances: instances, MemoryMB: instances * m.c.InstanceMB}
}
