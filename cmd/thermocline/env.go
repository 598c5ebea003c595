package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newEnvCmd(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "env",
		Short: "Print the environment that points the AWS tools at a server",
		Long: `Print the environment that points the AWS SDKs, the aws command and the other
commands of thermocline at the server of a data directory:

  eval "$(thermocline env)"
  aws lambda list-functions`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			// Not g.server(): the environment is what this command makes.
			s, err := g.env.serverOf(g.dataDir())
			if err != nil {
				return err
			}
			if asJSON {
				return g.env.printJSON(s.Credentials)
			}
			return g.env.printExports(s.Credentials)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printExports prints the commands of a shell that set the environment.
func (e *env) printExports(c Credentials) error {
	for _, v := range [][2]string{
		{"AWS_ENDPOINT_URL_LAMBDA", c.Endpoint},
		{"AWS_ACCESS_KEY_ID", c.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", c.SecretAccessKey},
		{"AWS_REGION", c.Region},
		{"AWS_DEFAULT_REGION", c.Region}, // version 1 of the aws command
	} {
		if _, err := fmt.Fprintf(e.stdout, "export %s=%s\n", v[0], quote(v[1])); err != nil {
			return err
		}
	}
	// A token left from another account would spoil the signature.
	_, err := fmt.Fprintln(e.stdout, "unset AWS_SESSION_TOKEN")
	return err
}
