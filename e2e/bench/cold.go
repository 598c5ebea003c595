package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// fullOnly is in the environment of functions that are to start fully: a
// variable that could be read at start cannot come to a sandbox that runs
// already. This one means nothing to any program.
var fullOnly = map[string]string{"LC_THERMOCLINE": "full"}

// Cold are the cold starts of one kind, request to answer.
type Cold struct {
	P50ms float64 `json:"p50_ms"`
	P99ms float64 `json:"p99_ms"`
	Count int     `json:"count"`
	// Percentiles are the percentiles 0 to 100 in ms.
	Percentiles []float64 `json:"percentiles_ms,omitempty"`

	all []time.Duration
}

func newCold(all []time.Duration) Cold {
	sorted := slices.Sorted(slices.Values(all))
	return Cold{
		P50ms: roundTo(millis(quantile(sorted, 0.5)), 2), P99ms: roundTo(millis(quantile(sorted, 0.99)), 2),
		Count: len(all), Percentiles: percentiles(all), all: all,
	}
}

// Sustained is a stream of cold starts, one behind the other from a few
// clients.
type Sustained struct {
	PerSecond float64 `json:"per_second"`
	Pooled    float64 `json:"pooled_share"` // of those that were answered
	Refused   int     `json:"refused"`      // 429 or 503
	Clients   int     `json:"clients"`
}

// coldClients is how many clients ask for sustained cold starts.
const coldClients = 8

// cold measures the cold starts of all functions, each of a function that was
// never called before, one at a time and in turns.
func (b *bench) cold(ctx context.Context, fs []function, out *Report) (err error) {
	p, err := startPlatform(ctx, b.program, b.tmp, "--keep-alive", "10s")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	got := map[string]map[string][]time.Duration{}
	for _, f := range fs {
		got[f.Name] = map[string][]time.Duration{}
	}
	// The first two of each fill the pool and the cache of the code.
	for i := range b.colds + 2 {
		b.say("cold starts: %d of %d", max(i-1, 0), b.colds)
		for _, f := range fs {
			for _, kind := range []string{"full", "pooled"} {
				var env map[string]string
				if kind == "full" {
					env = fullOnly
				}
				name := fmt.Sprintf("cold-%s-%s-%d", f.Name, kind, i)
				if err := p.deploy(ctx, f, env, name); err != nil {
					return err
				}
				if !pause(ctx, b.coldPause) {
					return ctx.Err()
				}
				d, start, err := p.coldStart(ctx, name)
				if err != nil {
					return fmt.Errorf("cold start of %s: %w", f.Name, err)
				}
				if i >= 2 {
					got[f.Name][start] = append(got[f.Name][start], d)
				}
			}
		}
	}
	for _, f := range fs {
		of := out.function(f)
		of.Cold = map[string]Cold{}
		for start, all := range got[f.Name] {
			of.Cold[start] = newCold(all)
		}
	}
	return nil
}

// errRefused is a server that has no room.
var errRefused = errors.New("refused")

// coldStart invokes a function for the first time, on a connection of its own
// that is open already, and returns how long it took and how it started.
func (p *platform) coldStart(ctx context.Context, name string) (time.Duration, string, error) {
	raw, err := p.signer.invocation(name, payload, true, time.Now())
	if err != nil {
		return 0, "", err
	}
	c, err := dial(ctx, p.addr)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	began := time.Now()
	r, err := c.do(raw)
	took := time.Since(began)
	switch {
	case err != nil:
		return 0, "", err
	case r.status == 429 || r.status == 503:
		return 0, "", errRefused
	case r.status != 200 || r.functionError != "" || !bytes.Contains(r.body, []byte(answerPart)):
		return 0, "", fmt.Errorf("answer %d %s: %.300s", r.status, r.functionError, r.body)
	}
	tail, err := base64.StdEncoding.DecodeString(r.logTail)
	_, after, ok := strings.Cut(string(tail), "\tstart: ")
	start, _, _ := strings.Cut(after, "\t")
	if err != nil || !ok {
		return 0, "", fmt.Errorf("no REPORT line in the log: %q", tail)
	}
	return took, start, nil
}

// sustained measures how many cold starts a second go on and on: sandboxes
// start, are kept for a second, and are removed again.
func (b *bench) sustained(ctx context.Context, f function, kind string) (s Sustained, err error) {
	p, err := startPlatform(ctx, b.program, b.tmp, "--keep-alive", "1s")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	var env map[string]string
	if kind == "full" {
		env = fullOnly
	}
	names := make([]string, int(b.sustain.Seconds()*100)+coldClients)
	for i := range names {
		names[i] = fmt.Sprintf("s-%d", i)
	}
	if err := p.deploy(ctx, f, env, names...); err != nil {
		return s, err
	}
	if _, _, err := p.coldStart(ctx, names[0]); err != nil { // the code is unpacked
		return s, err
	}
	if !pause(ctx, time.Second) {
		return s, ctx.Err()
	}
	var next, refused, pooled, answered atomic.Int64
	var mu sync.Mutex
	var failure error
	var clients sync.WaitGroup
	began := time.Now()
	end := began.Add(b.sustain)
	for range coldClients {
		clients.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				i := next.Add(1)
				if i >= int64(len(names)) {
					return
				}
				_, start, err := p.coldStart(ctx, names[i])
				switch {
				case errors.Is(err, errRefused):
					refused.Add(1)
				case err != nil:
					mu.Lock()
					failure = err
					mu.Unlock()
					return
				default:
					answered.Add(1)
					if start == "pooled" {
						pooled.Add(1)
					}
				}
			}
		})
	}
	clients.Wait()
	took := time.Since(began)
	if err := errors.Join(failure, ctx.Err()); err != nil {
		return s, fmt.Errorf("sustained cold starts of %s: %w", f.Name, err)
	}
	return Sustained{
		PerSecond: roundTo(float64(answered.Load())/took.Seconds(), 1),
		Pooled:    roundTo(float64(pooled.Load())/float64(max(answered.Load(), 1)), 2),
		Refused:   int(refused.Load()), Clients: coldClients,
	}, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
