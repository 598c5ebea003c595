package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"thermocline"
	"thermocline/client"
	"thermocline/replay"
	"thermocline/trace"
)

// The functions that replay deploys sleep for as long as they are told.
const (
	sleepNode = `export const handler = (event) => new Promise((done) => setTimeout(done, event.ms));
`
	sleepPython = `import time
def handler(event, context):
    time.sleep(event["ms"] / 1000)
`
)

// target is a server with the functions of a trace.
type target struct {
	api      *lambda.Client
	own      *client.Client
	http     *http.Transport
	account  string
	names    []string // by function
	runtimes []string
	deployed atomic.Int64
}

var _ replay.Target = (*target)(nil)

func newTarget(ctx context.Context, s server, t *trace.Trace, runtimes []string) (*target, error) {
	own, err := s.own()
	if err != nil {
		return nil, err
	}
	g := &target{own: own, account: s.Account, runtimes: runtimes}
	g.http = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: replay.DefaultOutstanding,
		IdleConnTimeout:     time.Minute,
	}
	g.api = lambda.New(lambda.Options{
		BaseEndpoint: aws.String(s.Endpoint), Region: s.Region,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, s.token),
		HTTPClient:  &http.Client{Transport: g.http},
		// Only a refused invocation comes again, in Invoke: it did not run.
		Retryer: retry.AddWithMaxAttempts(aws.NopRetryer{}, 1),
	})
	prefix := "replay-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-"
	for i := range t.Functions {
		g.names = append(g.names, prefix+strconv.Itoa(i))
	}
	if len(g.runtimes) == 0 {
		g.runtimes, err = newestRuntimes(ctx, own)
	}
	return g, err
}

// newestRuntimes are the newest Node.js and Python that the server can run.
func newestRuntimes(ctx context.Context, own *client.Client) ([]string, error) {
	all, err := own.Runtimes(ctx)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, language := range []string{"nodejs", "python"} {
		newest := ""
		for _, r := range all {
			if r.Available && strings.HasPrefix(r.Name, language) {
				newest = max(newest, r.Name) // the names of a language are equally long
			}
		}
		if newest != "" {
			found = append(found, newest)
		}
	}
	if len(found) == 0 {
		return nil, fail(exitFailed, "`thermocline runtime list` says what is missing", "neither Node.js nor Python can run there")
	}
	return found, nil
}

// deploy makes the functions. The code is the same for all of a runtime, so it
// is stored once.
func (g *target) deploy(ctx context.Context, t *trace.Trace, progress func(float64)) error {
	code := map[string][]byte{}
	for _, r := range g.runtimes {
		name, source := "index.mjs", sleepNode
		if strings.HasPrefix(r, "python") {
			name, source = "index.py", sleepPython
		} else if !strings.HasPrefix(r, "nodejs") {
			return fail(exitUsage, "name Node.js and Python runtimes", "there is no function for the runtime %s", r)
		}
		zip, err := zipText(name, source)
		if err != nil {
			return err
		}
		code[r] = zip
	}
	account := g.account
	if account == "" {
		account = "000000000000"
	}
	for i, f := range t.Functions {
		runtime := g.runtimes[i%len(g.runtimes)]
		_, err := g.api.CreateFunction(ctx, &lambda.CreateFunctionInput{
			FunctionName: &g.names[i], Runtime: types.Runtime(runtime), Handler: aws.String("index.handler"),
			Role:       aws.String("arn:aws:iam::" + account + ":role/thermocline"),
			Code:       &types.FunctionCode{ZipFile: code[runtime]},
			MemorySize: aws.Int32(int32(f.MemoryMB)), Timeout: aws.Int32(900),
		})
		if err != nil {
			return err
		}
		g.deployed.Store(int64(i + 1))
		progress(float64(i+1) / float64(len(t.Functions)))
	}
	return nil
}

// zipText packs a single source.
func zipText(name, source string) ([]byte, error) {
	p := newPacker()
	w, err := p.zip.Create(name)
	if err == nil {
		_, err = w.Write([]byte(source))
	}
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", name, err)
	}
	return p.finish()
}

// remove deletes the functions, also when the replay was interrupted.
func (g *target) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := make(chan *string)
	errs := make([]error, 8)
	var working sync.WaitGroup
	for i := range errs {
		working.Go(func() {
			for name := range names {
				if _, err := g.api.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name}); err != nil {
					errs[i] = fmt.Errorf("delete %s: %w", *name, err)
				}
			}
		})
	}
	for i := range g.deployed.Load() {
		names <- &g.names[i]
	}
	close(names)
	working.Wait()
	return errors.Join(errs...)
}

func (g *target) close() {
	g.http.CloseIdleConnections()
	_ = g.own.Close()
}

// The pauses of an invocation that comes again: 13 s in all.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 5 * time.Second
)

func isThrottled(err error) bool {
	var full *types.TooManyRequestsException
	return errors.As(err, &full)
}

// reportLine has what the server says of an invocation in its log's end.
var reportLine = regexp.MustCompile(`REPORT RequestId: [^\t]*\tDuration: ([0-9.]+) ms\t.*\tstart: (warm|pooled|full)\t`)

// Invoke implements replay.Target.
func (g *target) Invoke(ctx context.Context, function int, run time.Duration) (replay.Outcome, error) {
	payload := fmt.Appendf(nil, `{"ms":%.3f}`, float64(run)/float64(time.Millisecond))
	in := &lambda.InvokeInput{FunctionName: &g.names[function], Payload: payload, LogType: types.LogTypeTail}
	out, err := g.api.Invoke(ctx, in)
	retried := 0
	for pause := firstPause; err != nil && isThrottled(err) && pause < lastPause; pause = pause * 3 / 2 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return replay.Outcome{}, ctx.Err()
		}
		retried++
		out, err = g.api.Invoke(ctx, in)
	}
	if err != nil {
		return replay.Outcome{}, root(err)
	}
	if kind := aws.ToString(out.FunctionError); kind != "" {
		return replay.Outcome{}, fmt.Errorf("the function failed: %.200s", out.Payload)
	}
	tail, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	if err != nil {
		return replay.Outcome{}, fmt.Errorf("the log is no base64: %w", err)
	}
	found := reportLine.FindSubmatch(tail)
	if found == nil {
		return replay.Outcome{}, errors.New("the answer says nothing of its start")
	}
	took, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return replay.Outcome{}, err
	}
	return replay.Outcome{Start: thermocline.StartKind(found[2]), Duration: time.Duration(took * float64(time.Millisecond)), Retried: retried}, nil
}

// countInstances looks now and then at what the server holds, until ctx ends.
func (g *target) countInstances(ctx context.Context, speed float64, c *comparison) {
	const every = time.Second
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		fleets, err := g.own.Fleets(ctx)
		if err == nil {
			held := 0
			for _, f := range fleets {
				for _, m := range f.Managers {
					held += len(m.Instances)
				}
			}
			c.MaxInstances = max(c.MaxInstances, held)
			c.InstanceHours += float64(held) * every.Hours() * speed
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
