package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"thermocline/client"
	"thermocline/sandbox/interpreter"
)

func newRuntimeCmd(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use:   "runtime",
		Short: "List and install language runtimes",
	})
	c.AddCommand(newRuntimeListCmd(g), newRuntimeInstallCmd(g))
	return c
}

func newRuntimeListCmd(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the runtimes, and what is missing for those that cannot run",
		Long: `List the runtimes, and what is missing for those that cannot run. When the
environment points at a server, it answers; otherwise this machine and the data
directory are looked at, and no server need run.`,
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := g.runtimes(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return g.env.printJSON(found)
			}
			var rows [][]string
			for _, r := range found {
				state := "missing"
				if r.Available {
					state = "ready"
				}
				note := r.Path
				if !r.Available {
					note = r.Missing
				}
				rows = append(rows, []string{r.Name, state, r.Version, r.Source, note})
			}
			return g.env.table("RUNTIME STATE VERSION SOURCE PATH", rows)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// runtimes asks the server that the environment names, or looks itself.
func (g *globals) runtimes(ctx context.Context) ([]client.Runtime, error) {
	if g.data == "" && g.env.lookup("AWS_ENDPOINT_URL_LAMBDA") != "" {
		s, err := g.server()
		if err != nil {
			return nil, err
		}
		own, err := s.own()
		if err != nil {
			return nil, err
		}
		defer own.Close()
		found, err := own.Runtimes(ctx)
		return found, s.explain(ctx, err)
	}
	set, err := interpreter.Discover(ctx, interpreter.Options{DataDir: g.dataDir()})
	if err != nil {
		return nil, fmt.Errorf("look for interpreters: %w", err)
	}
	found := []client.Runtime{}
	for _, l := range set.List() {
		found = append(found, client.Runtime{Name: l.Runtime, Available: l.Available, Version: l.Version,
			Path: l.Path, Source: string(l.Source), Missing: l.Missing})
	}
	return found, nil
}

func newRuntimeInstallCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "install RUNTIME",
		Short: "Install a Node.js runtime, such as nodejs22.x, into the data directory",
		Long: `Install a Node.js runtime into the data directory, from the registry that npm
is configured with; its integrity is checked. A server that runs on the same
data directory uses it at once, and none need run.`,
		Args: exactly("RUNTIME"),
		RunE: func(c *cobra.Command, args []string) error {
			bar := &progress{e: g.env, what: args[0]}
			i, err := interpreter.Install(c.Context(), args[0], interpreter.InstallOptions{DataDir: g.dataDir(), Progress: bar.show})
			bar.end()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(g.env.stdout, "%s is ready: version %s\n", args[0], i.Version)
			return err
		},
	}
}

// progress draws a bar on a terminal, and nothing elsewhere.
type progress struct {
	e     *env
	what  string
	drawn int // last percentage drawn + 1; 0: nothing yet
}

const barWidth = 30

func (p *progress) show(done, total int64) {
	if !p.e.terminal {
		return
	}
	percent := 0
	if total > 0 {
		percent = int(min(100, done*100/total))
	}
	if total > 0 && percent+1 == p.drawn {
		return
	}
	p.drawn = percent + 1
	full := percent * barWidth / 100
	bar := make([]byte, barWidth)
	for i := range bar {
		bar[i] = ' '
		if i < full {
			bar[i] = '='
		}
	}
	fmt.Fprintf(p.e.stderr, "\r%s [%s] %3d%%  %.1f MB", p.what, bar, percent, float64(done)/1e6)
}

func (p *progress) end() {
	if p.drawn > 0 {
		fmt.Fprintln(p.e.stderr)
	}
}
