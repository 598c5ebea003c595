package code

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"thermocline"
)

// unpackTimeout bounds fetching and unpacking one package.
const unpackTimeout = 2 * time.Minute

// Cache keeps packages unpacked on disk, by the SHA-256 of their zip.
type Cache struct {
	dir      string
	open     func(ctx context.Context, sha string) (io.ReadCloser, error)
	maxBytes int64
	slots    chan struct{} // bounds unpacking at a time

	closing context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu    sync.Mutex // no I/O under it
	held  map[string]*content
	total int64
	clock int64 // counts uses: the order of eviction
}

// content is one package, unpacked or on its way.
type content struct {
	sha  string
	done chan struct{} // closed when dir or err is known
	home string        // in the cache's directory
	size int64
	err  error
	refs int
	used int64
}

// task is the directory that sandboxes see.
func (c *content) task() string { return filepath.Join(c.home, taskName) }

// NewCache takes dir, which is made when it does not exist, for itself: what is
// in it and is complete is used again, anything else is removed. open fetches a
// package by the base64 of its hash. Beyond maxBytes those are evicted that
// nobody holds, the least recently used first.
func NewCache(dir string, open func(ctx context.Context, sha string) (io.ReadCloser, error), maxBytes int64) (*Cache, error) {
	c := &Cache{
		dir: dir, open: open, maxBytes: maxBytes,
		slots: make(chan struct{}, max(2, runtime.NumCPU())),
		held:  map[string]*content{},
	}
	if err := c.recover(); err != nil {
		return nil, fmt.Errorf("code: prepare the cache: %w", err)
	}
	c.closing, c.cancel = context.WithCancel(context.Background())
	c.removeAll(c.evict())
	return c, nil
}

// Dir returns the directory of a package and unpacks it first if need be. The
// caller must not change it, and calls release, once or more, when it is done;
// until then it stays. A package whose zip cannot be unpacked is KindInvalidZip;
// errors of open are returned as they are. When ctx ends only the waiting ends.
func (c *Cache) Dir(ctx context.Context, sha string) (dir string, release func(), err error) {
	if raw, err := base64.StdEncoding.DecodeString(sha); err != nil || len(raw) != 32 {
		return "", nil, thermocline.Errorf(thermocline.KindInvalidParameter, "Not a code's SHA-256: %.64q", sha)
	}
	for {
		p, err := c.hold(sha)
		if err != nil {
			return "", nil, err
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			c.release(p)
			return "", nil, ctx.Err()
		}
		if p.err != nil {
			c.release(p)
			return "", nil, p.err
		}
		if _, err := os.Stat(p.task()); err != nil {
			c.forget(p) // somebody emptied the directory: unpack again
			c.release(p)
			continue
		}
		var once sync.Once
		return p.task(), func() { once.Do(func() { c.release(p) }) }, nil
	}
}

// hold returns the package with one more reference, and starts unpacking it
// when nobody has.
func (c *Cache) hold(sha string) (*content, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Err() != nil {
		return nil, thermocline.WithCause(thermocline.KindUnavailable, errClosed, "The server is stopping.")
	}
	c.clock++
	p := c.held[sha]
	if p == nil {
		p = &content{sha: sha, done: make(chan struct{})}
		c.held[sha] = p
		c.work.Go(func() { c.fill(p) })
	}
	p.refs++
	p.used = c.clock
	return p, nil
}

func (c *Cache) release(p *content) {
	c.mu.Lock()
	p.refs--
	victims := c.evictLocked()
	c.mu.Unlock()
	c.removeAll(victims)
}

// forget makes the next one who asks unpack again.
func (c *Cache) forget(p *content) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[p.sha] == p {
		delete(c.held, p.sha)
		c.total -= p.size
	}
}

// fill fetches and unpacks a package. It belongs to the cache, not to who asked
// first: that one's haste is not the others'.
func (c *Cache) fill(p *content) {
	ctx, cancel := context.WithTimeout(c.closing, unpackTimeout)
	defer cancel()
	var (
		home string
		size int64
		err  error
	)
	select {
	case c.slots <- struct{}{}:
		home, size, err = c.fetch(ctx, p.sha)
		<-c.slots
	case <-ctx.Done():
		err = ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = thermocline.WithCause(thermocline.KindUnavailable, err, "The code could not be made ready in time.")
	}
	c.mu.Lock()
	p.home, p.size, p.err = home, size, err
	if err != nil {
		delete(c.held, p.sha) // the next one tries again
	} else {
		c.total += size
	}
	close(p.done)
	victims := c.evictLocked()
	c.mu.Unlock()
	c.removeAll(victims)
}

// Close ends what is being unpacked and waits for it. Directories stay.
// Idempotent.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.work.Wait()
	return nil
}

func (c *Cache) evict() []*content {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evictLocked()
}

// evictLocked takes out what has to go; the caller removes it without the lock.
func (c *Cache) evictLocked() (victims []*content) {
	for c.total > c.maxBytes {
		var oldest *content
		for _, p := range c.held {
			if p.refs == 0 && p.home != "" && (oldest == nil || p.used < oldest.used) {
				oldest = p
			}
		}
		if oldest == nil {
			return victims // all in use: more than the limit for a while
		}
		delete(c.held, oldest.sha)
		c.total -= oldest.size
		victims = append(victims, oldest)
	}
	return victims
}

// removeAll deletes directories that nobody knows any more. What cannot be
// deleted now is left over and removed at the next start.
func (c *Cache) removeAll(victims []*content) {
	for _, p := range victims {
		// The mark goes first: half a directory must not count as complete.
		if os.Remove(filepath.Join(p.home, markName)) == nil {
			os.RemoveAll(p.home)
		}
	}
}
