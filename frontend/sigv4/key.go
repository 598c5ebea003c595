package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
)

// maxCached bounds the derived keys in memory. A key is derived only for an
// access key that exists, per day and region.
const maxCached = 1024

type cacheKey struct{ id, day, region string }

type cached struct {
	secret string // a replaced secret must not go on working
	key    [sha256.Size]byte
}

// keyCache keeps derived signing keys; deriving one takes four HMACs. The
// service is the verifier's own. The zero value is empty.
type keyCache struct {
	mu   sync.RWMutex
	keys map[cacheKey]cached
}

func (c *keyCache) get(a *authorization, secret string) [sha256.Size]byte {
	k := cacheKey{a.keyID, a.day, a.region}
	c.mu.RLock()
	hit, ok := c.keys[k]
	c.mu.RUnlock()
	if ok && hit.secret == secret {
		return hit.key
	}
	key := derive(secret, a.day, a.region, a.service)
	c.mu.Lock()
	defer c.mu.Unlock()
	// Dropping everything when full is good enough: the whole set changes at
	// midnight anyway, and a miss costs two microseconds.
	if c.keys == nil || len(c.keys) >= maxCached {
		c.keys = make(map[cacheKey]cached)
	}
	c.keys[k] = cached{secret, key}
	return key
}

func derive(secret, day, region, service string) (key [sha256.Size]byte) {
	k := []byte("AWS4" + secret)
	for _, part := range [...]string{day, region, service, terminator} {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(part))
		k = mac.Sum(nil)
	}
	copy(key[:], k)
	return key
}
