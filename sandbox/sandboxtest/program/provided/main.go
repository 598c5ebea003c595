// Command provided is the suite's program for the provided runtimes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

type part struct {
	Text string `json:"text"`
	Err  bool   `json:"err"`
}

type event struct {
	Do     string          `json:"do"`
	Value  json.RawMessage `json:"value"`
	Status int             `json:"status"`
	MS     int             `json:"ms"`
	Bytes  int             `json:"bytes"`
	Parts  []part          `json:"parts"`
}

func (e event) text() string {
	var s string
	_ = json.Unmarshal(e.Value, &s) // "" will not do, and shows
	return s
}

type program struct {
	count int
	ticks atomic.Int64
	hoard [][]byte
}

func main() {
	switch os.Getenv("_HANDLER") {
	case "broken.handler":
		fmt.Println("about to break")
		os.Exit(1)
	case "slow.handler":
		slowly()
	}
	p := &program{}
	lambda.Start(p.handle)
}

// slowly takes too long the first time; the next finds its mark.
func slowly() {
	if _, err := os.Stat("/tmp/tried"); err != nil {
		_ = os.WriteFile("/tmp/tried", nil, 0o600) // then it is slow again, and shows
		time.Sleep(time.Minute)
	}
	lambda.Start(func() (string, error) { return "at last", nil })
}

func (p *program) handle(_ context.Context, e event) (any, error) {
	switch e.Do {
	case "echo":
		return e.Value, nil
	case "fail":
		return nil, errors.New("on purpose")
	case "exit":
		os.Exit(e.Status)
	case "sleep":
		time.Sleep(time.Duration(e.MS) * time.Millisecond)
		return "slept", nil
	case "count":
		p.count++
		return p.count, nil
	case "print":
		for _, part := range e.Parts {
			f := os.Stdout
			if part.Err {
				f = os.Stderr
			}
			if _, err := f.WriteString(part.Text); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case "write":
		return nil, os.WriteFile("/tmp/file", []byte(e.text()), 0o600)
	case "read":
		data, err := os.ReadFile("/tmp/file")
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return string(data), err
	case "env":
		env := map[string]string{}
		for _, v := range os.Environ() {
			k, v, _ := strings.Cut(v, "=")
			env[k] = v
		}
		return env, nil
	case "where":
		return os.Getwd()
	case "large":
		return strings.Repeat("x", e.Bytes), nil
	case "length":
		return len(e.text()), nil
	case "tick":
		return p.tick(), nil
	case "memory":
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			p.hoard = append(p.hoard, b)
		}
	case "shell":
		return shell(e.text())
	case "background":
		cmd := exec.Command("/bin/sh", "-c", e.text())
		return nil, cmd.Start()
	}
	return nil, fmt.Errorf("unknown action %q", e.Do)
}

func (p *program) tick() int64 {
	if p.ticks.CompareAndSwap(0, 1) {
		go func() {
			for range time.Tick(5 * time.Millisecond) {
				p.ticks.Add(1)
			}
		}()
	}
	return p.ticks.Load()
}

func shell(script string) (any, error) {
	var out, errOut strings.Builder
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	return map[string]any{"status": cmd.ProcessState.ExitCode(), "out": out.String(), "err": errOut.String()}, nil
}
