package natsstore

import (
	"context"
	"errors"

	"thermocline"
)

// Delete implements store.Functions. Of a whole function $LATEST goes first and
// decides; its versions count no more from then on.
func (s *Store) Delete(ctx context.Context, id thermocline.FunctionID) error {
	switch id.Version {
	case thermocline.Latest:
		return thermocline.Errorf(thermocline.KindInvalidParameter, "$LATEST version cannot be deleted without deleting the function.")
	case "":
		return s.deleteFunction(ctx, id)
	}
	return s.retry(ctx, func(ctx context.Context) error {
		_, rev, err := s.readFunction(ctx, id)
		if err != nil {
			return err
		}
		return s.removeEntry(ctx, id, rev)
	})
}

func (s *Store) deleteFunction(ctx context.Context, id thermocline.FunctionID) error {
	var incarnation string
	err := s.retry(ctx, func(ctx context.Context) error {
		head, rev, err := s.readFunction(ctx, latestOf(id))
		if err != nil {
			return err
		}
		incarnation = head.Incarnation
		return s.removeEntry(ctx, latestOf(id), rev)
	})
	if err != nil {
		return err
	}
	// The function is gone. What follows is tidiness: if it fails, the next
	// start does it.
	octx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	keys, err := s.functions.bucket.keys(octx, join(id.Account, id.Name)+".*")
	for _, key := range keys {
		version, ok := functionID(key)
		if !ok || version.Version == thermocline.Latest {
			continue
		}
		r, rev, rerr := s.readEntry(octx, version)
		if rerr == nil && r != nil && r.Incarnation == incarnation {
			rerr = s.removeEntry(octx, version, rev)
		}
		if rerr != nil && !errors.Is(rerr, errConflict) {
			err = rerr
		}
	}
	if err != nil {
		s.log.Warn("versions of a deleted function are left over until the next start", "function", id.String(), "error", err)
	}
	return nil
}

func (s *Store) removeEntry(ctx context.Context, id thermocline.FunctionID, expect uint64) error {
	rev, err := s.functions.bucket.remove(ctx, functionKey(id), expect)
	if err != nil {
		return err
	}
	s.functions.cache.remove(id, rev, false)
	return nil
}
