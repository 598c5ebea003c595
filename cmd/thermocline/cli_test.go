package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

// machine is an environment for commands that tests run in process. The tests
// of this package are inside of it: a command has no importable face.
type machine struct {
	vars  []string
	stdin string
}

// newMachine has an empty home and nothing else.
func newMachine(t *testing.T) *machine {
	t.Helper()
	return &machine{vars: []string{"HOME=" + t.TempDir()}}
}

// run runs one command.
func (m *machine) run(t *testing.T, args ...string) result {
	t.Helper()
	return m.runContext(t.Context(), args...)
}

func (m *machine) runContext(ctx context.Context, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := execute(&env{
		ctx: ctx, args: args, vars: m.vars,
		stdin: strings.NewReader(m.stdin), stdout: &stdout, stderr: &stderr,
		now: func() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) },
	})
	return result{code, stdout.String(), stderr.String()}
}

// want checks the exit code and that stderr and stdout hold all texts.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("%q is missing in\nstdout: %s\nstderr: %s", text, r.stdout, r.stderr)
		}
	}
}

// call is one request that a fake server got.
type call struct {
	method, path, query string
	header              http.Header
	body                string
}

// fakeServer answers by method and path, and remembers what it was asked.
type fakeServer struct {
	mu      sync.Mutex
	calls   []call
	answers map[string][]http.HandlerFunc // the last one stays
}

// serve starts a fake server and points m at it with credentials in a data
// directory, which it returns.
func (m *machine) serve(t *testing.T) (*fakeServer, string) {
	t.Helper()
	f := &fakeServer{answers: make(map[string][]http.HandlerFunc)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	data := t.TempDir()
	write(t, filepath.Join(data, credentialsFile), `{"endpoint":"`+server.URL+`","access_key_id":"AKID","secret_access_key":"secret","region":"eu-central-1","account":"123456789012"}`)
	m.vars = append(m.vars, "THERMOCLINE_DATA="+data)
	return f, data
}

// on adds an answer; of several the first are given once each.
func (f *fakeServer) on(what string, status int, body string, header ...string) {
	f.answers[what] = append(f.answers[what], func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	body.ReadFrom(r.Body)
	f.mu.Lock()
	f.calls = append(f.calls, call{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), body.String()})
	what := r.Method + " " + r.URL.Path
	queue := f.answers[what]
	if len(queue) > 1 {
		f.answers[what] = queue[1:]
	}
	f.mu.Unlock()
	if len(queue) == 0 {
		w.Header().Set("X-Amzn-Errortype", "ValidationException")
		w.WriteHeader(http.StatusBadRequest)
		w.Write([]byte(`{"message":"not expected: ` + what + `"}`))
		return
	}
	queue[0](w, r)
}

// asked returns the requests so far as "METHOD path".
func (f *fakeServer) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, c := range f.calls {
		all = append(all, c.method+" "+c.path)
	}
	return all
}

// last returns the last request of a method and path.
func (f *fakeServer) last(t *testing.T, what string) call {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.calls) - 1; i >= 0; i-- {
		if f.calls[i].method+" "+f.calls[i].path == what {
			return f.calls[i]
		}
	}
	t.Fatalf("nobody asked %s", what)
	return call{}
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
