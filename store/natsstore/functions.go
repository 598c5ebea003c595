package natsstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/google/uuid"

	"thermocline"
)

// functions are the bucket and its memory.
type functions struct {
	bucket *bucket
	cache  *cache[thermocline.FunctionID, *record]
	index  *index // guarded by cache.mu
}

func newFunctions(b *bucket) *functions {
	ix := newIndex()
	return &functions{bucket: b, index: ix, cache: newCache[thermocline.FunctionID, *record](ix.changed)}
}

// applyFunction takes a change into the memory.
func (s *Store) applyFunction(it item, followed bool) {
	id, ok := functionID(it.key)
	if !ok {
		return
	}
	if it.deleted {
		s.functions.cache.remove(id, it.rev, followed)
		return
	}
	r, err := decodeRecord(s.sealer, it.key, it.value)
	if err != nil {
		// Better absent than half understood; the entry stays in the store.
		s.log.Error("a stored function cannot be read", "function", id.String(), "error", err)
		s.functions.cache.remove(id, it.rev, followed)
		return
	}
	s.functions.cache.set(id, r, it.rev)
}

// Get implements store.Functions.
func (s *Store) Get(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	c := s.functions.cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.at(id)
	if ok && id.Version != thermocline.Latest {
		head, there := c.at(latestOf(id))
		ok = there && head.Incarnation == r.Incarnation
	}
	if !ok {
		return nil, notFound(id)
	}
	return r.function, nil
}

// Fresh implements store.Functions.
func (s *Store) Fresh(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, _, err := s.readFunction(ctx, id)
	if err != nil {
		return nil, wrap(err)
	}
	return r.function, nil
}

// readFunction reads one version that counts, with its revision, from the store
// and takes it into the memory. For $LATEST that is not there the revision is
// the deletion mark's.
func (s *Store) readFunction(ctx context.Context, id thermocline.FunctionID) (*record, uint64, error) {
	if !validID(id) {
		return nil, 0, notFound(id)
	}
	r, rev, err := s.readEntry(ctx, id)
	if err != nil || r == nil {
		return nil, rev, orNotFound(err, id)
	}
	if id.Version == thermocline.Latest {
		return r, rev, nil
	}
	head, _, err := s.readEntry(ctx, latestOf(id))
	if err != nil || head == nil || head.Incarnation != r.Incarnation {
		return nil, rev, orNotFound(err, id)
	}
	return r, rev, nil
}

// readEntry reads one entry, whether it counts or not; nil when there is none.
func (s *Store) readEntry(ctx context.Context, id thermocline.FunctionID) (*record, uint64, error) {
	key := functionKey(id)
	it, err := s.functions.bucket.get(ctx, key)
	if err != nil || it.deleted {
		return nil, it.rev, err
	}
	r, err := decodeRecord(s.sealer, key, it.value)
	if err != nil {
		return nil, 0, err
	}
	s.functions.cache.set(id, r, it.rev)
	return r, it.rev, nil
}

// writeEntry stores f under its id if the revision is still expect, and
// remembers it as it was stored.
func (s *Store) writeEntry(ctx context.Context, f *thermocline.Function, r *record, expect uint64) (*thermocline.Function, error) {
	key := functionKey(f.FunctionID)
	value, err := r.encode(s.sealer, key, f)
	if err != nil {
		return nil, err
	}
	rev, err := s.functions.bucket.put(ctx, key, value, expect)
	if err != nil {
		return nil, err
	}
	stored, err := decodeRecord(s.sealer, key, value)
	if err != nil {
		return nil, err
	}
	s.functions.cache.set(f.FunctionID, stored, rev)
	return stored.function, nil
}

