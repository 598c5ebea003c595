package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"thermocline"
	"thermocline/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a client of a server that answers with handler.
func connect(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{
		Endpoint: server.URL, Region: "us-east-1", AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret",
		Now: func() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRequestsAreSigned(t *testing.T) {
	var path, authorization, date string
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		path, authorization, date = r.URL.EscapedPath(), r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date")
		io.WriteString(w, `{"function":"f"}`)
	})
	if _, err := c.Explain(t.Context(), "a/b:1"); err != nil {
		t.Fatal(err)
	}
	if want := "/thermocline/v1/functions/a%2Fb:1/explain"; path != want {
		t.Errorf("path %q, want %q", path, want)
	}
	if want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/lambda/aws4_request"; !strings.HasPrefix(authorization, want) {
		t.Errorf("Authorization %q, want the prefix %q", authorization, want)
	}
	if date != "20261123T100000Z" {
		t.Errorf("X-Amz-Date %q", date)
	}
}

func TestHealthNeedsNoKey(t *testing.T) {
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); a != "" {
			t.Errorf("Authorization %q", a)
		}
		io.WriteString(w, `{"status":"ok","version":"1","node":"n"}`)
	})
	got, err := c.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.Health{Status: "ok", Version: "1", Node: "n"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		status int
		code   string
		body   string
		want   *thermocline.Error
	}{
		{"not found", 404, "ResourceNotFoundException", `{"Type":"User","Message":"Function not found: f"}`,
			&thermocline.Error{Kind: thermocline.KindNotFound, Message: "Function not found: f"}},
		{"throttled", 429, "TooManyRequestsException", `{"Reason":"CallerRateLimitExceeded","message":"Rate Exceeded."}`,
			&thermocline.Error{Kind: thermocline.KindThrottled, Message: "Rate Exceeded.", Reason: "CallerRateLimitExceeded"}},
		{"code with a namespace", 400, "ValidationException:http://internal", `{"message":"m"}`,
			&thermocline.Error{Kind: thermocline.KindValidation, Message: "m"}},
		{"signature", 403, "InvalidSignatureException", `{"message":"signature"}`,
			&thermocline.Error{Kind: thermocline.KindAccessDenied, Message: "signature"}},
		{"not ours", 502, "", `<html>bad gateway</html>`,
			&thermocline.Error{Kind: thermocline.KindInternal, Message: "<html>bad gateway</html>"}},
		{"empty", 503, "", ``,
			&thermocline.Error{Kind: thermocline.KindUnavailable, Message: "Service Unavailable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := connect(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Amzn-Errortype", tt.code)
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			_, err := c.Fleets(t.Context())
			var got *thermocline.Error
			if !errors.As(err, &got) {
				t.Fatalf("error %v is no *thermocline.Error", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := client.New(client.Options{Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Health(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, endpoint := range []string{"", "127.0.0.1:8470", "ftp://host", "http://", "http://%zz"} {
		if _, err := client.New(client.Options{Endpoint: endpoint}); err == nil {
			t.Errorf("endpoint %q was taken", endpoint)
		}
	}
}

func TestLogs(t *testing.T) {
	tests := []struct {
		name  string
		body  string
		query client.LogQuery
		want  []string
		fail  string
	}{
		{"lines", "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n", client.LogQuery{}, []string{"a", "b"}, ""},
		{"none", "", client.LogQuery{}, nil, ""},
		{"no newline at the end", `{"text":"a"}`, client.LogQuery{}, []string{"a"}, ""},
		{"not JSON", "{\"text\":\"a\"}\nboom\n", client.LogQuery{}, []string{"a"}, "no JSON"},
		{"too long", strings.Repeat("x", 3<<20), client.LogQuery{}, nil, "longer than"},
		{"server gone", "{\"text\":\"a\"}\n", client.LogQuery{Follow: true}, []string{"a"}, "ended the log stream"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := connect(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tt.body) })
			var got []string
			err := c.Logs(t.Context(), tt.query, func(l thermocline.LogLine) error {
				got = append(got, l.Text)
				return nil
			})
			if (err == nil) != (tt.fail == "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("error %v, want %q", err, tt.fail)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLogsQuery(t *testing.T) {
	var query string
	c := connect(t, func(w http.ResponseWriter, r *http.Request) { query = r.URL.RawQuery })
	since := time.Date(2026, 11, 23, 9, 0, 0, 5, time.UTC)
	if err := c.Logs(t.Context(), client.LogQuery{Function: "f", Since: since, Limit: 7}, nil); err != nil {
		t.Fatal(err)
	}
	if want := "limit=7&since=2026-11-23T09%3A00%3A00.000000005Z"; query != want {
		t.Errorf("query %q, want %q", query, want)
	}
}

// A stream that is followed ends when its reader has had enough.
func TestLogsFollowEndsWithContext(t *testing.T) {
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"text":"a"}`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.Logs(ctx, client.LogQuery{Function: "f", Follow: true}, func(thermocline.LogLine) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
