package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"thermocline/frontend/sigv4"
)

const (
	keyID   = "AKIDEXAMPLE00000000A"
	secret  = "a secret of no importance at all, 40 b."
	account = "111111111111"
	region  = "eu-central-1"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type keys map[string]sigv4.Key

func (k keys) SigningKey(_ context.Context, id string) (sigv4.Key, bool, error) {
	key, ok := k[id]
	return key, ok, nil
}

func verifier(now time.Time) *sigv4.Verifier {
	return sigv4.New(sigv4.Options{
		Keys:   keys{keyID: {Secret: secret, Account: account, Scope: "admin"}},
		Region: region, Service: "lambda", Now: func() time.Time { return now },
	})
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// request is a request as a server sees it, signed by the SDK's signer.
type request struct {
	method, target, body string
	header               map[string]string
	keyID, secret        string
	region, service      string
	at                   time.Time
	presign              bool
	expires              string
	declared             string // payload hash to sign instead of the body's
}

func (q request) build(t testing.TB) *http.Request {
	t.Helper()
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	if q.at.IsZero() {
		q.at = noon
	}
	out, err := http.NewRequest(or(q.method, "POST"), "http://thermocline.test:8470"+or(q.target, "/2015-03-31/functions/f/invocations"), strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range q.header {
		out.Header.Set(k, v)
	}
	credentials := aws.Credentials{AccessKeyID: or(q.keyID, keyID), SecretAccessKey: or(q.secret, secret)}
	signer := v4.NewSigner()
	declared := or(q.declared, hashOf(q.body))
	if q.presign {
		query := out.URL.Query()
		query.Set("X-Amz-Expires", or(q.expires, "600"))
		out.URL.RawQuery = query.Encode()
		signed, header, err := signer.PresignHTTP(t.Context(), credentials, out, declared, or(q.service, "lambda"), or(q.region, region), q.at)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		out.URL = u
		for k, v := range header {
			out.Header[k] = v
		}
	} else if err := signer.SignHTTP(t.Context(), credentials, out, declared, or(q.service, "lambda"), or(q.region, region), q.at); err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	if err := out.Write(&wire); err != nil {
		t.Fatal(err)
	}
	return read(t, wire.Bytes())
}

// read parses a request from the wire as net/http's server would.
func read(t testing.TB, wire []byte) *http.Request {
	t.Helper()
	got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func verify(v *sigv4.Verifier, r *http.Request) (sigv4.Identity, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return sigv4.Identity{}, err
	}
	signed, err := v.Begin(r)
	if err != nil {
		return sigv4.Identity{}, err
	}
	if err := signed.Verify(body); err != nil {
		return sigv4.Identity{}, err
	}
	return signed.Identity(), nil
}

func TestAcceptsWhatTheSDKSigns(t *testing.T) {
	tests := map[string]request{
		"plain":             {},
		"body":              {body: `{"a":1}`},
		"get":               {method: "GET", target: "/2015-03-31/functions/"},
		"query":             {method: "GET", target: "/2015-03-31/functions/?MaxItems=10&Marker=a%2Bb%20c%3D%3D&a=&a-b=1&a=2"},
		"arn in path":       {method: "GET", target: "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-central-1%3A111111111111%3Afunction%3Af"},
		"percent in path":   {method: "GET", target: "/2015-03-31/functions/a%25b%20c"},
		"unicode":           {method: "GET", target: "/2015-03-31/functions/%C3%BC?Qualifier=%C3%A4"},
		"spaces in header":  {header: map[string]string{"X-Amz-Client-Context": "  a   b \t c  "}},
		"headers":           {header: map[string]string{"X-Amz-Log-Type": "Tail", "X-Amz-Invocation-Type": "Event", "Content-Type": "application/json"}},
		"declared hash":     {body: "x", header: map[string]string{"X-Amz-Content-Sha256": hashOf("x")}},
		"early clock":       {at: noon.Add(-4 * time.Minute)},
		"late clock":        {at: noon.Add(4 * time.Minute)},
		"presigned":         {method: "GET", presign: true},
		"presigned, query":  {method: "GET", presign: true, target: "/2015-03-31/functions/f?Qualifier=%24LATEST"},
		"presigned, post":   {presign: true, body: "{}", header: map[string]string{"Content-Type": "application/json"}},
		"presigned, week":   {method: "GET", presign: true, expires: "604800", at: noon.Add(-6 * 24 * time.Hour)},
		"presigned, second": {method: "GET", presign: true, expires: "1", at: noon},
	}
	for name, q := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := verify(verifier(noon), q.build(t))
			if err != nil {
				t.Fatal(err)
			}
			if want := (sigv4.Identity{KeyID: keyID, Account: account, Scope: "admin", Region: region}); got != want {
				t.Errorf("identity %+v, want %+v", got, want)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	edit := func(f func(r *http.Request)) func(*http.Request) { return f }
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				panic("nothing to replace: " + h)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, new, 1))
		}
	}
	tests := map[string]struct {
		request request
		change  func(*http.Request)
		code    string
		message string
	}{
		"no authorization":      {change: edit(func(r *http.Request) { r.Header.Del("Authorization") }), code: sigv4.CodeMissingToken},
		"bearer":                {change: edit(func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }), code: sigv4.CodeIncompleteSignature},
		"two headers":           {change: edit(func(r *http.Request) { r.Header.Add("Authorization", "x") }), code: sigv4.CodeIncompleteSignature},
		"header and query":      {request: request{presign: true, method: "GET"}, change: edit(func(r *http.Request) { r.Header.Set("Authorization", "x") }), code: sigv4.CodeIncompleteSignature},
		"no signature":          {change: replace("Signature=", "Signatur="), code: sigv4.CodeIncompleteSignature},
		"unknown key":           {request: request{keyID: "AKIDOTHER"}, code: sigv4.CodeUnrecognizedClient},
		"wrong secret":          {request: request{secret: "other"}, code: sigv4.CodeInvalidSignature, message: "does not match the signature"},
		"wrong region":          {request: request{region: "us-east-1"}, code: sigv4.CodeInvalidSignature, message: "us-east-1"},
		"wrong service":         {request: request{service: "s3"}, code: sigv4.CodeInvalidSignature, message: "lambda"},
		"old":                   {request: request{at: noon.Add(-6 * time.Minute)}, code: sigv4.CodeInvalidSignature, message: "Signature expired: 20261123T115400Z is now earlier than 20261123T115500Z (20261123T120000Z - 5 min.)"},
		"from the future":       {request: request{at: noon.Add(6 * time.Minute)}, code: sigv4.CodeInvalidSignature, message: "Signature not yet current"},
		"scope of another day":  {change: replace("20261123", "20261122"), code: sigv4.CodeInvalidSignature, message: "Date in Credential scope"},
		"body":                  {request: request{body: "a"}, change: edit(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }), code: sigv4.CodeInvalidSignature},
		"method":                {change: edit(func(r *http.Request) { r.Method = "PUT" }), code: sigv4.CodeInvalidSignature},
		"path":                  {change: edit(func(r *http.Request) { r.URL.Path += "x" }), code: sigv4.CodeInvalidSignature},
		"query":                 {change: edit(func(r *http.Request) { r.URL.RawQuery = "Qualifier=1" }), code: sigv4.CodeInvalidSignature},
		"host":                  {change: edit(func(r *http.Request) { r.Host = "other" }), code: sigv4.CodeInvalidSignature},
		"signed header changed": {request: request{header: map[string]string{"X-Amz-Log-Type": "Tail"}}, change: edit(func(r *http.Request) { r.Header.Set("X-Amz-Log-Type", "None") }), code: sigv4.CodeInvalidSignature},
		"signed header added":   {request: request{header: map[string]string{"X-Amz-Log-Type": "Tail"}}, change: edit(func(r *http.Request) { r.Header.Add("X-Amz-Log-Type", "None") }), code: sigv4.CodeInvalidSignature},
		"signed header gone":    {request: request{header: map[string]string{"X-Amz-Log-Type": "Tail"}}, change: edit(func(r *http.Request) { r.Header.Del("X-Amz-Log-Type") }), code: sigv4.CodeInvalidSignature, message: "missing"},
		"unsigned amz header":   {change: edit(func(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "Event") }), code: sigv4.CodeInvalidSignature, message: "x-amz-invocation-type"},
		"host not signed":       {change: replace("SignedHeaders=host;", "SignedHeaders="), code: sigv4.CodeInvalidSignature, message: "'Host' must be"},
		"unsorted headers":      {change: replace("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date;host"), code: sigv4.CodeIncompleteSignature},
		"unsigned payload":      {request: request{body: "a", declared: "UNSIGNED-PAYLOAD", header: map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}}, code: sigv4.CodeInvalidSignature},
		"unsigned, undeclared":  {request: request{body: "a", declared: "UNSIGNED-PAYLOAD"}, code: sigv4.CodeInvalidSignature},
		"streaming payload":     {request: request{body: "a", declared: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", header: map[string]string{"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}, code: sigv4.CodeInvalidSignature},
		"presigned, expired":    {request: request{presign: true, method: "GET", at: noon.Add(-11 * time.Minute)}, code: sigv4.CodeInvalidSignature, message: "Signature expired"},
		"presigned, too long":   {request: request{presign: true, method: "GET", expires: "604801"}, code: sigv4.CodeIncompleteSignature},
		"presigned, stretched": {request: request{presign: true, method: "GET"}, change: edit(func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=600", "Expires=6000", 1)
		}), code: sigv4.CodeInvalidSignature},
		"presigned, added": {request: request{presign: true, method: "GET"}, change: edit(func(r *http.Request) { r.URL.RawQuery += "&Qualifier=1" }), code: sigv4.CodeInvalidSignature},
		"presigned, twice": {request: request{presign: true, method: "GET"}, change: edit(func(r *http.Request) { r.URL.RawQuery += "&X-Amz-Expires=1" }), code: sigv4.CodeIncompleteSignature},
		"session token":    {request: request{header: map[string]string{"X-Amz-Security-Token": "t"}}, code: sigv4.CodeUnrecognizedClient},
		"no date":          {change: edit(func(r *http.Request) { r.Header.Del("X-Amz-Date") }), code: sigv4.CodeIncompleteSignature},
		"short signature":  {change: edit(func(r *http.Request) { h := r.Header.Get("Authorization"); r.Header.Set("Authorization", h[:len(h)-1]) }), code: sigv4.CodeInvalidSignature},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := tt.request.build(t)
			if tt.change != nil {
				tt.change(r)
			}
			_, err := verify(verifier(noon), r)
			var got *sigv4.Error
			if !errors.As(err, &got) {
				t.Fatalf("accepted or not an *Error: %v", err)
			}
			if got.Code != tt.code || !strings.Contains(got.Message, tt.message) {
				t.Errorf("got %v, want %s with %q", got, tt.code, tt.message)
			}
		})
	}
}

