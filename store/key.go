package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"time"
)

// NewKey makes a key pair that looks like AWS's: tools check the shape. It is
// stored nowhere yet.
func NewKey(account string, scope Scope, now time.Time) Key {
	var id [10]byte
	var secret [30]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(secret[:])
	return Key{
		ID:      "AKIA" + base32.StdEncoding.EncodeToString(id[:]),
		Secret:  base64.StdEncoding.EncodeToString(secret[:]),
		Account: account, Scope: scope, Created: now.UTC(),
	}
}
