package natsdispatch

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/dispatch"
)

// lease is a manager's announcement with the partitions that go with it.
type lease struct {
	kicks     chan struct{} // capacity 1: look again now
	known     chan struct{} // closed when the roster knows the other managers
	withdrawn chan struct{} // closed when a draining announcement is out
	once      sync.Once

	failing bool // the last renewal failed; belongs to keepLease

	mu        sync.Mutex
	revision  uint64 // of our last announcement; 0: none yet
	displaced bool   // another incarnation announces our id
	partition map[int]*partition
}

func (l *lease) init() {
	l.kicks = make(chan struct{}, 1)
	l.known = make(chan struct{})
	l.withdrawn = make(chan struct{})
	l.partition = map[int]*partition{}
}

// kick makes keepLease look at once.
func (l *lease) kick() {
	select {
	case l.kicks <- struct{}{}:
	default:
	}
}

func (l *lease) awaitWithdrawn(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.withdrawn:
	case <-t.C:
	}
}

// keepLease renews the announcement at every heartbeat and follows the other
// managers: it takes the partitions that become this manager's and gives up
// those that do not stay. It ends with the service, without partitions.
func (v *service) keepLease(ctx context.Context) {
	tick := time.NewTicker(v.link.opts.Heartbeat)
	defer tick.Stop()
	select {
	case <-v.lease.known:
	case <-v.lease.kicks: // stopping already
	case <-ctx.Done():
		return
	}
	v.renew(ctx) // now, so that the others make room while this one opens
	for {
		changed := v.roster.change()
		if v.adjust(ctx) {
			v.renew(ctx)
		}
		select {
		case <-changed:
		case <-v.lease.kicks:
		case <-tick.C:
			v.renew(ctx)
			v.mend(ctx)
		case <-ctx.Done():
			v.closePartitions(nil)
			return
		}
	}
}

// renew announces, and logs a failure when it begins: the next heartbeat tries
// again. Only keepLease calls it.
func (v *service) renew(ctx context.Context) {
	err := v.announce(ctx)
	if err != nil && !v.lease.failing && ctx.Err() == nil && !v.link.nc.IsClosed() {
		v.link.opts.Logger.Warn("cannot renew the manager's lease", "manager", v.id, "error", err)
	}
	v.lease.failing = err != nil
}

// adjust opens and closes partitions so that they are those that the roster
// gives to this manager, and reports whether that changed something.
func (v *service) adjust(ctx context.Context) (changed bool) {
	mine := v.wanted()
	if v.stopping.Load() {
		select {
		case <-v.lease.withdrawn:
		default:
			changed = true
		}
	}
	if v.closePartitions(mine) {
		changed = true
	}
	var wg sync.WaitGroup
	limit := make(chan struct{}, 8)
	for p := range mine {
		if v.lease.has(p) || ctx.Err() != nil {
			continue
		}
		changed = true
		part := newPartition(v, p)
		v.lease.mu.Lock()
		v.lease.partition[p] = part
		v.lease.mu.Unlock()
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			part.open(ctx)
		})
	}
	wg.Wait()
	return changed
}

// wanted returns the partitions that the roster gives to this manager.
func (v *service) wanted() map[int]bool {
	v.lease.mu.Lock()
	displaced := v.lease.displaced
	v.lease.mu.Unlock()
	info := v.h.Info()
	if v.stopping.Load() || displaced || info.Draining {
		return nil
	}
	live := slices.DeleteFunc(v.roster.managers(), func(m thermocline.ManagerInfo) bool { return m.ID == v.id })
	live = append(live, thermocline.ManagerInfo{ID: v.id, Fleet: v.fleet})
	mine := map[int]bool{}
	for p, id := range dispatch.Lessees(live, v.fleet) {
		if id == v.id {
			mine[p] = true
		}
	}
	return mine
}

func (l *lease) has(p int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.partition[p] != nil
}

// held returns the open partitions.
func (l *lease) held() []*partition {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*partition, 0, len(l.partition))
	for _, p := range l.partition {
		all = append(all, p)
	}
	return all
}

