package natsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"thermocline"
	"thermocline/store"
)

// identity is the bucket of accounts and keys with its memory.
type identity struct {
	bucket   *bucket
	accounts *cache[string, store.Account]
	keys     *cache[string, store.Key] // with secrets
}

func newIdentity(b *bucket) *identity {
	return &identity{bucket: b, accounts: newCache[string, store.Account](nil), keys: newCache[string, store.Key](nil)}
}

func (id *identity) begin()              { id.accounts.begin(); id.keys.begin() }
func (id *identity) synced(floor uint64) { id.accounts.synced(floor); id.keys.synced(floor) }

type accountRecord struct {
	Version int           `json:"v"`
	Account store.Account `json:"account"`
}

type keyRecord struct {
	Version int       `json:"v"`
	Key     store.Key `json:"key"`
	Secret  []byte    `json:"secret"` // sealed
}

func accountKey(id string) string { return join("account", id) }
func keyKey(id string) string     { return join("key", id) }

// applyIdentity takes a change into the memory.
func (s *Store) applyIdentity(it item, followed bool) {
	parts, ok := split(it.key)
	if !ok || len(parts) != 2 {
		return
	}
	id := parts[1]
	switch parts[0] {
	case "account":
		a, err := decodeAccount(it.value)
		if err != nil && !it.deleted {
			s.log.Error("a stored account cannot be read", "error", err)
		}
		if it.deleted || err != nil {
			s.identity.accounts.remove(id, it.rev, followed)
			return
		}
		s.identity.accounts.set(id, a, it.rev)
	case "key":
		k, err := s.decodeKey(it.key, it.value)
		if err != nil && !it.deleted {
			s.log.Error("a stored access key cannot be read", "error", err)
		}
		if it.deleted || err != nil {
			s.identity.keys.remove(id, it.rev, followed)
			return
		}
		s.identity.keys.set(id, k, it.rev)
	}
}

func decodeAccount(value []byte) (store.Account, error) {
	var r accountRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return store.Account{}, fmt.Errorf("decode an account: %w", err)
	}
	if r.Version != recordVersion {
		return store.Account{}, fmt.Errorf("decode an account: it has layout %d, this program knows %d", r.Version, recordVersion)
	}
	return r.Account, nil
}

// CreateAccount implements store.Accounts.
func (s *Store) CreateAccount(ctx context.Context, a store.Account) error {
	if a.ID == "" || len(a.ID) > maxToken {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not an account id: %q", a.ID)
	}
	a.Created = a.Created.Round(0).UTC()
	value, err := json.Marshal(accountRecord{Version: recordVersion, Account: a})
	if err != nil {
		return wrap(err)
	}
	key := accountKey(a.ID)
	return s.retry(ctx, func(ctx context.Context) error {
		it, err := s.identity.bucket.get(ctx, key)
		if err != nil {
			return err
		}
		if !it.deleted {
			return thermocline.Errorf(thermocline.KindConflict, "The account %s exists already.", a.ID)
		}
		// Keys left over by a crash must not come back with the account.
		if err := s.removeKeysOf(ctx, a.ID); err != nil {
			return err
		}
		rev, err := s.identity.bucket.put(ctx, key, value, it.rev)
		if err == nil {
			s.identity.accounts.set(a.ID, a, rev)
		}
		return err
	})
}

// Account implements store.Accounts.
func (s *Store) Account(ctx context.Context, id string) (store.Account, error) {
	if err := s.Ready(ctx); err != nil {
		return store.Account{}, err
	}
	if a, ok := s.identity.accounts.get(id); ok {
		return a, nil
	}
	return store.Account{}, noAccount(id)
}

// UpdateAccount implements store.Accounts.
func (s *Store) UpdateAccount(ctx context.Context, id string, change func(a *store.Account) error) (store.Account, error) {
	var updated store.Account
	var refused error // of change, returned as it is
	err := s.retry(ctx, func(ctx context.Context) error {
		it, err := s.identity.bucket.get(ctx, accountKey(id))
		if err != nil {
			return err
		}
		if it.deleted {
			return noAccount(id)
		}
		if updated, err = decodeAccount(it.value); err != nil {
			return err
		}
		if refused = change(&updated); refused != nil {
			return nil
		}
		if updated.ID != id {
			return thermocline.Errorf(thermocline.KindInternal, "An update may not rename %s.", id)
		}
		value, err := json.Marshal(accountRecord{Version: recordVersion, Account: updated})
		if err != nil {
			return err
		}
		rev, err := s.identity.bucket.put(ctx, accountKey(id), value, it.rev)
		if err == nil {
			s.identity.accounts.set(id, updated, rev)
		}
		return err
	})
	if refused != nil {
		err = refused
	}
	if err != nil {
		return store.Account{}, err
	}
	return updated, nil
}

// Accounts implements store.Accounts.
func (s *Store) Accounts(ctx context.Context) ([]store.Account, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	c := s.identity.accounts
	c.mu.RLock()
	defer c.mu.RUnlock()
	as := make([]store.Account, 0, len(c.slots))
	for id := range c.slots {
		if a, ok := c.at(id); ok {
			as = append(as, a)
		}
	}
	slices.SortFunc(as, func(a, b store.Account) int { return strings.Compare(a.ID, b.ID) })
	return as, nil
}

// DeleteAccount implements store.Accounts. The account goes first and decides:
// without it its keys are worth nothing.
func (s *Store) DeleteAccount(ctx context.Context, id string) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		it, err := s.identity.bucket.get(ctx, accountKey(id))
		if err != nil {
			return err
		}
		if it.deleted {
			return noAccount(id)
		}
		rev, err := s.identity.bucket.remove(ctx, accountKey(id), it.rev)
		if err == nil {
			s.identity.accounts.remove(id, rev, false)
		}
		return err
	})
	if err != nil {
		return err
	}
	octx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if err := s.removeKeysOf(octx, id); err != nil {
		s.log.Warn("keys of a deleted account are left over until the next start", "error", err)
	}
	return nil
}

func noAccount(id string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "There is no account %s.", id)
}
