package natsstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
)

const loadTimeout = 5 * time.Second // of one snapshot

// SaveHistory implements store.Histories.
func (s *Store) SaveHistory(ctx context.Context, slot string, snapshot []byte) error {
	if slot == "" || len(slot) > maxToken {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a history's slot: %q", slot)
	}
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	unlock, err := s.putting.lock(ctx, "history:"+slot)
	if err != nil {
		return wrap(err)
	}
	defer unlock()
	for {
		e, err := s.histories.stat(ctx, slot)
		if err == nil {
			err = s.histories.put(ctx, slot, snapshot, e)
		}
		if !errors.Is(err, errConflict) {
			return wrap(err)
		}
	}
}

// LoadHistories implements store.Histories. It also removes what cut-off saves
// left over. A snapshot that cannot be read is left out: counts are rebuilt, and
// a start is worth more.
func (s *Store) LoadHistories(ctx context.Context) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	entries, err := s.histories.list(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	all := make(map[string][]byte, len(entries))
	for _, e := range entries {
		b, err := s.loadHistory(ctx, e.info.Name)
		switch {
		case err == nil:
			all[e.info.Name] = b
		case errors.Is(err, jetstream.ErrObjectNotFound): // removed meanwhile
		case ctx.Err() != nil:
			return nil, wrap(err)
		default:
			s.log.Warn("a stored history cannot be read", "slot", e.info.Name, "error", err)
		}
	}
	if err := s.histories.sweep(ctx, s.now().Add(-objectTimeout)); err != nil {
		s.log.Warn("left-over parts of histories could not be removed", "error", err)
	}
	return all, nil
}

// loadHistory does not wait for long: the reading of an object that lost a chunk
// (they are not synced) never ends by itself.
func (s *Store) loadHistory(ctx context.Context, slot string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return s.histories.obs.GetBytes(ctx, slot)
}

// DeleteHistory implements store.Histories.
func (s *Store) DeleteHistory(ctx context.Context, slot string) error {
	return s.retry(ctx, func(ctx context.Context) error {
		e, err := s.histories.stat(ctx, slot)
		if err != nil || !e.there() {
			return err
		}
		return s.histories.remove(ctx, e)
	})
}
