package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newServeCmd(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start a server",
		Args:  exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := g.loadConfig(c.Flags())
			if err != nil {
				return err
			}
			for _, w := range l.warnings() {
				fmt.Fprintf(g.env.stderr, "thermocline: warning: %s\n", w)
			}
			return fail(exitFailed, "", "this build has no server")
		},
	}
	addConfigFlags(c.Flags())
	return c
}
