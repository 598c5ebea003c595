package frontend_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"thermocline/fleet"
	"thermocline/frontend"
	"thermocline/store"
	"thermocline/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "111111111111"
	region  = "eu-central-1"
	role    = "arn:aws:iam::111111111111:role/any"
	prefix  = "arn:aws:lambda:eu-central-1:111111111111:function:"

	adminKey  = "AKIDADMIN0000000000A"
	invokeKey = "AKIDINVOKE000000000A"
	otherKey  = "AKIDOTHER0000000000A"
	secret    = "any secret will do"
)

// rig is a Server with fakes behind it and SDK clients before it.
type rig struct {
	*lambda.Client
	t       *testing.T
	url     string
	server  *frontend.Server
	store   *memory
	history *counts
	worker  *worker

	concurrency *frontend.Concurrency
}

func newRig(t *testing.T, change ...func(*frontend.Options)) *rig {
	t.Helper()
	g := &rig{t: t, store: &memory{Memory: storetest.NewMemory()}, history: &counts{}, worker: &worker{run: echo}}
	for _, id := range []string{account, "222222222222"} {
		if err := g.store.CreateAccount(t.Context(), store.Account{ID: id, Operator: id == account}); err != nil {
			t.Fatal(err)
		}
	}
	for id, k := range map[string]store.Key{
		adminKey:  {Account: account, Scope: store.ScopeAdmin},
		invokeKey: {Account: account, Scope: store.ScopeInvoke},
		otherKey:  {Account: "222222222222", Scope: store.ScopeAdmin},
	} {
		k.ID, k.Secret = id, secret
		if err := g.store.PutKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	fleets, err := fleet.New(fleet.Default())
	if err != nil {
		t.Fatal(err)
	}
	o := frontend.Options{
		Store: g.store, History: g.history, Fleets: fleets, Dispatch: g.worker,
		Runtimes: interpreters{}, Managers: statuses{}, Region: region,
		Limits: frontend.Limits{Settle: 50 * time.Millisecond},
	}
	for _, c := range change {
		c(&o)
	}
	if o.Concurrency == nil {
		o.Concurrency = frontend.NewConcurrency(o.Store, 0)
	}
	g.concurrency = o.Concurrency
	g.server = frontend.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.server.Run(ctx) }()
	web := httptest.NewServer(g.server)
	g.url = web.URL
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		web.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	g.Client = g.client(adminKey)
	return g
}

// client is an SDK client with the key. It does not retry: a test should see
// the first answer.
func (g *rig) client(key string, change ...func(*lambda.Options)) *lambda.Client {
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String(g.url),
		Region:       region,
		Credentials:  credentials.NewStaticCredentialsProvider(key, secret, ""),
		HTTPClient:   http.DefaultClient,
		Retryer:      aws.NopRetryer{},
	}, change...)
}

// packed makes a zip of files given as name and content in turn.
func packed(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func creation(t testing.TB, name string) *lambda.CreateFunctionInput {
	return &lambda.CreateFunctionInput{
		FunctionName: aws.String(name), Role: aws.String(role), Runtime: types.RuntimePython312,
		Handler: aws.String("handler.handler"), Code: &types.FunctionCode{ZipFile: packed(t, "handler.py", "def handler(e, c): return e")},
	}
}

// deploy creates a function and waits until it is active.
func (g *rig) deploy(name string, change ...func(*lambda.CreateFunctionInput)) {
	g.t.Helper()
	in := creation(g.t, name)
	for _, c := range change {
		c(in)
	}
	if _, err := g.CreateFunction(g.t.Context(), in); err != nil {
		g.t.Fatal(err)
	}
	g.settled(name)
}

// settled waits as the SDK's users do, in a shorter rhythm.
func (g *rig) settled(name string) {
	g.t.Helper()
	in := &lambda.GetFunctionInput{FunctionName: &name}
	if err := lambda.NewFunctionActiveV2Waiter(g.Client).Wait(g.t.Context(), in, 10*time.Second, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 50*time.Millisecond
	}); err != nil {
		g.t.Fatal(err)
	}
	if err := lambda.NewFunctionUpdatedV2Waiter(g.Client).Wait(g.t.Context(), in, 10*time.Second, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 50*time.Millisecond
	}); err != nil {
		g.t.Fatal(err)
	}
}

// refused checks that an operation failed with the code and the message.
func refused(t *testing.T, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("got %v, want %s", err, code)
	}
	if api.ErrorCode() != code || api.ErrorMessage() != message {
		t.Errorf("got  %s: %s\nwant %s: %s", api.ErrorCode(), api.ErrorMessage(), code, message)
	}
}

// bomb makes a zip whose entry claims to hold n bytes.
func bomb(t testing.TB, n uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.CreateRaw(&zip.FileHeader{Name: "zeros", Method: zip.Deflate, UncompressedSize64: n}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
