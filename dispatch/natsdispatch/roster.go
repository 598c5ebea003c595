package natsdispatch

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/dispatch"
)

// announcement is what a manager writes under its key in the bucket.
type announcement struct {
	thermocline.ManagerInfo
	Incarnation string `json:"incarnation"`
}

type member struct {
	announcement
	seen time.Time
}

// roster is who is there, as the bucket says. It follows a watch; an
// announcement whose expiry the watch has missed goes after two leases.
type roster struct {
	link *link

	mu      sync.RWMutex
	members map[string]*member                      // by manager
	gone    map[string]time.Time                    // incarnations that left, for a minute
	changed chan struct{}                           // closed and replaced when somebody comes or goes
	lessees map[string]*[dispatch.Partitions]string // by fleet, since the last change
}

func newRoster(l *link) *roster {
	return &roster{link: l, members: map[string]*member{}, gone: map[string]time.Time{}, changed: make(chan struct{})}
}

// managers returns who is there, by id.
func (r *roster) managers() []thermocline.ManagerInfo {
	r.mu.RLock()
	defer r.mu.RUnlock()
	infos := make([]thermocline.ManagerInfo, 0, len(r.members))
	for _, m := range r.members {
		infos = append(infos, m.ManagerInfo)
	}
	slices.SortFunc(infos, func(a, b thermocline.ManagerInfo) int { return strings.Compare(a.ID, b.ID) })
	return infos
}

// change returns a channel that is closed when somebody comes or goes next.
func (r *roster) change() <-chan struct{} {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changed
}

// lost returns since when an incarnation is not there, false while it is.
func (r *roster) lost(manager, incarnation string) (since time.Time, known, lost bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if m := r.members[manager]; m != nil && m.Incarnation == incarnation {
		return time.Time{}, true, false
	}
	since, known = r.gone[incarnation]
	return since, known, true
}

// update notes the load that an answer told.
func (r *roster) update(l load) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[l.manager]; m != nil && m.Incarnation == l.incarnation {
		m.Outstanding, m.Slots = l.outstanding, l.slots
		if l.draining && !m.Draining {
			m.Draining = true
			r.broadcast()
		}
	}
}

// run follows the bucket until ctx ends. ready is called once, when the first
// state is complete.
func (r *roster) run(ctx context.Context, ready func()) {
	once := sync.Once{}
	for ctx.Err() == nil {
		if err := r.watch(ctx, func() { once.Do(ready) }); err != nil && ctx.Err() == nil {
			r.link.opts.Logger.Warn("cannot watch the managers' announcements", "error", err)
			if err := r.link.setup(ctx); err != nil && ctx.Err() == nil {
				r.link.opts.Logger.Warn("cannot set up streams", "error", err)
			}
			pause(ctx, time.Second)
		}
	}
}

// watch follows the bucket until ctx ends or the server may have forgotten the
// watch: after a reconnection, and when it has been silent for long.
func (r *roster) watch(ctx context.Context, ready func()) error {
	w, err := r.link.kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	tick := time.NewTicker(r.link.opts.Heartbeat)
	defer tick.Stop()
	epoch := r.link.epoch()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return nil
			}
			last = time.Now()
			if e == nil {
				ready()
			} else {
				r.apply(e)
			}
		case now := <-tick.C:
			if !r.link.nc.IsConnected() {
				last = now
			}
			r.expire(now, now.Add(-2*r.link.opts.Lease), r.link.nc.IsConnected())
			if now.Sub(last) > 3*r.link.opts.Lease || r.link.epoch() != epoch {
				return nil
			}
		}
	}
}

func (r *roster) apply(e jetstream.KeyValueEntry) {
	_, id, _ := strings.Cut(e.Key(), ".")
	if e.Operation() != jetstream.KeyValuePut {
		r.remove(id)
		return
	}
	var a announcement
	if err := json.Unmarshal(e.Value(), &a); err != nil || a.ID != id {
		r.link.opts.Logger.Warn("malformed announcement", "manager", id)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.members[id]
	r.members[id] = &member{announcement: a, seen: time.Now()}
	if old != nil && old.Incarnation != a.Incarnation {
		r.gone[old.Incarnation] = time.Now()
	}
	if old == nil || old.Draining != a.Draining || old.Incarnation != a.Incarnation || !slices.Equal(old.Partitions, a.Partitions) {
		r.broadcast()
	}
}

func (r *roster) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[id]; m != nil {
		delete(r.members, id)
		r.gone[m.Incarnation] = time.Now()
		r.broadcast()
	}
}

// expire removes the members not seen since before. While the connection is
// down nothing is known, so everybody is taken as seen.
func (r *roster) expire(now, before time.Time, connected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if !connected {
			m.seen = now
		} else if m.seen.Before(before) {
			delete(r.members, id)
			r.gone[m.Incarnation] = now
			r.broadcast()
		}
	}
	for i, t := range r.gone {
		if now.Sub(t) > time.Minute {
			delete(r.gone, i)
		}
	}
}

// broadcast needs r.mu.
func (r *roster) broadcast() {
	close(r.changed)
	r.changed = make(chan struct{})
	r.lessees = nil
}

// serving returns the incarnation of a manager that takes requests, "" when it
// is not there or drains.
func (r *roster) serving(manager string) (incarnation string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if m := r.members[manager]; m != nil && !m.Draining {
		return m.Incarnation
	}
	return ""
}

// lessee returns who leases a partition, "" when nobody does.
func (r *roster) lessee(fleet string, partition int) string {
	r.mu.RLock()
	of := r.lessees[fleet]
	r.mu.RUnlock()
	if of != nil {
		return of[partition]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	infos := make([]thermocline.ManagerInfo, 0, len(r.members))
	for _, m := range r.members {
		infos = append(infos, m.ManagerInfo)
	}
	computed := dispatch.Lessees(infos, fleet)
	if r.lessees == nil {
		r.lessees = map[string]*[dispatch.Partitions]string{}
	}
	r.lessees[fleet] = &computed
	return computed[partition]
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
