package frontend_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"thermocline/fleet"
	"thermocline/frontend"
	"thermocline/store"
	"thermocline/store/storetest"
)

// fuzzServer is a Server without a network.
type fuzzServer struct{ server *frontend.Server }

func newFuzzServer(f testing.TB) fuzzServer {
	m := &memory{Memory: storetest.NewMemory()}
	_ = m.CreateAccount(f.Context(), store.Account{ID: account})
	_ = m.PutKey(f.Context(), store.Key{ID: adminKey, Secret: secret, Account: account, Scope: store.ScopeAdmin})
	fleets, err := fleet.New(fleet.Default())
	if err != nil {
		f.Fatal(err)
	}
	return fuzzServer{frontend.New(frontend.Options{
		Store: m, History: &counts{}, Fleets: fleets, Dispatch: &worker{run: echo},
		Runtimes: interpreters{}, Region: region,
	})}
}

// send signs and serves one request. The target must be a URL that parses.
func (s fuzzServer) send(t testing.TB, method, target string, body any, header ...string) (int, []byte) {
	payload, ok := body.([]byte)
	if !ok && body != nil {
		payload, _ = json.Marshal(body)
	}
	r := httptest.NewRequest(method, target, bytes.NewReader(payload))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	sum := sha256.Sum256(payload)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: adminKey, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "lambda", region, time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

// FuzzNames sends function names and qualifiers; whatever they are, the answer
// is about the name, never a fault of the server.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"f", prefix + "f:1", "1:2:3", account + ":function:f:$LATEST", "arn:aws:lambda:::", "%", "\x00", strings.Repeat(":", 300)} {
		f.Add(name, "", "1")
		f.Add("f", name, "2")
	}
	s := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, name, qualifier, marker string) {
		if name == "" || len(name)+len(qualifier)+len(marker) > 4096 {
			return
		}
		query := "?Qualifier=" + url.QueryEscape(qualifier) + "&Marker=" + url.QueryEscape(marker)
		for _, target := range []string{
			fn(name), fn(name, "/configuration"), fn(name, "/versions"), fn(name, "/aliases"), functions + "/",
			"/2017-03-31/tags/" + url.PathEscape(name), "/thermocline/v1/functions/" + url.PathEscape(name) + "/explain",
		} {
			if status, body := s.send(t, "GET", target+query, nil); status >= 500 || !json.Valid(body) {
				t.Errorf("%s: %d %s", target, status, body)
			}
		}
		if status, body := s.send(t, "POST", functions, def(t, name)); status >= 500 || !json.Valid(body) {
			t.Errorf("create: %d %s", status, body)
		} else if status == 201 {
			var created struct{ FunctionName string }
			_ = json.Unmarshal(body, &created)
			if status, body := s.send(t, "DELETE", fn(created.FunctionName), nil); status != 204 {
				t.Errorf("created and not deleted: %d %s", status, body)
			}
		}
	})
}

// FuzzBodies sends bodies to the operations that decode one.
func FuzzBodies(f *testing.F) {
	f.Add([]byte(`{"FunctionName":"g","Role":null,"Code":{}}`))
	f.Add([]byte(`{"Environment":{"Variables":{"AB":"c","AB":"d"}},"Layers":["x"],"LoggingConfig":{"LogFormat":"JSON"}}`))
	f.Add([]byte(`{"Name":"a","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"1":null,"x":-1e308}}}`))
	f.Add([]byte(`{"Tags":{"a":"b"},"ReservedConcurrentExecutions":-1,"VpcConfig":{},"Timeout":1e3}`))
	f.Add([]byte("[\n\"\xff\"]"))
	s := newFuzzServer(f)
	s.send(f, "POST", functions, def(f, "f", "Publish", true))
	s.send(f, "POST", fn("f", "/invocations"), nil) // settles it
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, target := range []string{
			"POST " + functions, "PUT " + fn("f", "/configuration"), "PUT " + fn("f", "/code"), "POST " + fn("f", "/versions"),
			"POST " + fn("f", "/aliases"), "PUT " + fn("f", "/aliases/a"), "PUT /2017-10-31/functions/f/concurrency",
			"POST /2017-03-31/tags/" + prefix + "f", "PUT /2024-08-31/functions/f/recursion-config",
			"PUT /2021-07-20/functions/f/runtime-management-config", "POST " + fn("f", "/invocations"),
		} {
			method, path, _ := strings.Cut(target, " ")
			if status, answer := s.send(t, method, path, body); status >= 500 || len(answer) > 0 && !json.Valid(answer) {
				t.Errorf("%s: %d %s", target, status, answer)
			}
		}
	})
}
