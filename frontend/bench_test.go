package frontend_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// nowhere is a response that nobody reads.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkInvoke is the frontend's share of an invocation: everything between
// net/http and dispatch.
func BenchmarkInvoke(b *testing.B) {
	invoke := benchInvoke(b)
	b.ReportAllocs()
	for b.Loop() {
		invoke()
	}
}

// The bound is a little above what it takes now: who goes over it should know
// what for.
func TestInvokeAllocatesLittle(t *testing.T) {
	const bound = 45
	if n := testing.AllocsPerRun(200, benchInvoke(t)); n > bound {
		t.Errorf("an invocation takes %.0f allocations in the frontend, more than %d", n, bound)
	}
}

func benchInvoke(b testing.TB) (invoke func()) {
	b.Helper()
	s := newFuzzServer(b)
	s.send(b, "POST", functions, def(b, "f"))
	s.send(b, "POST", fn("f", "/invocations"), nil) // settles it
	payload := []byte(`{"key":"value"}`)
	sum := sha256.Sum256(payload)
	r := httptest.NewRequest("POST", fn("f", "/invocations"), nil)
	r.ContentLength = int64(len(payload))
	r.Header.Set("Content-Type", "application/json")
	who := aws.Credentials{AccessKeyID: adminKey, SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(b.Context(), who, r, hex.EncodeToString(sum[:]), "lambda", region, time.Now()); err != nil {
		b.Fatal(err)
	}
	return func() {
		r.Body = body{bytes.NewReader(payload)}
		s.server.ServeHTTP(nowhere{http.Header{}}, r)
	}
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }
