package manager

import (
	"time"

	"thermocline"
	"thermocline/manager/pool"
)

// paced is the pool at the policies' pace: the manager speaks of the clock's
// time, and this translates. A test holds it to translate every method of the
// pool that has to do with time.
type paced struct {
	*pool.Pool
	pace thermocline.Pace
}

func (p paced) Acquire(n pool.Need, now time.Time) pool.Decision {
	return p.Pool.Acquire(n, p.pace.Policy(now))
}

func (p paced) Prepare(n pool.Need, now time.Time) pool.Decision {
	return p.Pool.Prepare(n, p.pace.Policy(now))
}

func (p paced) Ahead(now time.Time) []pool.Need { return p.Pool.Ahead(p.pace.Policy(now)) }

func (p paced) Refill(now time.Time) []pool.Spare { return p.Pool.Refill(p.pace.Policy(now)) }

func (p paced) Add(id, instance string, n pool.Need, now time.Time) bool {
	return p.Pool.Add(id, instance, n, p.pace.Policy(now))
}

func (p paced) Started(id string, cost time.Duration) { p.Pool.Started(id, p.pace.Stretch(cost)) }

func (p paced) Release(id string, newest int64, now time.Time) bool {
	return p.Pool.Release(id, newest, p.pace.Policy(now))
}

func (p paced) Unbind(id string, now time.Time) { p.Pool.Unbind(id, p.pace.Policy(now)) }

func (p paced) Evict(id string, now time.Time) bool { return p.Pool.Evict(id, p.pace.Policy(now)) }

func (p paced) Remove(id string, now time.Time) { p.Pool.Remove(id, p.pace.Policy(now)) }

func (p paced) Retire(id thermocline.FunctionID, newest int64, now time.Time) []string {
	return p.Pool.Retire(id, newest, p.pace.Policy(now))
}

func (p paced) Forget(id thermocline.FunctionID, now time.Time) []string {
	return p.Pool.Forget(id, p.pace.Policy(now))
}

func (p paced) Expire(now time.Time) []string { return p.Pool.Expire(p.pace.Policy(now)) }

func (p paced) Scale(now time.Time) int { return p.Pool.Scale(p.pace.Policy(now)) }

func (p paced) Next() time.Time { return p.pace.Clock(p.Pool.Next()) }

func (p paced) AddInstance(id string, memoryMB int, now time.Time) {
	p.Pool.AddInstance(id, memoryMB, p.pace.Policy(now))
}

func (p paced) RemoveInstance(id string, now time.Time) []string {
	return p.Pool.RemoveInstance(id, p.pace.Policy(now))
}

func (p paced) DrainInstance(id string, now time.Time) []string {
	return p.Pool.DrainInstance(id, p.pace.Policy(now))
}

func (p paced) IdleInstances(now time.Time) []string {
	return p.Pool.IdleInstances(p.pace.Policy(now))
}

// KeepAlive is in the policies' time.
func (p paced) KeepAlive(id thermocline.FunctionID, now time.Time) time.Duration {
	return p.Pool.KeepAlive(id, p.pace.Policy(now))
}

func (p paced) Offer() (pool.Offer, bool) {
	o, ok := p.Pool.Offer()
	if !o.Used.IsZero() {
		o.Used = p.pace.Clock(o.Used)
	}
	return o, ok
}
