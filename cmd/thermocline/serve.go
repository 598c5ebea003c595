package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
)

func newServeCmd(g *globals) *cobra.Command {
	// Not part of the configuration: it is for one run, by who looks at it.
	var debugListen string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run a server: the Lambda API, instance managers and an embedded NATS",
		Long: `Run a server until SIGINT or SIGTERM: then running invocations finish, up to
--shutdown-deadline, and all sandboxes are removed.

The first start makes an account and an access key; eval "$(thermocline env)"
points the AWS tools at it. What a server that was killed has left behind is
found and removed by the next start on the same data directory.

It needs root, for namespaces, mounts and cgroups, and runc.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig(cmd.Flags())
			if err != nil {
				return err
			}
			log := g.env.logger(cfg.Log)
			stop, err := startDebug(debugListen, log)
			if err != nil {
				return err
			}
			defer stop()
			return g.serve(cmd.Context(), cfg.Config, log)
		},
	}
	addConfigFlags(c.Flags())
	c.Flags().StringVar(&debugListen, "debug-listen", "", "loopback `address` for profiles and figures of this process; empty: none")
	return c
}

// serve runs a node until ctx ends.
func (g *globals) serve(ctx context.Context, cfg Config, log *slog.Logger) error {
	for _, w := range cfg.warnings() {
		log.Warn(w)
	}
	began := time.Now()
	n, err := startNode(ctx, cfg, log)
	if err != nil {
		return err
	}
	log.Info("ready", "endpoint", n.endpoint, "took", time.Since(began).Round(time.Millisecond).String())
	fmt.Fprintf(g.env.stdout, "thermocline is ready at %s\nPoint the AWS tools at it: eval \"$(thermocline env --data %s)\"\n", n.endpoint, quote(cfg.Data))

	var failure error
	select {
	case <-ctx.Done():
	case failure = <-n.failed:
		log.Error("a part of the server failed", "error", failure)
	}
	log.Info("stopping", "deadline", cfg.ShutdownDeadline.String())
	if err := n.stop(cfg.ShutdownDeadline); err != nil && failure == nil {
		failure = fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped")
	return failure
}

// logger is the server's own log, on standard error.
func (e *env) logger(c LogConfig) *slog.Logger {
	var level slog.Level
	// Validate has checked it.
	_ = level.UnmarshalText([]byte(c.Level))
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.stderr, o))
	}
	return slog.New(slog.NewTextHandler(e.stderr, o))
}
