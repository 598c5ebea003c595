package thermocline

import "time"

// Usage is what the history knows of a function at one moment. Rates are in
// invocations per second.
type Usage struct {
	RateMinute   float64 // decayed with a half-life of one minute
	RateHour     float64 // decayed with a half-life of one hour
	CountMinute  float64 // decayed count behind RateMinute
	CountHour    float64 // decayed count behind RateHour
	MeanDuration time.Duration
	Concurrency  float64 // measured: invocations running now, all frontends
	Offered      float64 // Little's law: RateMinute × MeanDuration, in erlangs
	Total        int64   // exact, since the function was first seen
	Last         time.Time
}

// ManagerInfo is what an instance manager announces of itself.
type ManagerInfo struct {
	ID    string `json:"id"`
	Fleet string `json:"fleet"`
	Node  string `json:"node"`
	// Outstanding is the number of invocations accepted and not answered.
	Outstanding int `json:"outstanding"`
	// Slots is how many invocations it could run at once now.
	Slots int `json:"slots"`
	// Partitions are those of its fleet's queue that it leases.
	Partitions []int `json:"partitions,omitempty"`
	Draining   bool  `json:"draining,omitempty"`
}

// SandboxCounts are the sandboxes of a manager by state.
type SandboxCounts struct {
	Starting int `json:"starting"`
	Warming  int `json:"warming"` // booted, not bound
	Idle     int `json:"idle"`    // bound, waiting
	Busy     int `json:"busy"`
	Draining int `json:"draining"`
}

// ManagerStatus is a manager with its insides, for people to look at.
type ManagerStatus struct {
	ManagerInfo
	Instances []InstanceStatus `json:"instances"`
	Sandboxes SandboxCounts    `json:"sandboxes"`
	Queued    int              `json:"queued"`
}

// InstanceStatus is one instance of a manager.
type InstanceStatus struct {
	ID        string `json:"id"`
	Provider  string `json:"provider"`
	MemoryMB  int    `json:"memory_mb"`
	UsedMB    int    `json:"used_mb"` // promised to sandboxes
	Sandboxes int    `json:"sandboxes"`
}
