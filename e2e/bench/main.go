package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 7 && os.Args[1] == "bare" {
		if err := bareMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bare:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// outputs are the files that are written.
type outputs struct{ json, coldStart, update string }

// command is the program behind its flags.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, to, asJSON, err := flags(args, stderr)
	if err != nil {
		return err
	}
	o.progress = stderr
	r, err := run(ctx, o)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := r.writeTable(&text); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	shown := text.Bytes()
	if asJSON {
		shown = append(raw, '\n')
	}
	if _, err := stdout.Write(shown); err != nil {
		return err
	}
	if to.json != "" {
		if err := os.WriteFile(to.json, append(raw, '\n'), 0o644); err != nil {
			return err
		}
	}
	if to.coldStart != "" {
		d, err := r.distribution()
		if err != nil {
			return err
		}
		if err := os.WriteFile(to.coldStart, append(d, '\n'), 0o644); err != nil {
			return err
		}
	}
	if to.update != "" {
		document, err := os.ReadFile(to.update)
		if err != nil {
			return err
		}
		if document, err = update(document, text.Bytes()); err != nil {
			return fmt.Errorf("%s: %w", to.update, err)
		}
		return os.WriteFile(to.update, document, 0o644)
	}
	return nil
}

func flags(args []string, stderr io.Writer) (o options, to outputs, asJSON bool, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	functions := f.String("functions", "go,nodejs,python", "the examples to measure, separated by commas")
	parts := f.String("parts", "warm,cold,sustained", "what to measure, separated by commas")
	f.StringVar(&o.program, "thermocline", "bin/thermocline", "the program to measure")
	f.StringVar(&o.root, "root", ".", "the repository's root")
	f.DurationVar(&o.time, "time", time.Second, "the time of one side's measurement in one round")
	f.IntVar(&o.roundCount, "rounds", 10, "the rounds")
	f.IntVar(&o.colds, "cold", 100, "the cold starts of each function and kind")
	f.DurationVar(&o.coldPause, "cold-pause", 200*time.Millisecond, "the pause before each of them")
	f.DurationVar(&o.sustain, "sustain", 8*time.Second, "the time of each measurement of sustained cold starts")
	f.BoolVar(&asJSON, "json", false, "print JSON, not tables")
	f.StringVar(&to.json, "json-file", "", "write JSON into this file as well")
	f.StringVar(&to.coldStart, "cold-start", "", "write the distribution of cold starts into this file, for thermocline simulate --cold-start")
	f.StringVar(&to.update, "update", "", "put the table into this document")
	if err := f.Parse(args); err != nil {
		return o, to, false, err
	}
	if f.NArg() > 0 {
		return o, to, false, fmt.Errorf("there are no arguments but flags: %q", f.Args())
	}
	o.functions, o.parts = strings.Split(*functions, ","), strings.Split(*parts, ",")
	for _, p := range o.parts {
		if p != "warm" && p != "cold" && p != "sustained" {
			return o, to, false, fmt.Errorf("there is no part %q: warm, cold, sustained", p)
		}
	}
	if o.time < 50*time.Millisecond || o.roundCount < 1 || o.colds < 1 || o.sustain < 100*time.Millisecond {
		return o, to, false, errors.New("-time is at least 50ms, -sustain 100ms, -rounds and -cold 1")
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return o, to, false, err
	}
	_, err = os.Stat(o.program)
	if err != nil {
		err = fmt.Errorf("%w (make build builds it)", err)
	}
	return o, to, asJSON, err
}
