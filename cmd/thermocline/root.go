package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// globals are the flags that all commands share, and the process.
type globals struct {
	env  *env
	data string
}

// execute runs the command that the arguments name and returns its exit code.
func execute(e *env) int {
	if e.stop != nil {
		defer e.stop()
	}
	return e.report(newRootCmd(e).ExecuteContext(e.ctx))
}

func newRootCmd(e *env) *cobra.Command {
	g := &globals{env: e}
	root := group(&cobra.Command{
		Use:   "thermocline",
		Short: "Run functions on your own machines, routed by how often they run",
		Long: `Thermocline runs other people's functions, isolated, behind the AWS Lambda API,
and routes each request by how often its function runs.

  thermocline serve                      start a server
  thermocline deploy hello ./hello --runtime nodejs18.x --handler index.handler
  thermocline invoke hello --payload '{"name":"you"}'
  thermocline explain hello              see where its requests go, and why

A command finds its server by --data DIR, else by the environment that
eval "$(thermocline env)" sets, else in ~/.thermocline.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	})
	root.SetArgs(e.args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fail(exitUsage, fmt.Sprintf("`%s --help` shows the flags", c.CommandPath()), "%w", err)
	})
	root.PersistentFlags().StringVar(&g.data, "data", "", "data `directory` (default ~/.thermocline)")
	root.AddCommand(
		newServeCmd(g), newEnvCmd(g), newConfigCmd(g), newVersionCmd(g),
		newDeployCmd(g), newInvokeCmd(g), newListCmd(g), newDeleteCmd(g),
		newLogsCmd(g), newExplainCmd(g), newFleetsCmd(g), newRuntimeCmd(g),
		newSimulateCmd(g),
		newAccountsCmd(g), newKeysCmd(g),
		newRunCmd(g), newReplayCmd(g),
	)
	return root
}

// exactly wants n arguments and says which when they are not there.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fail(exitUsage, "usage: "+c.UseLine(), "%s is missing", names[len(args)])
		case len(args) > len(names):
			return fail(exitUsage, "usage: "+c.UseLine(), "%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// group is a command that only holds others.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := fmt.Sprintf("`%s --help` shows the commands", c.CommandPath())
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
		}
		return fail(exitUsage, hint, "there is no command %q", args[0])
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

// printJSON writes v, indented.
func (e *env) printJSON(v any) error {
	out := json.NewEncoder(e.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
