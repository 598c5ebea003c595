package natsstore

import (
	"context"
	"errors"

	"thermocline"
)

// repair removes what crashes have left over: versions whose function is gone
// or is another one of the same name, and keys whose account is gone. Nobody
// sees either, so nothing waits for it. Each is looked at again in the store
// just before and removed by its revision: what another node is about to write
// is never hit.
func (s *Store) repair(ctx context.Context) {
	n, err := s.repairFunctions(ctx)
	if m, kerr := s.repairKeys(ctx); kerr != nil || m > 0 {
		n, err = n+m, errors.Join(err, kerr)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("what a crash left over could not be removed", "error", err)
	}
	if n > 0 {
		s.log.Info("what a crash left over was removed", "entries", n)
	}
}

func (s *Store) repairFunctions(ctx context.Context) (removed int, err error) {
	var suspects []thermocline.FunctionID
	c := s.functions.cache
	c.mu.RLock()
	for id := range c.slots {
		r, ok := c.at(id)
		if !ok || id.Version == thermocline.Latest {
			continue
		}
		if head, ok := c.at(latestOf(id)); !ok || head.Incarnation != r.Incarnation {
			suspects = append(suspects, id)
		}
	}
	c.mu.RUnlock()
	for _, id := range suspects {
		ok, rerr := s.repairVersion(ctx, id)
		if rerr != nil {
			err = rerr
		} else if ok {
			removed++
		}
	}
	return removed, err
}

func (s *Store) repairVersion(ctx context.Context, id thermocline.FunctionID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	// The version first: if its function is made after this, it is another one.
	r, rev, err := s.readEntry(ctx, id)
	if err != nil || r == nil {
		return false, err
	}
	head, _, err := s.readEntry(ctx, latestOf(id))
	if err != nil || head != nil && head.Incarnation == r.Incarnation {
		return false, err
	}
	err = s.removeEntry(ctx, id, rev)
	if errors.Is(err, errConflict) {
		return false, nil
	}
	return err == nil, err
}

func (s *Store) repairKeys(ctx context.Context) (removed int, err error) {
	var suspects []string
	s.identity.keys.mu.RLock()
	for id := range s.identity.keys.slots {
		if k, ok := s.identity.keys.at(id); ok {
			if _, ok := s.identity.accounts.get(k.Account); !ok {
				suspects = append(suspects, id)
			}
		}
	}
	s.identity.keys.mu.RUnlock()
	for _, id := range suspects {
		ok, rerr := s.repairKey(ctx, keyKey(id))
		if rerr != nil {
			err = rerr
		} else if ok {
			removed++
		}
	}
	return removed, err
}

func (s *Store) repairKey(ctx context.Context, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	it, err := s.identity.bucket.get(ctx, name)
	if err != nil || it.deleted {
		return false, err
	}
	k, err := s.decodeKey(name, it.value)
	if err != nil {
		return false, err
	}
	account, err := s.identity.bucket.get(ctx, accountKey(k.Account))
	if err != nil || !account.deleted {
		return false, err
	}
	err = s.removeKey(ctx, name, it.rev)
	if errors.Is(err, errConflict) {
		return false, nil
	}
	return err == nil, err
}
