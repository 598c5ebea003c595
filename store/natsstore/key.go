package natsstore

import (
	"strings"
)

// maxToken bounds one part of a key, in bytes before it is encoded: a NATS
// subject has to fit the 4 KB of a protocol line.
const maxToken = 512

// token makes any string one token of a subject that is also a valid key of a
// bucket. Letters, digits, - and _ stay; every other byte becomes = and two hex
// digits; the empty string becomes =. Different strings have different tokens.
func token(s string) string {
	plain := s != ""
	for i := 0; i < len(s) && plain; i++ {
		plain = plainByte(s[i])
	}
	if plain {
		return s
	}
	if s == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'=', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// untoken is the inverse of token; false when token never made it.
func untoken(t string) (string, bool) {
	if t == "=" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		c := t[i]
		if plainByte(c) {
			b.WriteByte(c)
			continue
		}
		if c != '=' || i+2 >= len(t) {
			return "", false
		}
		hi, ok1 := unhex(t[i+1])
		lo, ok2 := unhex(t[i+2])
		if !ok1 || !ok2 || plainByte(hi<<4|lo) {
			return "", false
		}
		b.WriteByte(hi<<4 | lo)
		i += 2
	}
	return b.String(), b.Len() > 0
}

func plainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// join makes a key of its parts.
func join(parts ...string) string {
	ts := make([]string, len(parts))
	for i, p := range parts {
		ts[i] = token(p)
	}
	return strings.Join(ts, ".")
}

// split is the inverse of join; false when join never made it.
func split(key string) ([]string, bool) {
	parts := strings.Split(key, ".")
	for i, t := range parts {
		p, ok := untoken(t)
		if !ok {
			return nil, false
		}
		parts[i] = p
	}
	return parts, true
}
