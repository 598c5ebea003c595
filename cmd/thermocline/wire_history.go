package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"thermocline/fleet"
	"thermocline/history"
)

const (
	historyEvery    = time.Second // what a crash may lose
	snapshotEvery   = 60          // in historyEvery
	historyTimeout  = 5 * time.Second
	gossipBytes     = 512 << 10
	gossipSubject   = "thermocline.history"
	fleetsSlot      = "fleets." // and the node's id
	deltaSeparator  = "~"       // slot~12: the delta of second 12 since the snapshot
	gossipQueueSize = 4096
)

// startHistory loads the usage history and who is in which fleet, then keeps
// both saved in the background.
func (n *node) startHistory(ctx context.Context) error {
	fleets, err := fleet.New(n.cfg.fleetConfig())
	if err != nil {
		return err
	}
	n.fleets = fleets
	n.history = history.New(history.Options{Slot: fmt.Sprintf("%s.%d", n.id, time.Now().UnixNano())})
	saved, err := n.store.LoadHistories(ctx)
	if err != nil {
		return err
	}
	now := n.policyNow()
	for slot, raw := range saved {
		if strings.HasPrefix(slot, fleetsSlot) {
			err = fleets.Restore(raw, now)
		} else {
			err = n.history.Load(raw, now)
		}
		if err != nil {
			n.log.Warn("a part of the usage history could not be read and is left out", "slot", slot, "error", err)
		}
	}
	if err := n.saveSnapshot(ctx, saved); err != nil {
		return err
	}
	// What does not fit is dropped: gossip may be lost.
	gossip := make(chan *nats.Msg, gossipQueueSize)
	sub, err := n.nc.ChanSubscribe(gossipSubject, gossip)
	if err != nil {
		return err
	}
	n.run("history", func(ctx context.Context) error {
		defer func() { _ = sub.Unsubscribe() }()
		return n.keepHistory(ctx, gossip)
	})
	return nil
}

// keepHistory saves and gossips until ctx ends, and saves once more then.
func (n *node) keepHistory(ctx context.Context, gossip <-chan *nats.Msg) error {
	tick := time.NewTicker(historyEvery)
	defer tick.Stop()
	for second := 1; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.Background(), historyTimeout)
			defer cancel()
			if err := n.saveSnapshot(last, nil); err != nil {
				n.log.Warn("the usage history was not saved", "error", err)
			}
			return nil
		case m := <-gossip:
			if err := n.history.Merge(m.Data, n.policyNow()); err != nil {
				n.log.Debug("gossip was refused", "error", err)
			}
		case <-tick.C:
			if err := n.saveTick(ctx, second); err != nil && ctx.Err() == nil {
				n.log.Warn("the usage history was not saved", "error", err)
			}
			second = second%snapshotEvery + 1
		}
	}
}

// saveTick publishes what changed and saves it: as a delta, and once in a while
// all of it.
func (n *node) saveTick(ctx context.Context, second int) error {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	delta, _ := n.history.Changed(n.policyNow(), gossipBytes)
	if err := n.nc.Publish(gossipSubject, delta); err != nil {
		return err
	}
	if second == snapshotEvery {
		return n.saveSnapshot(ctx, nil)
	}
	unsaved, functions := n.history.Unsaved(n.policyNow())
	if functions == 0 {
		return nil
	}
	return n.store.SaveHistory(ctx, fmt.Sprint(n.history.Slot(), deltaSeparator, second), unsaved)
}

// saveSnapshot takes over the slots of earlier incarnations, saves everything,
// and only then deletes what it took over. stored are the slots known to be
// stored.
func (n *node) saveSnapshot(ctx context.Context, stored map[string][]byte) error {
	now := n.policyNow()
	absorbed := n.history.Compact(now)
	all := n.history.Snapshot(now)
	if err := n.store.SaveHistory(ctx, n.history.Slot(), all); err != nil {
		return err
	}
	// Makes good lost gossip, and tells the others which slots were taken over.
	// Beyond the largest message they learn it from the store when they start.
	if int64(len(all)) < n.nc.MaxPayload() {
		if err := n.nc.Publish(gossipSubject, all); err != nil {
			return err
		}
	}
	if err := n.store.SaveHistory(ctx, fleetsSlot+n.id, n.fleets.Snapshot()); err != nil {
		return err
	}
	for _, gone := range absorbed {
		for slot := range stored {
			if slot == gone || strings.HasPrefix(slot, gone+deltaSeparator) {
				if err := n.store.DeleteHistory(ctx, slot); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// policyNow is the time for the policies.
func (n *node) policyNow() time.Time { return n.pace.Policy(time.Now()) }
