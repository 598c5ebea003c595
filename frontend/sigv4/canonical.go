package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// signature returns the hexadecimal signature that the request should have.
func (v *Verifier) signature(r *http.Request, a *authorization, secret string, payload []byte) (sig [64]byte) {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)

	b := appendCanonical((*pooled)[:0], r, a, payload)
	sum := sha256.Sum256(b)

	b = append(b[:0], algorithm+"\n"...)
	b = append(b, a.stamp...)
	b = append(b, '\n')
	b = append(b, a.day...)
	b = append(b, '/')
	b = append(b, a.region...)
	b = append(b, '/')
	b = append(b, a.service...)
	b = append(b, "/"+terminator+"\n"...)
	b = hex.AppendEncode(b, sum[:])

	key := v.cache.get(a, secret)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(b)
	hex.Encode(sig[:], mac.Sum(sum[:0]))
	*pooled = b
	return sig
}

// appendCanonical appends the canonical request.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func appendCanonical(b []byte, r *http.Request, a *authorization, payload []byte) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.URL.EscapedPath())
	b = append(b, '\n')
	b = appendQuery(b, r.URL.RawQuery, a.presigned)
	b = append(b, '\n')
	for rest := a.signedHeaders; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ";")
		b = append(b, name...)
		b = append(b, ':')
		switch name {
		case "host":
			b = appendTrimmed(b, r.Host)
		case "content-length":
			b = strconv.AppendInt(b, r.ContentLength, 10)
		default:
			for i, value := range r.Header[http.CanonicalHeaderKey(name)] {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendTrimmed(b, value)
			}
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, a.signedHeaders...)
	b = append(b, '\n')
	return append(b, payload...)
}

// appendPath encodes the path as it was sent once more, except its slashes.
func appendPath(b []byte, wire string) []byte {
	if wire == "" {
		return append(b, '/')
	}
	for i := range len(wire) {
		if c := wire[i]; c == '/' {
			b = append(b, c)
		} else {
			b = appendEscaped(b, c)
		}
	}
	return b
}

// appendQuery appends the parameters, each decoded and encoded again in the
// one canonical way, sorted by name and value. The signature itself is left
// out.
func appendQuery(b []byte, raw string, presigned bool) []byte {
	if raw == "" {
		return b
	}
	var few [8]string
	parameters := few[:0]
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" || presigned && strings.HasPrefix(part, "X-Amz-Signature=") {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		// A NUL sorts before every byte of an encoded name, so that "a" comes
		// before "a-b"; it cannot appear in one.
		encoded := make([]byte, 0, len(part)+8)
		encoded = appendReescaped(encoded, name)
		encoded = append(encoded, 0)
		encoded = appendReescaped(encoded, value)
		parameters = append(parameters, string(encoded))
	}
	slices.Sort(parameters)
	for i, p := range parameters {
		if i > 0 {
			b = append(b, '&')
		}
		name, value, _ := strings.Cut(p, "\x00")
		b = append(b, name...)
		b = append(b, '=')
		b = append(b, value...)
	}
	return b
}

// appendReescaped decodes percent signs and pluses and encodes the result.
func appendReescaped(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			var d [1]byte
			if _, err := hex.Decode(d[:], []byte(s[i+1:i+3])); err == nil {
				c = d[0]
				i += 2
			}
		}
		b = appendEscaped(b, c)
	}
	return b
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~' {
		return append(b, c)
	}
	return append(b, '%', digits[c>>4], digits[c&15])
}

// appendTrimmed appends a header's value without spaces around it and with
// every run of spaces as one.
func appendTrimmed(b []byte, s string) []byte {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if s[i] == ' ' && s[i-1] == ' ' { // i > 0: s is trimmed
			continue
		}
		b = append(b, s[i])
	}
	return b
}

func equal(got string, want []byte) bool {
	return subtle.ConstantTimeCompare([]byte(got), want) == 1
}
