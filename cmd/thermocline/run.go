package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thermocline"
	"thermocline/client"
)

// startWithin is how long the server may take beside the code itself.
const startWithin = time.Minute

// program is what the flags of run say.
type program struct {
	path                 string
	runtime, handler     string
	memory, tmp          int
	timeout              time.Duration
	payload, payloadFile string
	variables            []string
	asJSON               bool
	repeat               int
	pause                time.Duration
}

func newRunCmd(g *globals) *cobra.Command {
	p := &program{}
	c := &cobra.Command{
		Use:   "run FILE --runtime RUNTIME",
		Short: "Run a piece of code once, in a fresh sandbox, without a function",
		Long: `Run a piece of code once, in a fresh sandbox, without a function. Its result goes
to standard output, what it writes to standard error, and its timings after
that. The exit code is 1 when the code fails.

FILE is a source file, - for standard input, a directory, or a zip; for the
provided runtimes an executable that becomes bootstrap. A file that exports (in
Python: defines) "handler" is called with the payload, and what it returns is
the result. Any other file runs as a script, and its result is null.

The sandbox is nobody else's before or after. Ctrl-C ends the code.

  thermocline run --runtime nodejs18.x hello.mjs --payload '{"name":"you"}'
  echo 'print(6 * 7)' | thermocline run --runtime python3.11 -
  thermocline run --runtime provided.al2023 ./bootstrap --memory 256 --timeout 30s
  thermocline run --runtime nodejs18.x hello.mjs --repeat 50`,
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			p.path = args[0]
			return p.run(c.Context(), g)
		},
	}
	f := c.Flags()
	f.StringVar(&p.runtime, "runtime", "", "`runtime`, such as nodejs18.x, python3.11, provided.al2023")
	f.StringVar(&p.handler, "handler", "", "`FILE.FUNCTION` to call (see above when it is not given)")
	f.IntVar(&p.memory, "memory", 128, "memory in `MB`, from 128 to 10240")
	f.IntVar(&p.tmp, "tmp", 512, "size of /tmp in `MB`, from 512 to 10240")
	f.DurationVar(&p.timeout, "timeout", 10*time.Second, "longest run, from 1ms to 15m")
	f.StringVar(&p.payload, "payload", "", "`JSON` for the handler")
	f.StringVar(&p.payloadFile, "payload-file", "", "`FILE` with JSON for the handler, - for standard input")
	f.StringArrayVar(&p.variables, "env", nil, "environment variable `KEY=VALUE`; repeat for more")
	f.BoolVar(&p.asJSON, "json", false, "print result, output, error and timings as one JSON object")
	f.IntVar(&p.repeat, "repeat", 1, "run it `N` times, one after the other, and print the spread of the timings")
	f.DurationVar(&p.pause, "pause", 0, "wait between the runs of --repeat")
	return c
}

func (p *program) run(ctx context.Context, g *globals) error {
	request, err := p.request(g.env)
	if err != nil {
		return err
	}
	s, err := g.server()
	if err != nil {
		return err
	}
	api, err := s.ownWithin(p.timeout + startWithin)
	if err != nil {
		return err
	}
	defer api.Close()
	if p.repeat > 1 {
		return p.measure(ctx, g.env, s, api, request)
	}
	answer, err := api.Run(ctx, request)
	if err != nil {
		return s.explain(ctx, err)
	}
	return p.print(g.env, answer)
}

// ownWithin is own for calls whose answers may take as long as timeout.
func (s server) ownWithin(timeout time.Duration) (*client.Client, error) {
	c, err := client.New(client.Options{
		Endpoint: s.Endpoint, Region: s.Region, Timeout: timeout,
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.token,
	})
	if err != nil {
		return nil, fail(exitUsage, "it looks like http://127.0.0.1:8470", "%w", err)
	}
	return c, nil
}