// Without a region of its own a Verifier takes any; each has keys of its own.
func TestAnyRegion(t *testing.T) {
	v := sigv4.New(sigv4.Options{Keys: keys{keyID: {Secret: secret, Account: account}}, Service: "lambda", Now: func() time.Time { return noon }})
	for range 2 { // derived, and from the cache
		for _, name := range []string{"eu-west-1", "us-gov-west-1", "here"} {
			id, err := verify(v, request{region: name}.build(t))
			if err != nil || id.Region != name {
				t.Errorf("%s: %+v, %v", name, id, err)
			}
		}
	}
	for _, name := range []string{"-x", "EU", "a.b", "a b", "ü", strings.Repeat("a", 33)} {
		if _, err := verify(v, request{region: name}.build(t)); err == nil || !strings.Contains(err.Error(), "valid region") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A derived key stays in the cache; a replaced secret must not.
func TestReplacedSecret(t *testing.T) {
	k := keys{keyID: {Secret: secret, Account: account}}
	v := sigv4.New(sigv4.Options{Keys: k, Region: region, Service: "lambda", Now: func() time.Time { return noon }})
	if _, err := verify(v, request{}.build(t)); err != nil {
		t.Fatal(err)
	}
	k[keyID] = sigv4.Key{Secret: "new", Account: account}
	if _, err := verify(v, request{}.build(t)); err == nil {
		t.Error("the old secret still works")
	}
	if _, err := verify(v, request{secret: "new"}.build(t)); err != nil {
		t.Errorf("the new secret does not work: %v", err)
	}
}

func BenchmarkVerify(b *testing.B) {
	v := verifier(noon)
	r := request{body: `{"key":"value"}`, header: map[string]string{"Content-Type": "application/json", "X-Amz-Invocation-Type": "RequestResponse"}}.build(b)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		signed, err := v.Begin(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := signed.Verify(body); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	good := request{body: "{}"}.build(f)
	presigned := request{method: "GET", presign: true}.build(f)
	f.Add(good.Header.Get("Authorization"), good.Header.Get("X-Amz-Date"), "/2015-03-31/functions/f", "a=b&c")
	f.Add("", "", "/x", presigned.URL.RawQuery)
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=, Signature=", "20261123T120000Z", "/%zz", "%=%&&=")
	f.Add("AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;;host,Signature=0", "20261123T120000", "//..//", "X-Amz-Algorithm=")
	v := verifier(noon)
	f.Fuzz(func(t *testing.T, authorization, date, path, query string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.URL = &url.URL{Path: path, RawPath: path, RawQuery: query}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		if date != "" {
			r.Header.Set("X-Amz-Date", date)
		}
		r.Host = "other"
		signed, err := v.Begin(r)
		if err != nil {
			return
		}
		// The host is signed and none of the seeds is signed for this one.
		if err := signed.Verify([]byte("{}")); err == nil {
			t.Fatalf("accepted %q %q %q %q", authorization, date, path, query)
		}
	})
}
