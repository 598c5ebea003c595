package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"thermocline"
	"thermocline/store"
)

// firstAccount is the account that the first start makes.
const firstAccount = "000000000000"

// firstKey returns an admin key of the first account, and makes both where
// they are missing.
func (n *node) firstKey(ctx context.Context) (store.Key, error) {
	accounts, err := n.store.Accounts(ctx)
	if err != nil {
		return store.Key{}, err
	}
	if len(accounts) == 0 {
		a := store.Account{ID: firstAccount, Name: "default", Created: time.Now().UTC()}
		// Another node of the cluster may be first too.
		if err := n.store.CreateAccount(ctx, a); err != nil && thermocline.KindOf(err) != thermocline.KindConflict {
			return store.Key{}, err
		}
		accounts = []store.Account{a}
	}
	keys, err := n.store.Keys(ctx, accounts[0].ID)
	if err != nil {
		return store.Key{}, err
	}
	for _, k := range keys {
		if k.Scope == store.ScopeAdmin && !k.Revoked {
			return n.store.Key(ctx, k.ID)
		}
	}
	k := newKey(accounts[0].ID, store.ScopeAdmin, time.Now().UTC())
	return k, n.store.PutKey(ctx, k)
}

// newKey makes a key pair that looks like AWS's: tools check the shape.
func newKey(account string, scope store.Scope, now time.Time) store.Key {
	var id [10]byte
	var secret [30]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(secret[:])
	return store.Key{
		ID:      "AKIA" + base32.StdEncoding.EncodeToString(id[:]),
		Secret:  base64.StdEncoding.EncodeToString(secret[:]),
		Account: account, Scope: scope, Created: now,
	}
}

// writeCredentials leaves the endpoint and the key where the other commands
// look, whole or not at all.
func (n *node) writeCredentials(k store.Key) error {
	raw, err := json.MarshalIndent(Credentials{
		Endpoint: n.endpoint, AccessKeyID: k.ID, SecretAccessKey: k.Secret,
		Region: n.cfg.Region, Account: k.Account,
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(n.cfg.Data, credentialsFile)
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !notExist(err) {
		return err
	}
	if err := os.WriteFile(temporary, append(raw, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