// request checks what needs no server and reads the files.
func (p *program) request(e *env) (client.RunRequest, error) {
	r := client.RunRequest{
		Runtime: p.runtime, Handler: p.handler, MemoryMB: p.memory, TmpMB: p.tmp, TimeoutMS: p.timeout.Milliseconds(),
	}
	switch {
	case p.runtime == "":
		return r, fail(exitUsage, "`thermocline runtime list` shows what can run here", "--runtime is missing")
	case p.timeout < time.Millisecond || p.timeout > 15*time.Minute:
		return r, fail(exitUsage, "", "--timeout must be from 1ms to 15m, not %v", p.timeout)
	case p.repeat < 1 || p.repeat > 10_000:
		return r, fail(exitUsage, "", "--repeat must be from 1 to 10000, not %d", p.repeat)
	case p.path == "-" && p.payloadFile == "-":
		return r, fail(exitUsage, "put one of them into a file", "the code and the payload cannot both be standard input")
	case p.payload != "" && p.payloadFile != "":
		return r, fail(exitUsage, "give one of them", "--payload and --payload-file are both given")
	}
	for _, v := range p.variables {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			return r, fail(exitUsage, "write --env KEY=VALUE", "--env %q has no name and =", v)
		}
		if r.Environment == nil {
			r.Environment = map[string]string{}
		}
		r.Environment[key] = value
	}
	var err error
	if r.Payload, err = p.readPayload(e); err != nil {
		return r, err
	}
	return r, p.readCode(e, &r)
}

func (p *program) readPayload(e *env) (json.RawMessage, error) {
	raw := []byte(p.payload)
	var err error
	switch p.payloadFile {
	case "":
	case "-":
		raw, err = io.ReadAll(io.LimitReader(e.stdin, thermocline.MaxPayload+1))
	default:
		raw, err = readBounded(p.payloadFile, thermocline.MaxPayload)
	}
	if err != nil {
		return nil, fail(exitUsage, "", "read the payload: %w", err)
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return nil, nil
	}
	if !json.Valid(raw) {
		return nil, fail(exitUsage, `a text needs quotes of its own: --payload '"text"'`, "the payload is no JSON")
	}
	return raw, nil
}

// readCode puts a source into the request as it is, and everything else as a
// zip.
func (p *program) readCode(e *env, r *client.RunRequest) error {
	if p.path == "-" {
		raw, err := io.ReadAll(io.LimitReader(e.stdin, thermocline.MaxProgram+1))
		if err != nil {
			return fail(exitUsage, "", "read the code: %w", err)
		}
		return setSource(r, raw, "")
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return fail(exitUsage, "FILE is a source file, a directory, a zip, or - for standard input", "read the code: %w", err)
	}
	interpreted := !strings.HasPrefix(p.runtime, "provided")
	if interpreted && info.Mode().IsRegular() && !strings.EqualFold(filepath.Ext(p.path), ".zip") {
		raw, err := readBounded(p.path, thermocline.MaxProgram)
		if err != nil {
			return err
		}
		return setSource(r, raw, filepath.Base(p.path))
	}
	if r.Zip, err = codePackage(p.path, p.runtime); err != nil {
		return err
	}
	if len(r.Zip) > thermocline.MaxProgram {
		return fail(exitUsage, "deploy it as a function: `thermocline deploy`", "the code has %d bytes as a zip, more than %d", len(r.Zip), thermocline.MaxProgram)
	}
	return nil
}

func setSource(r *client.RunRequest, raw []byte, name string) error {
	if len(raw) > thermocline.MaxProgram {
		return fail(exitUsage, "deploy it as a function: `thermocline deploy`", "the code has more than %d bytes", thermocline.MaxProgram)
	}
	source := string(raw)
	r.Source, r.Name = &source, name
	return nil
}

