package main

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"
)

// function is what the commands print of one.
type function struct {
	Name         string `json:"name"`
	ARN          string `json:"arn"`
	Runtime      string `json:"runtime"`
	Handler      string `json:"handler"`
	MemoryMB     int32  `json:"memory_mb"`
	TmpMB        int32  `json:"tmp_mb"`
	Timeout      int32  `json:"timeout_s"`
	CodeSize     int64  `json:"code_size"`
	CodeSHA256   string `json:"code_sha256"`
	State        string `json:"state"`
	LastModified string `json:"last_modified"`
}

func newListCmd(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "functions",
		Aliases: []string{"list", "ls"},
		Short:   "List the functions",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := g.server()
			if err != nil {
				return err
			}
			found := []function{}
			pages := lambda.NewListFunctionsPaginator(s.lambda(3), &lambda.ListFunctionsInput{})
			for pages.HasMorePages() {
				page, err := pages.NextPage(c.Context())
				if err != nil {
					return s.explain(c.Context(), err)
				}
				for i := range page.Functions {
					found = append(found, listed(&page.Functions[i]))
				}
			}
			if asJSON {
				return g.env.printJSON(found)
			}
			var rows [][]string
			for _, f := range found {
				rows = append(rows, []string{f.Name, f.Runtime, f.Handler, strconv.Itoa(int(f.MemoryMB)) + " MB",
					strconv.Itoa(int(f.Timeout)) + " s", strconv.FormatInt(f.CodeSize, 10), f.LastModified})
			}
			return g.env.table("NAME RUNTIME HANDLER MEMORY TIMEOUT BYTES MODIFIED", rows)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func listed(f *types.FunctionConfiguration) function {
	out := function{
		Name: aws.ToString(f.FunctionName), ARN: aws.ToString(f.FunctionArn), Runtime: string(f.Runtime),
		Handler: aws.ToString(f.Handler), MemoryMB: aws.ToInt32(f.MemorySize), Timeout: aws.ToInt32(f.Timeout),
		CodeSize: f.CodeSize, CodeSHA256: aws.ToString(f.CodeSha256), State: string(f.State), LastModified: aws.ToString(f.LastModified),
	}
	if f.EphemeralStorage != nil {
		out.TmpMB = aws.ToInt32(f.EphemeralStorage.Size)
	}
	return out
}

func functionOf(f *lambda.GetFunctionConfigurationOutput) function {
	return listed(&types.FunctionConfiguration{
		FunctionName: f.FunctionName, FunctionArn: f.FunctionArn, Runtime: f.Runtime, Handler: f.Handler,
		MemorySize: f.MemorySize, Timeout: f.Timeout, CodeSize: f.CodeSize, CodeSha256: f.CodeSha256,
		State: f.State, LastModified: f.LastModified, EphemeralStorage: f.EphemeralStorage,
	})
}
