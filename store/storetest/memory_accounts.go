package storetest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"thermocline"
	"thermocline/store"
)

// CreateAccount implements store.Accounts.
func (m *Memory) CreateAccount(_ context.Context, a store.Account) error {
	if a.ID == "" {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not an account id: %q", a.ID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.accounts[a.ID]; ok {
		return thermocline.Errorf(thermocline.KindConflict, "The account %s exists already.", a.ID)
	}
	m.accounts[a.ID] = a
	return nil
}

// Account implements store.Accounts.
func (m *Memory) Account(_ context.Context, id string) (store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.accounts[id]
	if !ok {
		return store.Account{}, noAccount(id)
	}
	return a, nil
}

// UpdateAccount implements store.Accounts. change must not call the store.
func (m *Memory) UpdateAccount(_ context.Context, id string, change func(a *store.Account) error) (store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.accounts[id]
	if !ok {
		return store.Account{}, noAccount(id)
	}
	if err := change(&a); err != nil {
		return store.Account{}, err
	}
	if a.ID != id {
		return store.Account{}, thermocline.Errorf(thermocline.KindInternal, "An update may not rename %s.", id)
	}
	m.accounts[id] = a
	return a, nil
}

// Accounts implements store.Accounts.
func (m *Memory) Accounts(context.Context) ([]store.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.accounts), func(a, b store.Account) int { return strings.Compare(a.ID, b.ID) }), nil
}

// DeleteAccount implements store.Accounts.
func (m *Memory) DeleteAccount(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.accounts[id]; !ok {
		return noAccount(id)
	}
	delete(m.accounts, id)
	maps.DeleteFunc(m.keys, func(_ string, k store.Key) bool { return k.Account == id })
	return nil
}

// PutKey implements store.Accounts.
func (m *Memory) PutKey(_ context.Context, k store.Key) error {
	if k.ID == "" {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not an access key id: %q", k.ID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.accounts[k.Account]; !ok {
		return noAccount(k.Account)
	}
	m.keys[k.ID] = k
	return nil
}

// CreateKey implements store.Accounts.
func (m *Memory) CreateKey(ctx context.Context, k store.Key) error {
	m.mu.Lock()
	_, taken := m.keys[k.ID]
	closing := m.accounts[k.Account].Closing != ""
	m.mu.Unlock()
	switch {
	case taken:
		return thermocline.Errorf(thermocline.KindConflict, "The access key %s exists already.", k.ID)
	case closing:
		return thermocline.Errorf(thermocline.KindConflict, "The account %s is being deleted.", k.Account)
	}
	return m.PutKey(ctx, k)
}

// RevokeKey implements store.Accounts.
func (m *Memory) RevokeKey(_ context.Context, account, id string) (store.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	if !ok || k.Account != account {
		return store.Key{}, noKey(id)
	}
	k.Revoked, k.Secret = true, ""
	m.keys[id] = k
	return k, nil
}

// DeleteKey implements store.Accounts.
func (m *Memory) DeleteKey(_ context.Context, account, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.keys[id]; !ok || k.Account != account {
		return noKey(id)
	}
	delete(m.keys, id)
	return nil
}

// Key implements store.Accounts.
func (m *Memory) Key(_ context.Context, id string) (store.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	if !ok || m.accounts[k.Account].Closing != "" {
		return store.Key{}, noKey(id)
	}
	return k, nil
}

func noKey(id string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "There is no access key %s.", id)
}

// Keys implements store.Accounts.
func (m *Memory) Keys(_ context.Context, account string) (ks []store.Key, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.accounts[account]; !ok {
		return nil, noAccount(account)
	}
	for _, k := range m.keys {
		if k.Account == account {
			k.Secret = ""
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b store.Key) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return ks, nil
}

func noAccount(id string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "There is no account %s.", id)
}

// Append implements store.Logs.
func (m *Memory) Append(_ context.Context, lines []thermocline.LogLine) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range lines {
		at := [2]string{l.Account, l.Function}
		m.logs[at] = append(m.logs[at], l)
	}
	close(m.appended)
	m.appended = make(chan struct{})
	return nil
}

// Read implements store.Logs.
func (m *Memory) Read(ctx context.Context, q store.LogQuery, each func(thermocline.LogLine) error) error {
	at := [2]string{q.Account, q.Function}
	read, limit := 0, q.Limit
	for {
		m.mu.Lock()
		all, more := m.logs[at], m.appended
		m.mu.Unlock()
		var lines []thermocline.LogLine
		for _, l := range all[min(read, len(all)):] {
			if !l.Time.Before(q.Since) {
				lines = append(lines, l)
			}
		}
		read = len(all)
		if limit > 0 && len(lines) > limit {
			lines = lines[len(lines)-limit:]
		}
		limit = 0 // of the backlog only
		for _, l := range lines {
			if err := each(l); err != nil {
				return err
			}
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

// DeleteLogs implements store.Logs.
func (m *Memory) DeleteLogs(_ context.Context, account, function string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.logs, func(at [2]string, _ []thermocline.LogLine) bool {
		return at[0] == account && (function == "" || at[1] == function)
	})
	return nil
}

// SaveHistory implements store.Histories.
func (m *Memory) SaveHistory(_ context.Context, slot string, snapshot []byte) error {
	if slot == "" {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a history's slot: %q", slot)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.histories[slot] = bytes.Clone(snapshot)
	return nil
}

// LoadHistories implements store.Histories.
func (m *Memory) LoadHistories(context.Context) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.histories), nil
}

// DeleteHistory implements store.Histories.
func (m *Memory) DeleteHistory(_ context.Context, slot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.histories, slot)
	return nil
}

// Settle implements store.Logs: there is nothing that a death would leave.
func (m *Memory) Settle(ctx context.Context) error { return ctx.Err() }