// closePartitions closes all partitions but those of keep.
func (v *service) closePartitions(keep map[int]bool) (changed bool) {
	var wg sync.WaitGroup
	for _, p := range v.lease.held() {
		if keep[p.n] {
			continue
		}
		changed = true
		v.lease.mu.Lock()
		delete(v.lease.partition, p.n)
		v.lease.mu.Unlock()
		wg.Go(p.close)
	}
	wg.Wait()
	return changed
}

// mend lets every partition look after its pulls.
func (v *service) mend(ctx context.Context) {
	for _, p := range v.lease.held() {
		p.mend(ctx)
	}
	v.events.schedule()
}

// announce writes this manager's state under its key, valid for one lease.
//
// A key's lease ends for good when it is renewed with Put or Update: NATS
// keeps a message's expiry with the message. So each renewal is a message of
// its own, with an expiry, that must follow our last one.
func (v *service) announce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, v.link.opts.Lease)
	defer cancel()
	stopping := v.stopping.Load()
	v.lease.mu.Lock()
	defer v.lease.mu.Unlock()
	a := announcement{ManagerInfo: v.h.Info(), Incarnation: v.incarnation}
	a.Draining = a.Draining || stopping
	a.Partitions = nil
	if !a.Draining {
		for p := range v.lease.partition {
			a.Partitions = append(a.Partitions, p)
		}
		slices.Sort(a.Partitions)
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if v.lease.displaced {
		err = v.reclaim(ctx)
	}
	if err == nil {
		err = v.put(ctx, data)
	}
	if isWrongSequence(err) {
		// Our last announcement expired (we were stalled), or somebody else
		// uses our id.
		if err = v.reclaim(ctx); err == nil {
			err = v.put(ctx, data)
		}
	}
	if stopping && (err == nil || v.lease.displaced) {
		v.lease.once.Do(func() { close(v.lease.withdrawn) })
	}
	return err
}

// put needs lease.mu, which guards nothing that others wait for long: it is
// held for one announcement at a time.
func (v *service) put(ctx context.Context, data []byte) error {
	opts := []jetstream.PublishOpt{jetstream.WithMsgTTL(v.link.opts.Lease), jetstream.WithRetryAttempts(0)}
	if v.lease.revision > 0 {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(v.lease.revision))
	}
	msg := &nats.Msg{Subject: "$KV." + v.link.names.bucket() + "." + v.link.names.key(v.fleet, v.id), Data: data}
	ack, err := v.link.js.PublishMsg(ctx, msg, opts...)
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		if err := v.link.setup(ctx); err != nil {
			return err
		}
		v.lease.revision = 0
		return errors.New("the bucket of managers was made again")
	}
	if err != nil {
		return err
	}
	v.lease.revision = ack.Sequence
	return nil
}

var errDisplaced = errors.New("another manager announces the same id")

// reclaim finds out whether the key is free or ours; then the next put needs
// to follow nothing. Needs lease.mu.
func (v *service) reclaim(ctx context.Context) error {
	e, err := v.link.kv.Get(ctx, v.link.names.key(v.fleet, v.id))
	v.lease.displaced = false
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		v.lease.revision = 0
		return nil
	case err != nil:
		return err
	}
	var a announcement
	if json.Unmarshal(e.Value(), &a) == nil && a.Incarnation != v.incarnation {
		v.lease.displaced = true
		return errDisplaced
	}
	v.lease.revision = e.Revision()
	return nil
}

// leave removes the key: what this manager had accepted is answered.
func (v *service) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), v.link.opts.Lease)
	defer cancel()
	v.lease.mu.Lock()
	defer v.lease.mu.Unlock()
	if v.lease.displaced || v.lease.revision == 0 {
		return
	}
	purge := func() error {
		return v.link.kv.Purge(ctx, v.link.names.key(v.fleet, v.id), jetstream.LastRevision(v.lease.revision), jetstream.PurgeTTL(time.Minute))
	}
	err := purge()
	if isWrongSequence(err) {
		// A renewal was stored whose confirmation never came, perhaps.
		if err = v.reclaim(ctx); err == nil && v.lease.revision > 0 {
			err = purge()
		}
	}
	if err != nil && !v.link.nc.IsClosed() {
		v.link.opts.Logger.Warn("cannot withdraw the manager's lease; it expires", "manager", v.id, "error", err)
	}
}

func isWrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
