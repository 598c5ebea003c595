// Program provided is a function that brings its own runtime, AWS's for Go.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do  string `json:"do"`
	Pad string `json:"pad"`
}

func handle(ctx context.Context, e event) (any, error) {
	switch e.Do {
	case "error":
		return nil, errors.New("Error: some_error_msg")
	case "panic":
		panic("at the disco")
	case "exit":
		os.Exit(1)
	case "large":
		return make([]byte, 8<<20), nil
	}
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return map[string]any{
		"aws_request_id":       lc.AwsRequestID,
		"invoked_function_arn": lc.InvokedFunctionArn,
		"custom":               lc.ClientContext.Custom,
		"function_name":        lambdacontext.FunctionName,
		"function_version":     lambdacontext.FunctionVersion,
		"log_group_name":       lambdacontext.LogGroupName,
		"log_stream_name":      lambdacontext.LogStreamName,
		"memory_limit_in_mb":   lambdacontext.MemoryLimitInMB,
		"deadline":             deadline.UnixMilli() > 0,
		"pad":                  len(e.Pad),
	}, nil
}

func main() { lambda.Start(handle) }
