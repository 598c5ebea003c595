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
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// RunRequest is code that runs once, without a function. Of Source and Zip one
// is given. Fields at zero take the server's defaults.
type RunRequest struct {
	Runtime string  `json:"runtime"`
	Source  *string `json:"source,omitempty"`
	Name    string  `json:"name,omitempty"` // of the source's file
	Zip     []byte  `json:"zip,omitempty"`
	Handler string  `json:"handler,omitempty"`
	// Payload is JSON; nil is {}.
	Payload     json.RawMessage   `json:"payload,omitempty"`
	MemoryMB    int               `json:"memory_mb,omitempty"`  // 128
	TmpMB       int               `json:"tmp_mb,omitempty"`     // 512
	TimeoutMS   int64             `json:"timeout_ms,omitempty"` // 10,000
	Environment map[string]string `json:"environment,omitempty"`
}

// RunAnswer is what came of it.
type RunAnswer struct {
	RequestID     string          `json:"request_id"`
	Result        json.RawMessage `json:"result"` // null when there is none
	ResultBase64  []byte          `json:"result_base64,omitempty"`
	Error         *RunError       `json:"error"` // nil when the code succeeded
	Output        string          `json:"output"`
	OutputDropped int64           `json:"output_dropped"` // bytes
	Timings       RunTimings      `json:"timings"`
	MemoryMB      int             `json:"memory_mb"`
	MaxMemoryMB   int             `json:"max_memory_mb"`
	Manager       string          `json:"manager"`
	Sandbox       string          `json:"sandbox"`
}

// RunError is how the code failed.
type RunError struct {
	Type    string   `json:"type"`
	Message string   `json:"message"`
	Trace   []string `json:"trace,omitempty"`
	Status  string   `json:"status,omitempty"` // "timeout", "error", "" by itself
}

// RunTimings are in milliseconds: until a sandbox was found, until it was bound
// to the code or started, until its runtime was ready, until the code ended.
type RunTimings struct {
	Start string  `json:"start"` // "pooled" or "full"
	Queue float64 `json:"queue_ms"`
	Setup float64 `json:"setup_ms"`
	Init  float64 `json:"init_ms"`
	Run   float64 `json:"run_ms"`
	Total float64 `json:"total_ms"`
}

// maxRunAnswer holds the largest result and the largest output with every byte
// escaped.
const maxRunAnswer = 20 << 20

// Run runs code once and waits for its end; ending ctx ends the code. A client
// that calls it needs a Timeout beyond that of the code. Code that fails is no
// error.
func (c *Client) Run(ctx context.Context, r RunRequest) (*RunAnswer, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be sent: %w", err)
	}
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + Prefix + "/run"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	request.Header.Set("X-Amz-Content-Sha256", hash)
	who := aws.Credentials{AccessKeyID: c.o.AccessKeyID, SecretAccessKey: c.o.SecretAccessKey, SessionToken: c.o.SessionToken}
	if err := c.signer.SignHTTP(ctx, who, request, hash, "lambda", c.o.Region, c.now()); err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.o.Endpoint, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, decodeError(answer)
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxRunAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(raw) > maxRunAnswer {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxRunAnswer)
	}
	a := &RunAnswer{}
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, fmt.Errorf("the answer is no JSON as expected: %w", err)
	}
	return a, nil
}