func (p *program) print(e *env, a *client.RunAnswer) error {
	if p.asJSON {
		if err := e.printJSON(a); err != nil {
			return err
		}
		return failure(a)
	}
	if a.Output != "" {
		fmt.Fprint(e.stderr, a.Output)
	}
	if a.OutputDropped > 0 {
		fmt.Fprintf(e.stderr, "(%d more bytes of output were dropped)\n", a.OutputDropped)
	}
	var err error
	switch {
	case a.Error != nil:
		for _, line := range a.Error.Trace {
			fmt.Fprintln(e.stderr, strings.TrimRight(line, "\n"))
		}
	case a.ResultBase64 != nil:
		_, err = e.stdout.Write(a.ResultBase64)
	default:
		_, err = fmt.Fprintf(e.stdout, "%s\n", a.Result)
	}
	if err != nil {
		return err
	}
	t := a.Timings
	fmt.Fprintf(e.stderr, "%s start in %.1f ms: queue %.1f, setup %.1f, init %.1f, run %.1f; %d MB\n",
		t.Start, t.Total, t.Queue, t.Setup, t.Init, t.Run, a.MaxMemoryMB)
	return failure(a)
}

// failure is the error of code that failed.
func failure(a *client.RunAnswer) error {
	if a.Error == nil {
		return nil
	}
	if a.Error.Status == "timeout" {
		return fail(exitFailed, "give it longer with --timeout", "%s", a.Error.Message)
	}
	return fail(exitFailed, "", "the code failed: %s: %s", a.Error.Type, a.Error.Message)
}

// spread is what --repeat measures. Times are in milliseconds.
type spread struct {
	Runs     int            `json:"runs"`
	Failed   int            `json:"failed"`
	Starts   map[string]int `json:"starts"`
	Client   quantiles      `json:"client_ms"` // from the call to its answer, here
	Total    quantiles      `json:"total_ms"`  // the same at the server
	Setup    quantiles      `json:"setup_ms"`
	Init     quantiles      `json:"init_ms"`
	Run      quantiles      `json:"run_ms"`
	PauseSec float64        `json:"pause_s"`
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// quantilesOf sorts v. The p-quantile is the least value that p of all do not
// exceed.
func quantilesOf(v []float64) quantiles {
	slices.Sort(v)
	at := func(percent int) float64 { return v[(len(v)*percent+99)/100-1] }
	return quantiles{at(50), at(99), at(100)}
}

// measure runs the code several times.
func (p *program) measure(ctx context.Context, e *env, s server, api *client.Client, request client.RunRequest) error {
	sum := spread{Starts: map[string]int{}, PauseSec: p.pause.Seconds()}
	var call, total, setup, boot, run []float64
	for range p.repeat {
		began := time.Now()
		a, err := api.Run(ctx, request)
		if err != nil {
			return s.explain(ctx, err)
		}
		call = append(call, float64(time.Since(began).Microseconds())/1000)
		t := a.Timings
		total, setup, boot, run = append(total, t.Total), append(setup, t.Setup), append(boot, t.Init), append(run, t.Run)
		sum.Runs++
		sum.Starts[t.Start]++
		if a.Error != nil {
			sum.Failed++
		}
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	sum.Client, sum.Total = quantilesOf(call), quantilesOf(total)
	sum.Setup, sum.Init, sum.Run = quantilesOf(setup), quantilesOf(boot), quantilesOf(run)
	if p.asJSON {
		if err := e.printJSON(sum); err != nil {
			return err
		}
	} else if err := sum.table(e); err != nil {
		return err
	}
	if sum.Failed > 0 {
		return fail(exitFailed, "run it once to see why", "%d of %d runs failed", sum.Failed, sum.Runs)
	}
	return nil
}

func (s spread) table(e *env) error {
	row := func(name string, q quantiles) []string {
		return []string{name, fmt.Sprintf("%.1f", q.P50), fmt.Sprintf("%.1f", q.P99), fmt.Sprintf("%.1f", q.Max)}
	}
	fmt.Fprintf(e.stdout, "%d runs: %d pooled starts, %d full\n", s.Runs, s.Starts["pooled"], s.Starts["full"])
	return e.table("MS P50 P99 MAX", [][]string{
		row("client", s.Client), row("total", s.Total), row("setup", s.Setup), row("init", s.Init), row("run", s.Run),
	})
}
