package natsdispatch

import "sync/atomic"

// admission bounds what is in flight by number and by bytes. It never waits.
type admission struct {
	maxBytes, maxCount int64
	bytes, count       atomic.Int64
}

// take admits something of n bytes; false when there is no room.
func (a *admission) take(n int64) bool {
	if a.count.Add(1) > a.maxCount {
		a.count.Add(-1)
		return false
	}
	if a.bytes.Add(n) > a.maxBytes {
		a.bytes.Add(-n)
		a.count.Add(-1)
		return false
	}
	return true
}

// grow adds to what an admitted one holds, beyond the bound if need be: it is
// there already. n may be negative.
func (a *admission) grow(n int64) { a.bytes.Add(n) }

// release gives back one of n bytes.
func (a *admission) release(n int64) {
	a.bytes.Add(-n)
	a.count.Add(-1)
}
