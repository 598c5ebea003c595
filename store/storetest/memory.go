package storetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"thermocline"
	"thermocline/store"
)

// Memory is a store.Store without a disk. The zero value is not usable.
type Memory struct {
	now func() time.Time

	mu        sync.Mutex
	functions map[string]map[string]*family // account, name
	code      map[string]*blob
	accounts  map[string]store.Account
	keys      map[string]store.Key
	logs      map[[2]string][]thermocline.LogLine
	appended  chan struct{} // closed and replaced on every Append
	histories map[string][]byte
}

// family is a function with its versions.
type family struct {
	versions map[string]*thermocline.Function
	highest  uint64
}

type blob struct {
	zip    []byte
	stored time.Time
}

var _ store.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		now:       time.Now,
		functions: map[string]map[string]*family{},
		code:      map[string]*blob{},
		accounts:  map[string]store.Account{},
		keys:      map[string]store.Key{},
		logs:      map[[2]string][]thermocline.LogLine{},
		appended:  make(chan struct{}),
		histories: map[string][]byte{},
	}
}

// Create implements store.Functions.
func (m *Memory) Create(_ context.Context, f *thermocline.Function) error {
	if f.Version != thermocline.Latest || f.Account == "" || f.Name == "" {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a function's name and %s: %s", thermocline.Latest, f.FunctionID)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.functions[f.Account][f.Name] != nil {
		return thermocline.Errorf(thermocline.KindConflict, "Function already exist: %s", f.Name)
	}
	if m.functions[f.Account] == nil {
		m.functions[f.Account] = map[string]*family{}
	}
	m.functions[f.Account][f.Name] = &family{versions: map[string]*thermocline.Function{f.Version: f.Clone()}}
	return nil
}

// Get implements store.Functions.
func (m *Memory) Get(_ context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(id)
}

func (m *Memory) get(id thermocline.FunctionID) (*thermocline.Function, error) {
	if fam := m.functions[id.Account][id.Name]; fam != nil {
		if f := fam.versions[id.Version]; f != nil {
			return f, nil
		}
	}
	return nil, thermocline.Errorf(thermocline.KindNotFound, "Function not found: %s", id)
}

// Fresh implements store.Functions.
func (m *Memory) Fresh(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	return m.Get(ctx, id)
}

// Update implements store.Functions.
func (m *Memory) Update(_ context.Context, id thermocline.FunctionID, change func(f *thermocline.Function) error) (*thermocline.Function, error) {
	for {
		m.mu.Lock()
		before, err := m.get(id)
		m.mu.Unlock()
		if err != nil {
			return nil, err
		}
		f := before.Clone()
		if err := change(f); err != nil {
			return nil, err
		}
		if f.FunctionID != id {
			return nil, thermocline.Errorf(thermocline.KindInternal, "An update may not rename %s.", id)
		}
		f = f.Clone()
		m.mu.Lock()
		if now, _ := m.get(id); now == before {
			m.functions[id.Account][id.Name].versions[id.Version] = f
			m.mu.Unlock()
			return f, nil
		}
		m.mu.Unlock()
	}
}

// NextVersion implements store.Numbers.
func (m *Memory) NextVersion(_ context.Context, account, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.get(thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}); err != nil {
		return "", err
	}
	return strconv.FormatUint(m.functions[account][name].highest+1, 10), nil
}

// Publish implements store.Functions.
func (m *Memory) Publish(_ context.Context, f *thermocline.Function) error {
	n, err := strconv.ParseUint(f.Version, 10, 63)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != f.Version {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a version number: %q", f.Version)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	fam := m.functions[f.Account][f.Name]
	if fam == nil {
		return thermocline.Errorf(thermocline.KindNotFound, "Function not found: %s", f.FunctionID)
	}
	if n <= fam.highest {
		return thermocline.Errorf(thermocline.KindConflict, "Version %d of %s was published already.", n, f.Name)
	}
	fam.highest = n
	fam.versions[f.Version] = f.Clone()
	return nil
}

// Delete implements store.Functions.
func (m *Memory) Delete(_ context.Context, id thermocline.FunctionID) error {
	if id.Version == thermocline.Latest {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "$LATEST version cannot be deleted without deleting the function.")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	fam := m.functions[id.Account][id.Name]
	if id.Version != "" {
		if _, err := m.get(id); err != nil {
			return err
		}
		delete(fam.versions, id.Version)
		return nil
	}
	if fam == nil {
		return thermocline.Errorf(thermocline.KindNotFound, "Function not found: %s", id)
	}
	delete(m.functions[id.Account], id.Name)
	return nil
}

// List implements store.Functions.
func (m *Memory) List(_ context.Context, account, marker string, max int) (fs []*thermocline.Function, next string, err error) {
	if max < 1 {
		return nil, "", thermocline.Errorf(thermocline.KindInvalidParameter, "A list needs room for at least one function.")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.functions[account])) {
		if name <= marker {
			continue
		}
		if len(fs) == max {
			return fs, fs[max-1].Name, nil
		}
		fs = append(fs, m.functions[account][name].versions[thermocline.Latest])
	}
	return fs, "", nil
}

// Versions implements store.Functions.
func (m *Memory) Versions(_ context.Context, account, name string) ([]*thermocline.Function, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	latest, err := m.get(thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest})
	if err != nil {
		return nil, err
	}
	fs := []*thermocline.Function{latest}
	for version, f := range m.functions[account][name].versions {
		if version != thermocline.Latest {
			fs = append(fs, f)
		}
	}
	slices.SortFunc(fs[1:], func(a, b *thermocline.Function) int {
		// Decimal numbers without leading zeros: the longer is the larger.
		return cmp.Or(cmp.Compare(len(a.Version), len(b.Version)), strings.Compare(a.Version, b.Version))
	})
	return fs, nil
}

// Put implements store.Code.
func (m *Memory) Put(_ context.Context, sha string, zip []byte) error {
	if sum := sha256.Sum256(zip); base64.StdEncoding.EncodeToString(sum[:]) != sha {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "The code does not have the SHA-256 %s.", sha)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.code[sha] = &blob{zip: bytes.Clone(zip), stored: m.now()}
	return nil
}

// Open implements store.Code.
func (m *Memory) Open(_ context.Context, sha string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.code[sha]
	if b == nil {
		return nil, thermocline.Errorf(thermocline.KindNotFound, "There is no code %s.", sha)
	}
	return io.NopCloser(bytes.NewReader(b.zip)), nil
}

// Collect implements store.Code. keep must not call the store.
func (m *Memory) Collect(_ context.Context, age time.Duration, keep func(sha256 string) bool) (removed int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.now().Add(-age)
	for sha, b := range m.code {
		if !b.stored.After(before) && !keep(sha) {
			delete(m.code, sha)
			removed++
		}
	}
	return removed, nil
}
