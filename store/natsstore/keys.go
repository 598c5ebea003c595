package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"thermocline"
	"thermocline/store"
)

func (s *Store) decodeKey(place string, value []byte) (store.Key, error) {
	var r keyRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return store.Key{}, fmt.Errorf("decode an access key: %w", err)
	}
	if r.Version != recordVersion {
		return store.Key{}, fmt.Errorf("decode an access key: it has layout %d, this program knows %d", r.Version, recordVersion)
	}
	secret, err := s.sealer.open(place, r.Secret)
	if err != nil {
		return store.Key{}, fmt.Errorf("decode an access key: %w", err)
	}
	r.Key.Secret = string(secret)
	return r.Key, nil
}

// PutKey implements store.Accounts.
func (s *Store) PutKey(ctx context.Context, k store.Key) error { return s.writeKey(ctx, k, true) }

// CreateKey implements store.Accounts.
func (s *Store) CreateKey(ctx context.Context, k store.Key) error { return s.writeKey(ctx, k, false) }

// writeKey stores a key; one that is there already only if replace.
func (s *Store) writeKey(ctx context.Context, k store.Key, replace bool) error {
	if k.ID == "" || len(k.ID) > maxToken {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not an access key id: %q", k.ID)
	}
	k.Created = k.Created.Round(0).UTC()
	return s.retry(ctx, func(ctx context.Context) error {
		account, err := s.storedAccount(ctx, k.Account)
		switch {
		case err != nil:
			return err
		case account == nil:
			return noAccount(k.Account)
		case account.Closing != "" && !replace:
			return thermocline.Errorf(thermocline.KindConflict, "The account %s is being deleted.", k.Account)
		}
		it, err := s.identity.bucket.get(ctx, keyKey(k.ID))
		if err != nil {
			return err
		}
		if !replace && !it.deleted {
			if taken, err := s.isTaken(ctx, it); err != nil {
				return err
			} else if taken {
				return thermocline.Errorf(thermocline.KindConflict, "The access key %s exists already.", k.ID)
			}
		}
		return s.storeKey(ctx, k, it.rev)
	})
}

// isTaken reports whether a stored key counts: those of an account that is gone
// are left over.
func (s *Store) isTaken(ctx context.Context, it item) (bool, error) {
	k, err := s.decodeKey(it.key, it.value)
	if err != nil {
		return true, nil // whatever it is, it is not ours to replace
	}
	owner, err := s.storedAccount(ctx, k.Account)
	return owner != nil, err
}

// storedAccount reads an account from the store itself; nil when there is none.
func (s *Store) storedAccount(ctx context.Context, id string) (*store.Account, error) {
	it, err := s.identity.bucket.get(ctx, accountKey(id))
	if err != nil || it.deleted {
		return nil, err
	}
	a, err := decodeAccount(it.value)
	return &a, err
}

// storeKey writes a key if its entry still has the revision.
func (s *Store) storeKey(ctx context.Context, k store.Key, expect uint64) error {
	place := keyKey(k.ID)
	value, err := json.Marshal(keyRecord{Version: recordVersion, Key: k, Secret: s.sealer.seal(place, []byte(k.Secret))})
	if err != nil {
		return err
	}
	rev, err := s.identity.bucket.put(ctx, place, value, expect)
	if err == nil {
		s.identity.keys.set(k.ID, k, rev)
	}
	return err
}

// storedKey reads a key of an account from the store itself.
func (s *Store) storedKey(ctx context.Context, account, id string) (store.Key, uint64, error) {
	if id == "" || len(id) > maxToken {
		return store.Key{}, 0, noKey(id)
	}
	it, err := s.identity.bucket.get(ctx, keyKey(id))
	if err != nil {
		return store.Key{}, 0, err
	}
	if it.deleted {
		return store.Key{}, 0, noKey(id)
	}
	k, err := s.decodeKey(it.key, it.value)
	if err == nil && k.Account != account {
		err = noKey(id)
	}
	return k, it.rev, err
}

// RevokeKey implements store.Accounts.
func (s *Store) RevokeKey(ctx context.Context, account, id string) (k store.Key, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		var rev uint64
		if k, rev, err = s.storedKey(ctx, account, id); err != nil || k.Revoked {
			return err
		}
		k.Revoked, k.Secret = true, ""
		return s.storeKey(ctx, k, rev)
	})
	return k, err
}

// DeleteKey implements store.Accounts.
func (s *Store) DeleteKey(ctx context.Context, account, id string) error {
	return s.retry(ctx, func(ctx context.Context) error {
		_, rev, err := s.storedKey(ctx, account, id)
		if err != nil {
			return err
		}
		return s.removeKey(ctx, keyKey(id), rev)
	})
}

// removeKeysOf removes the keys of an account, read from the store itself.
func (s *Store) removeKeysOf(ctx context.Context, account string) error {
	names, err := s.identity.bucket.keys(ctx, "key.*")
	if err != nil {
		return err
	}
	for _, name := range names {
		it, err := s.identity.bucket.get(ctx, name)
		if err != nil {
			return err
		}
		if it.deleted {
			continue
		}
		if k, err := s.decodeKey(name, it.value); err != nil || k.Account != account {
			continue
		}
		if err := s.removeKey(ctx, name, it.rev); err != nil && !errors.Is(err, errConflict) {
			return err
		}
	}
	return nil
}

func (s *Store) removeKey(ctx context.Context, name string, expect uint64) error {
	rev, err := s.identity.bucket.remove(ctx, name, expect)
	if err != nil {
		return err
	}
	if parts, ok := split(name); ok && len(parts) == 2 {
		s.identity.keys.remove(parts[1], rev, false)
	}
	return nil
}

// Key implements store.Accounts.
func (s *Store) Key(ctx context.Context, id string) (store.Key, error) {
	if err := s.Ready(ctx); err != nil {
		return store.Key{}, err
	}
	if k, ok := s.identity.keys.get(id); ok {
		if a, ok := s.identity.accounts.get(k.Account); ok && a.Closing == "" {
			return k, nil
		}
	}
	return store.Key{}, noKey(id)
}

// Keys implements store.Accounts.
func (s *Store) Keys(ctx context.Context, account string) ([]store.Key, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	if _, ok := s.identity.accounts.get(account); !ok {
		return nil, noAccount(account)
	}
	c := s.identity.keys
	c.mu.RLock()
	defer c.mu.RUnlock()
	var ks []store.Key
	for id := range c.slots {
		if k, ok := c.at(id); ok && k.Account == account {
			k.Secret = ""
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b store.Key) int {
		if n := a.Created.Compare(b.Created); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return ks, nil
}

func noKey(id string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "There is no access key %s.", id)
}
