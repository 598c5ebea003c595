package sigv4

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	dayFormat  = "20060102"

	// maxExpires is the longest life of a presigned request that AWS allows.
	maxExpires = 7 * 24 * time.Hour

	maxRegion = 32 // bytes of a region's name
)

// Key is what the verifier needs to know of an access key.
type Key struct {
	Secret  string
	Account string
	Scope   string // reported in Identity, not interpreted
}

// Keys looks up access keys.
type Keys interface {
	// SigningKey returns the key with the id, ok is false when there is none or
	// it is revoked. An error means that the lookup itself failed. It is called
	// for every request, concurrently.
	SigningKey(ctx context.Context, id string) (key Key, ok bool, err error)
}

// Identity is who signed a request.
type Identity struct {
	KeyID   string
	Account string
	Scope   string
	Region  string // that it signed for
}

// Options configures a Verifier. Keys and Service are required.
type Options struct {
	Keys    Keys
	Region  string        // the only region accepted in the credential scope; any if ""
	Service string        // the only service accepted in the credential scope
	Skew    time.Duration // how far the client's clock may be off; 5 min if 0
	Now     func() time.Time
}

// Verifier verifies requests. It is safe for concurrent use.
type Verifier struct {
	opts  Options
	cache keyCache
}

// New returns a Verifier.
func New(o Options) *Verifier {
	if o.Skew == 0 {
		o.Skew = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Verifier{opts: o}
}

// Signed is a request whose signature has still to be verified.
type Signed struct {
	verifier *Verifier
	request  *http.Request
	auth     authorization
	identity Identity
	secret   string
}

// Begin checks all of a request's signature that does not need the body and
// looks its key up. The request must not be used as authenticated before
// Verify has returned nil. Errors are *Error, or what Keys returned.
func (v *Verifier) Begin(r *http.Request) (Signed, error) {
	auth, err := parse(r)
	if err != nil {
		return Signed{}, err
	}
	if err := v.checkScope(&auth); err != nil {
		return Signed{}, err
	}
	if err := v.checkTime(&auth); err != nil {
		return Signed{}, err
	}
	if err := checkSignedHeaders(r, &auth); err != nil {
		return Signed{}, err
	}
	key, ok, err := v.opts.Keys.SigningKey(r.Context(), auth.keyID)
	if err != nil {
		return Signed{}, err
	}
	// Keys here are permanent: a session token cannot belong to one.
	if !ok || key.Secret == "" || auth.hasToken {
		return Signed{}, errUnrecognized()
	}
	return Signed{
		verifier: v, request: r, auth: auth, secret: key.Secret,
		identity: Identity{KeyID: auth.keyID, Account: key.Account, Scope: key.Scope, Region: auth.region},
	}, nil
}

// Identity is who claims to have signed; true only after Verify.
func (s *Signed) Identity() Identity { return s.identity }

// Verify checks the signature over the request and its whole body.
func (s *Signed) Verify(body []byte) error {
	sum := sha256.Sum256(body)
	var payload [64]byte
	hex.Encode(payload[:], sum[:])
	// Where the client declares a hash, AWS signs the declaration. It must be
	// that of the body; UNSIGNED-PAYLOAD and STREAMING-… are for S3 only.
	if declared := s.request.Header["X-Amz-Content-Sha256"]; len(declared) > 0 {
		if len(declared) != 1 || !equal(declared[0], payload[:]) {
			return errInvalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
	}
	want := s.verifier.signature(s.request, &s.auth, s.secret, payload[:])
	if !equal(s.auth.signature, want[:]) {
		return errMismatch()
	}
	return nil
}

func (v *Verifier) checkScope(a *authorization) error {
	switch {
	case v.opts.Region != "" && a.region != v.opts.Region, !isRegion(a.region):
		return errInvalid("Credential should be scoped to a valid region, not '" + a.region + "'. ")
	case a.service != v.opts.Service:
		return errInvalid("Credential should be scoped to correct service: '" + v.opts.Service + "'. ")
	case a.terminator != terminator:
		return errInvalid("Credential should be scoped with a valid terminator: '" + terminator + "', not '" + a.terminator + "'.")
	case a.day != a.stamp[:8]:
		return errInvalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			a.day + "' != '" + a.stamp[:8] + "', from '" + a.stamp + "'.")
	}
	return nil
}

func (v *Verifier) checkTime(a *authorization) error {
	now := v.opts.Now().UTC()
	if a.time.After(now.Add(v.opts.Skew)) {
		return errInvalid("Signature not yet current: " + a.stamp + " is still later than " +
			now.Add(v.opts.Skew).Format(timeFormat) + " (" + now.Format(timeFormat) + " + " + minutes(v.opts.Skew) + ".)")
	}
	life := v.opts.Skew
	if a.presigned {
		life = a.expires
	}
	if a.time.Before(now.Add(-life)) {
		return errInvalid("Signature expired: " + a.stamp + " is now earlier than " +
			now.Add(-life).Format(timeFormat) + " (" + now.Format(timeFormat) + " - " + minutes(life) + ".)")
	}
	return nil
}

// isRegion reports whether s may be the name of a region: it becomes part of
// ARNs.
func isRegion(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= maxRegion
}

func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(d/time.Second)) + " s"
}

// checkSignedHeaders holds that host and every x-amz-* header of the request
// are among the signed ones, and that every signed one is there.
func checkSignedHeaders(r *http.Request, a *authorization) error {
	host := false
	for rest := a.signedHeaders; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		switch name {
		case "host":
			host = true
		case "content-length":
			if r.ContentLength < 0 {
				return errMissingHeader(name)
			}
		default:
			if len(r.Header[http.CanonicalHeaderKey(name)]) == 0 {
				return errMissingHeader(name)
			}
		}
	}
	if !host {
		return errInvalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		if len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") && !isListed(a.signedHeaders, name) {
			return errInvalid("There were headers present in the request which were not signed: " + strings.ToLower(name))
		}
	}
	return nil
}

func errMissingHeader(name string) error {
	return errInvalid("The signed header '" + name + "' is missing from the request.")
}

// isListed reports whether a semicolon-separated list of lower-case names
// holds name, in whatever case.
func isListed(list, name string) bool {
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ";")
		if len(item) == len(name) && strings.EqualFold(item, name) {
			return true
		}
	}
	return false
}
