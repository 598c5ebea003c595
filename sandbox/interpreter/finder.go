package interpreter

import (
	"context"
	"os"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// Finder answers lookups from the last discovery and discovers anew when that
// has gone stale: when a runtime is missing (somebody may have installed it
// since, as the error told them to) or its interpreter's file has changed. It
// is safe for concurrent use.
type Finder struct {
	options Options
	set     atomic.Pointer[Set]
	flight  singleflight.Group
}

// NewFinder returns a Finder that has not looked yet.
func NewFinder(o Options) *Finder { return &Finder{options: o} }

// Lookup is Set.Lookup on what is there now.
func (f *Finder) Lookup(ctx context.Context, runtime string) (Interpreter, error) {
	if set := f.set.Load(); set != nil {
		if i, err := set.Lookup(runtime); err == nil && i.current() {
			return i, nil
		}
	}
	set, err := f.Refresh(ctx)
	if err != nil {
		return Interpreter{}, err
	}
	return set.Lookup(runtime)
}

// Check reports whether a runtime can run here; the error is Lookup's.
func (f *Finder) Check(ctx context.Context, runtime string) error {
	_, err := f.Lookup(ctx, runtime)
	return err
}

// Refresh discovers anew. Calls at the same time share one discovery, which
// goes on when the first of them gives up: Discover bounds its own time.
func (f *Finder) Refresh(ctx context.Context) (*Set, error) {
	done := f.flight.DoChan("", func() (any, error) {
		set, err := Discover(context.WithoutCancel(ctx), f.options)
		if err != nil {
			return nil, err
		}
		f.set.Store(set)
		return set, nil
	})
	select {
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*Set), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// current reports whether the interpreter's file is still the one found.
func (i Interpreter) current() bool {
	if i.file == "" {
		return true
	}
	info, err := os.Stat(i.file)
	return err == nil && stampOf(info) == i.stamp
}
