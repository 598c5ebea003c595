package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// env is all that commands see of the process they run in.
type env struct {
	ctx    context.Context // ended by SIGINT or SIGTERM
	stop   func()
	args   []string // without the program's name
	vars   []string // KEY=value
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// terminal says that stderr is looked at by somebody: progress may be
	// drawn.
	terminal bool
	now      func() time.Time
}

// processEnv is the real one.
func processEnv() *env {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	info, err := os.Stderr.Stat()
	return &env{
		ctx: ctx, stop: stop,
		args: os.Args[1:], vars: os.Environ(),
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
		now:      time.Now,
	}
}

// lookup returns the last value of a variable, "" when it is not set.
func (e *env) lookup(name string) string {
	for i := len(e.vars) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(e.vars[i], "="); ok && k == name {
			return v
		}
	}
	return ""
}

// defaultData is the data directory when nothing names one.
func (e *env) defaultData() string {
	if home := e.lookup("HOME"); home != "" {
		return filepath.Join(home, ".thermocline")
	}
	return "/var/lib/thermocline"
}
