package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thermocline/client"
)

func newExplainCmd(g *globals) *cobra.Command {
	var asJSON bool
	var qualifier string
	c := &cobra.Command{
		Use:   "explain NAME",
		Short: "Say where a function's requests go, and why",
		Long: `Say where a function's requests go, and why: its usage, each criterion with its
value, the fleet and since when, the managers, and what would change it. Each
version of a function has a usage and a fleet of its own.

  thermocline explain hello
  thermocline explain hello --qualifier 3`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := g.server()
			if err != nil {
				return err
			}
			own, err := s.own()
			if err != nil {
				return err
			}
			defer own.Close()
			name := args[0]
			if qualifier != "" {
				name += ":" + qualifier // as in an ARN
			}
			x, err := own.Explain(c.Context(), name)
			if err != nil {
				return s.explain(c.Context(), err)
			}
			if asJSON {
				return g.env.printJSON(x.Raw)
			}
			return g.env.printExplanation(x)
		},
	}
	c.Flags().StringVar(&qualifier, "qualifier", "", "version or `alias` ($LATEST when not given)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (e *env) printExplanation(x *client.Explanation) error {
	u := func(name string) string { return number(x.Usage[name]) }
	last := "never"
	if x.Last != nil {
		last = e.ago(*x.Last)
	}
	fmt.Fprintf(e.stdout, "%s is in the fleet %s (%s) since %s", printable(x.Function), x.Fleet, x.Dispatch, x.Since.Local().Format("2006-01-02 15:04:05"))
	if x.MayLeave != nil {
		fmt.Fprintf(e.stdout, ", for %s more at least", x.MayLeave.Sub(e.now()).Round(time.Second))
	}
	fmt.Fprintf(e.stdout, "\nmanager: %s", orDash(x.Manager))
	if len(x.Managers) > 1 {
		fmt.Fprintf(e.stdout, " (then %s)", strings.Join(x.Managers[1:], ", "))
	}
	fmt.Fprintf(e.stdout, "\nusage:   %s/s over a minute, %s/s over an hour, %s in all, last %s\n", u("rate_minute"), u("rate_hour"), u("total"), last)
	fmt.Fprintf(e.stdout, "         %s running now, %s ms each, %s sandboxes kept busy\n", u("concurrency"), u("mean_duration_ms"), u("offered"))
	switch x.Starts.Kind {
	case "pooled":
		fmt.Fprintln(e.stdout, "starts:  pooled, when a sandbox of its runtime and memory waits in the warming pool")
	case "full":
		fmt.Fprintf(e.stdout, "starts:  full, never from the warming pool: its environment sets %s, read when the process starts\n",
			printable(strings.Join(x.Starts.Because, ", ")))
	}
	if len(x.Criteria) > 0 {
		fmt.Fprintln(e.stdout)
		var rows [][]string
		for _, c := range x.Criteria {
			holds := "no"
			if c.Holds {
				holds = "yes"
			}
			rows = append(rows, []string{c.Fleet, c.Expression, c.Variable + " " + c.Operator + " " + number(c.Threshold), number(c.Value), number(c.Distance), holds})
		}
		if err := e.table("FLEET EXPRESSION CRITERION VALUE DISTANCE HOLDS", rows); err != nil {
			return err
		}
	}
	if len(x.Changes) > 0 {
		fmt.Fprintf(e.stdout, "\nit\n")
		for _, change := range x.Changes {
			fmt.Fprintf(e.stdout, "  %s\n", printable(change))
		}
	}
	return nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 3, 64) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
