package natsstore

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"thermocline"
)

// index knows which versions a function has and which functions an account. It
// counts entries that are there, also those left over.
type index struct {
	accounts map[string]*accountIndex
}

type accountIndex struct {
	functions map[string]map[string]struct{} // name, version
	sorted    []string                       // names that have a $LATEST; nil: to be made
}

func newIndex() *index { return &index{accounts: map[string]*accountIndex{}} }

func (ix *index) changed(id thermocline.FunctionID, there bool) {
	a := ix.accounts[id.Account]
	if a == nil {
		a = &accountIndex{functions: map[string]map[string]struct{}{}}
		ix.accounts[id.Account] = a
	}
	if id.Version == thermocline.Latest {
		a.sorted = nil
	}
	versions := a.functions[id.Name]
	if there {
		if versions == nil {
			versions = map[string]struct{}{}
			a.functions[id.Name] = versions
		}
		versions[id.Version] = struct{}{}
		return
	}
	delete(versions, id.Version)
	if len(versions) == 0 {
		delete(a.functions, id.Name)
	}
	if len(a.functions) == 0 {
		delete(ix.accounts, id.Account)
	}
}

// names are sorted and must not be changed.
func (ix *index) names(account string) []string {
	a := ix.accounts[account]
	if a == nil {
		return nil
	}
	if a.sorted == nil {
		a.sorted = make([]string, 0, len(a.functions))
		for name, versions := range a.functions {
			if _, ok := versions[thermocline.Latest]; ok {
				a.sorted = append(a.sorted, name)
			}
		}
		slices.Sort(a.sorted)
	}
	return a.sorted
}

// List implements store.Functions.
func (s *Store) List(ctx context.Context, account, marker string, max int) ([]*thermocline.Function, string, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, "", err
	}
	if max < 1 {
		return nil, "", thermocline.Errorf(thermocline.KindInvalidParameter, "A list needs room for at least one function.")
	}
	c := s.functions.cache
	c.mu.Lock() // names may sort
	defer c.mu.Unlock()
	names := s.functions.index.names(account)
	from, found := slices.BinarySearch(names, marker)
	if found {
		from++
	}
	to := len(names)
	if max < to-from {
		to = from + max
	}
	fs := make([]*thermocline.Function, 0, to-from)
	for _, name := range names[from:to] {
		if r, ok := c.at(thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}); ok {
			fs = append(fs, r.function)
		}
	}
	next := ""
	if to < len(names) {
		next = names[to-1]
	}
	return fs, next, nil
}

// Versions implements store.Functions.
func (s *Store) Versions(ctx context.Context, account, name string) ([]*thermocline.Function, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	c := s.functions.cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	id := thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}
	head, ok := c.at(id)
	if !ok {
		return nil, notFound(id)
	}
	fs := []*thermocline.Function{head.function}
	for version := range maps.Keys(s.functions.index.accounts[account].functions[name]) {
		id.Version = version
		if r, ok := c.at(id); ok && version != thermocline.Latest && r.Incarnation == head.Incarnation {
			fs = append(fs, r.function)
		}
	}
	slices.SortFunc(fs[1:], func(a, b *thermocline.Function) int { return number(a) - number(b) })
	return fs, nil
}

// number is a version's; Publish let nothing else in.
func number(f *thermocline.Function) int {
	n, _ := strconv.Atoi(f.Version)
	return n
}
