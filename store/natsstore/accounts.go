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

// PutKey implements store.Accounts.
func (s *Store) PutKey(ctx context.Context, k store.Key) error {
	if k.ID == "" || len(k.ID) > maxToken {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not an access key id: %q", k.ID)
	}
	k.Created = k.Created.Round(0).UTC()
	key := keyKey(k.ID)
	value, err := json.Marshal(keyRecord{Version: recordVersion, Key: k, Secret: s.sealer.seal(key, []byte(k.Secret))})
	if err != nil {
		return wrap(err)
	}
	return s.retry(ctx, func(ctx context.Context) error {
		account, err := s.identity.bucket.get(ctx, accountKey(k.Account))
		if err != nil {
			return err
		}
		if account.deleted {
			return noAccount(k.Account)
		}
		it, err := s.identity.bucket.get(ctx, key)
		if err != nil {
			return err
		}
		rev, err := s.identity.bucket.put(ctx, key, value, it.rev)
		if err == nil {
			s.identity.keys.set(k.ID, k, rev)
		}
		return err
	})
}

// Key implements store.Accounts.
func (s *Store) Key(ctx context.Context, id string) (store.Key, error) {
	if err := s.Ready(ctx); err != nil {
		return store.Key{}, err
	}
	if k, ok := s.identity.keys.get(id); ok {
		if _, ok := s.identity.accounts.get(k.Account); ok {
			return k, nil
		}
	}
	return store.Key{}, thermocline.Errorf(thermocline.KindNotFound, "There is no access key %s.", id)
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

func noAccount(id string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "There is no account %s.", id)
}
