package natsstore

import "sync"

// cache is the memory of a bucket. Changes come from two sides, from those who
// follow the bucket and from this process' own writes; the larger revision wins.
type cache[K comparable, V any] struct {
	mu    sync.RWMutex
	slots map[K]slot[V]
	epoch uint64 // of the reading from the beginning that is under way
	// changed is called, under the lock, when a key appears or goes. May be nil.
	changed func(k K, there bool)
}

type slot[V any] struct {
	value   V
	rev     uint64
	epoch   uint64
	deleted bool // by our own write; kept until the bucket says so too
}

func newCache[K comparable, V any](changed func(K, bool)) *cache[K, V] {
	return &cache[K, V]{slots: map[K]slot[V]{}, changed: changed}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.at(k)
}

// at is get for those who hold the lock.
func (c *cache[K, V]) at(k K) (V, bool) {
	s, ok := c.slots[k]
	return s.value, ok && !s.deleted
}

// set records a value with its revision.
func (c *cache[K, V]) set(k K, v V, rev uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.slots[k]
	if ok && old.rev > rev {
		c.mark(k, old)
		return
	}
	c.slots[k] = slot[V]{value: v, rev: rev, epoch: c.epoch}
	if c.changed != nil && (!ok || old.deleted) {
		c.changed(k, true)
	}
}

// remove records a deletion with its revision; followed says that the bucket
// itself told, so that nothing older can come any more.
func (c *cache[K, V]) remove(k K, rev uint64, followed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.slots[k]
	if ok && old.rev > rev {
		c.mark(k, old)
		return
	}
	if followed {
		delete(c.slots, k)
	} else {
		c.slots[k] = slot[V]{rev: rev, epoch: c.epoch, deleted: true}
	}
	if c.changed != nil && ok && !old.deleted {
		c.changed(k, false)
	}
}

func (c *cache[K, V]) mark(k K, s slot[V]) {
	s.epoch = c.epoch
	c.slots[k] = s
}

// begin starts a reading from the beginning.
func (c *cache[K, V]) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
}

// synced ends it: what it did not find and is not newer than its beginning is
// not there any more.
func (c *cache[K, V]) synced(floor uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, s := range c.slots {
		if s.epoch == c.epoch || s.rev > floor {
			continue
		}
		delete(c.slots, k)
		if c.changed != nil && !s.deleted {
			c.changed(k, false)
		}
	}
}
