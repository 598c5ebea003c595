package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os/exec"
	"strings"
	"time"
)

const (
	runcTimeout = 5 * time.Second // for --version
	runcWait    = time.Second     // for what it left running, once it was killed
	runcOutput  = 4096            // bytes of its answer that are kept
)

// startRunc proves that the OCI runtime is one, before anything is touched:
// later every cold start would fail.
func (n *node) startRunc(ctx context.Context) error {
	const hint = "install one (Debian: apt-get install runc), or name another with --runc"
	path, err := exec.LookPath(n.cfg.Runc)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fail(exitFailed, "make it executable (chmod +x), or name another with --runc", "the OCI runtime %s cannot be run: %w", n.cfg.Runc, err)
	case err != nil:
		return fail(exitFailed, hint, "there is no OCI runtime %s: %w", n.cfg.Runc, err)
	}
	ctx, cancel := context.WithTimeout(ctx, runcTimeout)
	defer cancel()
	var out prefix
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, runcWait
	err = cmd.Run()
	first, _, _ := strings.Cut(strings.TrimSpace(string(out.kept)), "\n")
	switch {
	case ctx.Err() != nil:
		return fail(exitFailed, hint, "the OCI runtime %s did not answer --version within %v", path, runcTimeout)
	case err != nil:
		return fail(exitFailed, hint, "the OCI runtime %s does not run: %w: %s", path, err, printable(first))
	case !strings.Contains(first, " version "): // "runc version 1.1.5", "crun version 1.21", "runsc version release-…"
		return fail(exitFailed, hint, "%s is no OCI runtime: to --version it answered %q", path, first)
	}
	n.log.Debug("the OCI runtime answers", "runtime", first)
	return nil
}

// prefix keeps the beginning of what is written.
type prefix struct{ kept []byte }

func (p *prefix) Write(b []byte) (int, error) {
	p.kept = append(p.kept, b[:min(len(b), runcOutput-len(p.kept))]...)
	return len(b), nil
}

// redacted are the URLs of a cluster without passwords.
func (c Config) redacted() string {
	var all []string
	for _, one := range c.natsURLs() {
		u, err := url.Parse(one)
		if err != nil { // Validate has refused it
			continue
		}
		all = append(all, u.Redacted())
	}
	return strings.Join(all, ",")
}
