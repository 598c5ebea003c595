package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Prefix is the path below which the own API lives.
const Prefix = "/thermocline/v1"

// maxAnswer bounds an answer that is read whole, in bytes. Streams are bounded
// by line.
const maxAnswer = 16 << 20

// DefaultTimeout bounds a call that is not a stream.
const DefaultTimeout = 30 * time.Second

// ErrUnreachable says that no server answers at the endpoint.
var ErrUnreachable = errors.New("no server answers")

// Options say where the server is and who asks.
type Options struct {
	Endpoint        string // http://127.0.0.1:8470, without a path
	Region          string
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // usually empty

	// HTTP sends the requests; nil makes a client whose answers must begin
	// within Timeout.
	HTTP *http.Client
	// Timeout bounds each call but the log stream; 0 is DefaultTimeout.
	Timeout time.Duration
	// Now is the clock for signatures; nil is time.Now.
	Now func() time.Time
}

// Client is safe for concurrent use.
type Client struct {
	base    *url.URL
	o       Options
	signer  *v4.Signer
	http    *http.Client
	timeout time.Duration
	now     func() time.Time
}

// New returns a client. It fails when the endpoint is no http or https URL.
// It does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Endpoint)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("endpoint %q is no http or https URL", o.Endpoint)
	}
	c := &Client{base: base, o: o, signer: v4.NewSigner(), http: o.HTTP, timeout: o.Timeout, now: o.Now}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	if c.http == nil {
		c.http = &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			ResponseHeaderTimeout: c.timeout, // a stream has no other bound
			IdleConnTimeout:       c.timeout,
		}}
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c, nil
}

// get reads one JSON answer into out.
func (c *Client) get(ctx context.Context, path string, query url.Values, sign bool, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, sign, out)
}

// call sends in as JSON, unless it is nil, and reads one JSON answer into out,
// unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in any, sign bool, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	answer, err := c.do(ctx, method, path, query, body, sign)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if len(raw) > maxAnswer {
		return fmt.Errorf("the answer of %s is larger than %d bytes", path, maxAnswer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("the answer of %s is no JSON as expected: %w", path, err)
	}
	return nil
}

// do sends a request and returns an answer of success, whose body the caller
// closes. Other statuses become errors.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte, sign bool) (*http.Response, error) {
	u := *c.base
	escaped := strings.TrimSuffix(u.EscapedPath(), "/") + Prefix + path
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", escaped, err)
	}
	u.Path, u.RawPath, u.RawQuery = plain, escaped, query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	if sign {
		if err := c.sign(ctx, request, body); err != nil {
			return nil, err
		}
	}
	answer, err := c.http.Do(request)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.o.Endpoint, err)
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		defer answer.Body.Close()
		return nil, decodeError(answer)
	}
	return answer, nil
}

// Close frees the connections that are kept for reuse.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// sign signs a request with its body.
func (c *Client) sign(ctx context.Context, r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	who := aws.Credentials{AccessKeyID: c.o.AccessKeyID, SecretAccessKey: c.o.SecretAccessKey, SessionToken: c.o.SessionToken}
	if err := c.signer.SignHTTP(ctx, who, r, hash, "lambda", c.o.Region, c.now()); err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	return nil
}

// decodeError makes the error that a status other than 200 means.
func decodeError(answer *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var body struct {
		Message string `json:"message"` // matches Message too
		Reason  string `json:"Reason"`
	}
	if json.Unmarshal(raw, &body) != nil || body.Message == "" {
		body.Message = string(bytes.TrimSpace(raw))
	}
	code := answer.Header.Get("X-Amzn-Errortype")
	code, _, _ = strings.Cut(code, ":")
	return errorOf(answer.StatusCode, code, body.Message, body.Reason)
}
