package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"thermocline"
)

// Health is the server's account of itself.
type Health struct {
	Status  string `json:"status"` // "ok"
	Version string `json:"version"`
	Node    string `json:"node"`
}

// Health asks whether the server is ready. It needs no key.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var h Health
	err := c.get(ctx, "/health", nil, false, &h)
	return h, err
}

// Explanation says where a function's requests go, and why.
type Explanation struct {
	Function string    `json:"function"`
	Fleet    string    `json:"fleet"`
	Dispatch string    `json:"dispatch"` // "direct" or "queue"
	Since    time.Time `json:"since"`    // in this fleet
	// MayLeave is when the dwell ends, nil when it has.
	MayLeave *time.Time `json:"may_leave"`
	Manager  string     `json:"manager"`  // the function's home
	Managers []string   `json:"managers"` // the choices, in order

	// Usage has the variables that criteria read, by name: rates in
	// invocations per second, durations in ms, offered load in erlang.
	Usage    map[string]float64 `json:"usage"`
	Last     *time.Time         `json:"last"` // the latest start
	Criteria []Criterion        `json:"criteria"`
	// Changes are sentences: what would move the function.
	Changes []string `json:"changes"`
	// Starts says how the function's sandboxes come to be.
	Starts Starts `json:"starts"`

	// Raw is the answer as the server sent it.
	Raw json.RawMessage `json:"-"`
}

// Starts says how a function's sandboxes come to be: "pooled" from the warming
// pool, or "full" from nothing, because of environment variables that are read
// when the process starts.
type Starts struct {
	Kind    string   `json:"kind"`
	Because []string `json:"because"`
}

// Criterion is one comparison of a fleet's expression with a constant.
type Criterion struct {
	Fleet      string  `json:"fleet"`
	Expression string  `json:"expression"` // "enter" or "stay"
	Variable   string  `json:"variable"`
	Unit       string  `json:"unit"`
	Operator   string  `json:"operator"`
	Threshold  float64 `json:"threshold"`
	Value      float64 `json:"value"`
	Distance   float64 `json:"distance"` // threshold − value
	Holds      bool    `json:"holds"`
}

// Explain asks why a function is where it is. KindNotFound when there is no
// such function.
func (c *Client) Explain(ctx context.Context, name string) (*Explanation, error) {
	var raw json.RawMessage
	if err := c.get(ctx, functionPath(name)+"/explain", nil, true, &raw); err != nil {
		return nil, err
	}
	e := &Explanation{Raw: raw}
	if err := json.Unmarshal(raw, e); err != nil {
		return nil, fmt.Errorf("the explanation is not as expected: %w", err)
	}
	return e, nil
}

// Fleet is a fleet with its managers.
type Fleet struct {
	Name      string                      `json:"name"`
	Dispatch  string                      `json:"dispatch"`
	Enter     string                      `json:"enter,omitempty"`
	Stay      string                      `json:"stay,omitempty"`
	Dwell     string                      `json:"dwell"` // 10m0s
	Functions int                         `json:"functions"`
	Rate      float64                     `json:"rate"`               // invocations per second
	Queued    *int                        `json:"queued,omitempty"`   // the operator's keys see it
	Managers  []thermocline.ManagerStatus `json:"managers,omitempty"` // the operator's keys see them
}

// Fleets returns the fleets in the order in which they claim functions. Keys of
// other accounts than the operator's see their own functions only.
func (c *Client) Fleets(ctx context.Context) ([]Fleet, error) {
	var body struct {
		Fleets []Fleet `json:"fleets"`
	}
	err := c.get(ctx, "/fleets", nil, true, &body)
	return body.Fleets, err
}

// Runtime is a runtime and whether it can run on the server's machine.
type Runtime struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Version   string `json:"version,omitempty"` // of the interpreter
	Path      string `json:"path,omitempty"`
	Source    string `json:"source,omitempty"`
	Missing   string `json:"missing,omitempty"` // what is missing and what to do
}

// Runtimes returns all runtimes that the server knows.
func (c *Client) Runtimes(ctx context.Context) ([]Runtime, error) {
	var body struct {
		Runtimes []Runtime `json:"runtimes"`
	}
	err := c.get(ctx, "/runtimes", nil, true, &body)
	return body.Runtimes, err
}

// functionPath is the path of one function. A name may be an ARN.
func functionPath(name string) string { return "/functions/" + url.PathEscape(name) }
