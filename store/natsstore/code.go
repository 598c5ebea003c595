package natsstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
)

// touchAfter is the age from which storing a package again makes it young, so
// that it is not collected before the function that it is for is stored.
const touchAfter = time.Minute

// Put implements store.Code.
func (s *Store) Put(ctx context.Context, sha string, zip []byte) error {
	if sum := sha256.Sum256(zip); base64.StdEncoding.EncodeToString(sum[:]) != sha {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "The code does not have the SHA-256 %s.", sha)
	}
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	// One upload of a package at a time; that of another node costs its chunks
	// until they are swept.
	unlock, err := s.putting.lock(ctx, sha)
	if err != nil {
		return wrap(err)
	}
	defer unlock()
	for {
		e, err := s.code.stat(ctx, sha)
		if err != nil {
			return wrap(err)
		}
		switch {
		case !e.there():
			err = s.code.put(ctx, sha, zip, e)
		case s.now().Sub(e.modified) >= touchAfter:
			err = s.code.touch(ctx, e)
		}
		if !errors.Is(err, errConflict) {
			return wrap(err)
		}
	}
}

// Open implements store.Code. The reader fails at the end when the content is
// not what was stored. ctx bounds the reading too.
func (s *Store) Open(ctx context.Context, sha string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	r, err := s.code.obs.Get(ctx, sha)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		cancel()
		return nil, thermocline.Errorf(thermocline.KindNotFound, "There is no code %s.", sha)
	}
	if err != nil {
		cancel()
		return nil, wrap(err)
	}
	return &codeReader{r: r, cancel: cancel}, nil
}

type codeReader struct {
	r      io.ReadCloser
	cancel context.CancelFunc
}

func (c *codeReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = wrap(err)
	}
	return n, err
}

func (c *codeReader) Close() error {
	defer c.cancel()
	return c.r.Close()
}

// Collect implements store.Code.
func (s *Store) Collect(ctx context.Context, age time.Duration, keep func(sha256 string) bool) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	before := s.now().Add(-age)
	entries, err := s.code.list(ctx)
	if err != nil {
		return 0, wrap(err)
	}
	removed := 0
	for _, e := range entries {
		if e.modified.After(before) || keep(e.info.Name) {
			continue
		}
		err := s.code.remove(ctx, e)
		if errors.Is(err, errConflict) { // used again at this moment
			continue
		}
		if err != nil {
			return removed, wrap(err)
		}
		removed++
	}
	return removed, wrap(s.code.sweep(ctx, before))
}

// CollectUnused is Collect of what no version of any function has.
func (s *Store) CollectUnused(ctx context.Context, age time.Duration) (int, error) {
	if err := s.Ready(ctx); err != nil {
		return 0, err
	}
	return s.Collect(ctx, age, func(sha string) bool { return s.used()[sha] })
}

// used are the hashes of the code of all functions. It is made for each
// question: a function may have been stored since the last one.
func (s *Store) used() map[string]bool {
	c := s.functions.cache
	c.mu.RLock()
	defer c.mu.RUnlock()
	used := make(map[string]bool, len(c.slots))
	for id := range c.slots {
		if r, ok := c.at(id); ok {
			used[r.function.CodeSHA256] = true
		}
	}
	return used
}