// Create implements store.Functions.
func (s *Store) Create(ctx context.Context, f *thermocline.Function) error {
	if f.Version != thermocline.Latest || !validID(f.FunctionID) {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a function's name and %s: %s", thermocline.Latest, f.FunctionID)
	}
	return s.retry(ctx, func(ctx context.Context) error {
		it, err := s.functions.bucket.get(ctx, functionKey(f.FunctionID))
		if err != nil {
			return err
		}
		if !it.deleted {
			return thermocline.Errorf(thermocline.KindConflict, "Function already exist: %s", f.Name)
		}
		_, err = s.writeEntry(ctx, f, &record{Incarnation: uuid.NewString()}, it.rev)
		return err
	})
}

// Update implements store.Functions.
func (s *Store) Update(ctx context.Context, id thermocline.FunctionID, change func(f *thermocline.Function) error) (*thermocline.Function, error) {
	var stored *thermocline.Function
	var refused error // of change, returned as it is
	err := s.retry(ctx, func(ctx context.Context) error {
		r, rev, err := s.readFunction(ctx, id)
		if err != nil {
			return err
		}
		f := r.function.Clone()
		if refused = change(f); refused != nil {
			return nil
		}
		if f.FunctionID != id {
			return thermocline.Errorf(thermocline.KindInternal, "An update may not rename %s.", id)
		}
		stored, err = s.writeEntry(ctx, f, &record{Incarnation: r.Incarnation, Highest: r.Highest}, rev)
		return err
	})
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// NextVersion implements store.Numbers.
func (s *Store) NextVersion(ctx context.Context, account, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	head, _, err := s.readFunction(ctx, thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest})
	if err != nil {
		return "", wrap(err)
	}
	return strconv.FormatUint(head.Highest+1, 10), nil
}

// Publish implements store.Functions. The number is taken first, in $LATEST: a
// crash before the version is stored costs the number and nothing else.
func (s *Store) Publish(ctx context.Context, f *thermocline.Function) error {
	n, err := strconv.ParseUint(f.Version, 10, 63)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != f.Version || !validID(f.FunctionID) {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a version number: %q", f.Version)
	}
	var incarnation string
	err = s.retry(ctx, func(ctx context.Context) error {
		head, rev, err := s.readFunction(ctx, latestOf(f.FunctionID))
		if err != nil {
			return err
		}
		if n <= head.Highest {
			return thermocline.Errorf(thermocline.KindConflict, "Version %d of %s was published already.", n, f.Name)
		}
		incarnation = head.Incarnation
		_, err = s.writeEntry(ctx, head.function, &record{Incarnation: incarnation, Highest: n}, rev)
		return err
	})
	if err != nil {
		return err
	}
	return s.retry(ctx, func(ctx context.Context) error {
		// An entry that is there belongs to a function of that name which was
		// deleted: the number is ours.
		it, err := s.functions.bucket.get(ctx, functionKey(f.FunctionID))
		if err != nil {
			return err
		}
		_, err = s.writeEntry(ctx, f, &record{Incarnation: incarnation}, it.rev)
		return err
	})
}

// retry calls do until it does not meet somebody else's change, with a deadline,
// and makes its error one of the platform's.
func (s *Store) retry(ctx context.Context, do func(ctx context.Context) error) error {
	if s.closing.Err() != nil {
		return errClosed()
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 64*time.Millisecond) {
		err := do(ctx)
		if !errors.Is(err, errConflict) {
			return wrap(err)
		}
		if !sleep(ctx, rand.N(pause)) {
			return wrap(ctx.Err())
		}
	}
}

func latestOf(id thermocline.FunctionID) thermocline.FunctionID {
	id.Version = thermocline.Latest
	return id
}

// validID bounds what becomes a subject. What the API allows is the frontend's
// to decide.
func validID(id thermocline.FunctionID) bool {
	for _, p := range []string{id.Account, id.Name, id.Version} {
		if p == "" || len(p) > maxToken {
			return false
		}
	}
	return true
}

func notFound(id thermocline.FunctionID) error {
	return thermocline.Errorf(thermocline.KindNotFound, "Function not found: %s", id)
}

func orNotFound(err error, id thermocline.FunctionID) error {
	if err != nil {
		return err
	}
	return notFound(id)
}
