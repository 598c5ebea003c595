package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"thermocline/sandbox/bootstrap"
)

// options are what the flags say.
type options struct {
	functions  []string
	program    string
	root       string
	parts      []string // warm, cold, sustained
	time       time.Duration
	roundCount int
	colds      int
	coldPause  time.Duration
	sustain    time.Duration
	progress   io.Writer
}

// bench is one run.
type bench struct {
	options
	tmp, runtimeDir string
	workerd         string // its program, "" if there is none
	server          *platform
	began           time.Time
}

// say tells how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// run measures all that the options ask for.
func run(ctx context.Context, o options) (out *Report, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the server needs root: run it with sudo")
	}
	b := &bench{options: o, began: time.Now()}
	if b.tmp, err = os.MkdirTemp("", "thermocline-bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.tmp)
	// Runtime processes without a sandbox read their code as any user would.
	if err := os.Chmod(b.tmp, 0o711); err != nil {
		return nil, err
	}
	b.runtimeDir = filepath.Join(b.tmp, "runtime")
	if err := bootstrap.Write(b.runtimeDir); err != nil {
		return nil, err
	}
	out = newReport(ctx, o)
	var fs []function
	for _, name := range o.functions {
		f, err := prepare(ctx, name, o.root, o.program, b.tmp)
		if err != nil {
			return nil, err
		}
		fs = append(fs, f)
	}
	if slices.Contains(o.parts, "warm") {
		if err := b.allWarm(ctx, fs, out); err != nil {
			return nil, err
		}
	}
	if slices.Contains(o.parts, "cold") {
		if err := b.cold(ctx, fs, out); err != nil {
			return nil, err
		}
	}
	if slices.Contains(o.parts, "sustained") {
		for _, f := range fs {
			of := out.function(f)
			of.Sustained = map[string]Sustained{}
			for _, kind := range []string{"full", "pooled"} {
				b.say("%s: sustained cold starts, %s", f.Name, kind)
				if of.Sustained[kind], err = b.sustained(ctx, f, kind); err != nil {
					return nil, err
				}
			}
		}
	}
	out.Seconds = roundTo(time.Since(b.began).Seconds(), 0)
	return out, nil
}

// allWarm measures the functions one after the other, each on a server of its
// own: the sandboxes of one take no memory from the next.
func (b *bench) allWarm(ctx context.Context, fs []function, out *Report) error {
	for _, f := range fs {
		if f.Name == "nodejs" {
			var err error
			if b.workerd, err = installWorkerd(ctx); err != nil {
				out.NoWorkerd = err.Error()
				b.say("there is no workerd: %v", err)
			}
		}
		if err := b.oneWarm(ctx, f, out); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) oneWarm(ctx context.Context, f function, out *Report) (err error) {
	if b.server, err = startPlatform(ctx, b.program, b.tmp); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.stop()) }()
	measured, err := b.warm(ctx, f)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", f.Name, err, b.server.log())
	}
	*out.function(f) = *measured
	return nil
}

// nodeVersion is the interpreter's, as the example's answer has it.
func (b *bench) nodeVersion(ctx context.Context, f function) string {
	out, err := exec.CommandContext(ctx, f.interpreter, "--version").Output()
	if err != nil {
		return "?"
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
}
