package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"thermocline"
	"thermocline/store"
)

// firstAccount is the account that the first start makes: the operator's.
const firstAccount = "000000000000"

// firstKey returns an admin key of the operator's account, and makes both where
// they are missing.
func (n *node) firstKey(ctx context.Context) (store.Key, error) {
	operator, err := n.operator(ctx)
	if err != nil {
		return store.Key{}, err
	}
	keys, err := n.store.Keys(ctx, operator.ID)
	if err != nil {
		return store.Key{}, err
	}
	for _, k := range keys {
		if k.Scope == store.ScopeAdmin && !k.Revoked {
			return n.store.Key(ctx, k.ID)
		}
	}
	k := store.NewKey(operator.ID, store.ScopeAdmin, time.Now())
	return k, n.store.PutKey(ctx, k)
}

// operator returns the operator's account. A store that was made before there
// were operators has its first account become it.
func (n *node) operator(ctx context.Context) (store.Account, error) {
	accounts, err := n.store.Accounts(ctx)
	if err != nil {
		return store.Account{}, err
	}
	for _, a := range accounts {
		if a.Operator {
			return a, nil
		}
	}
	if len(accounts) > 0 {
		return n.store.UpdateAccount(ctx, accounts[0].ID, func(a *store.Account) error { a.Operator = true; return nil })
	}
	a := store.Account{ID: firstAccount, Name: "default", Created: time.Now().UTC(), Operator: true}
	// Another node of the cluster may be first too.
	if err := n.store.CreateAccount(ctx, a); err != nil && thermocline.KindOf(err) != thermocline.KindConflict {
		return store.Account{}, err
	}
	return a, nil
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
