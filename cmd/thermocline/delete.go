package main

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"
)

func newDeleteCmd(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME",
		Aliases: []string{"rm"},
		Short:   "Delete a function with all its versions",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := g.server()
			if err != nil {
				return err
			}
			if _, err := s.lambda(3).DeleteFunction(c.Context(), &lambda.DeleteFunctionInput{FunctionName: &args[0]}); err != nil {
				return s.explain(c.Context(), err)
			}
			_, err = fmt.Fprintf(g.env.stdout, "deleted %s\n", args[0])
			return err
		},
	}
}
