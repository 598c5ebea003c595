package natsstore_test

import (
	"regexp"
	"testing"

	"thermocline/store/natsstore"
)

var validToken = regexp.MustCompile(`^[-=_a-zA-Z0-9]+$`)

// FuzzToken sees that every string has a token, that it is valid, and that it
// leads back: so different strings have different tokens.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "=", "==", "a", "$LATEST", "a.b", "*", ">", "=24", "ü", "\x00", "a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tok := natsstore.Token(s)
		if !validToken.MatchString(tok) {
			t.Fatalf("%q has the token %q", s, tok)
		}
		if back, ok := natsstore.Untoken(tok); !ok || back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
		// What is not a token is refused, or is one.
		if back, ok := natsstore.Untoken(s); ok && natsstore.Token(back) != s {
			t.Fatalf("%q is taken for the token of %q", s, back)
		}
	})
}
