package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"

	"thermocline"
)

// invocation is what the flags of invoke say.
type invocation struct {
	name          string
	payload       string
	event, log    bool
	clientContext string
	qualifier     string
}

func newInvokeCmd(g *globals) *cobra.Command {
	i := &invocation{}
	c := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Invoke a function and print its answer",
		Long: `Invoke a function and print its answer. The exit code is 1 when the function
failed; its error is then the answer.

  thermocline invoke hello --payload '{"name":"you"}'
  thermocline invoke hello --payload @event.json --log
  generate | thermocline invoke hello --payload - --event`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			i.name = args[0]
			return i.run(c.Context(), g)
		},
	}
	f := c.Flags()
	f.StringVar(&i.payload, "payload", "", "`JSON`, @FILE, or - for standard input")
	f.BoolVar(&i.event, "event", false, "do not wait: put it into the queue")
	f.BoolVar(&i.log, "log", false, "print the end of the log to standard error")
	f.StringVar(&i.clientContext, "client-context", "", "`JSON` that the function finds in its context")
	f.StringVar(&i.qualifier, "qualifier", "", "`version` or alias")
	return c
}

func (i *invocation) run(ctx context.Context, g *globals) error {
	payload, err := i.read(g.env)
	if err != nil {
		return err
	}
	s, err := g.server()
	if err != nil {
		return err
	}
	in := &lambda.InvokeInput{FunctionName: &i.name, Payload: payload}
	attempts := 1
	if i.event {
		in.InvocationType, attempts = types.InvocationTypeEvent, 3
	}
	if i.log {
		in.LogType = types.LogTypeTail
	}
	if i.qualifier != "" {
		in.Qualifier = &i.qualifier
	}
	if i.clientContext != "" {
		in.ClientContext = aws.String(base64.StdEncoding.EncodeToString([]byte(i.clientContext)))
	}
	out, err := s.lambda(attempts).Invoke(ctx, in)
	if err != nil {
		return s.explain(ctx, err)
	}
	return i.print(g.env, out)
}

// read finds the payload.
func (i *invocation) read(e *env) (payload []byte, err error) {
	switch {
	case i.payload == "-":
		payload, err = io.ReadAll(io.LimitReader(e.stdin, thermocline.MaxPayload+1))
	case strings.HasPrefix(i.payload, "@"):
		payload, err = os.ReadFile(i.payload[1:])
	default:
		payload = []byte(i.payload)
	}
	if err != nil {
		return nil, fail(exitUsage, "", "read the payload: %w", err)
	}
	payload = bytes.TrimSpace(payload)
	if len(payload) > thermocline.MaxPayload {
		return nil, fail(exitUsage, "", "the payload has more than %d bytes", thermocline.MaxPayload)
	}
	if len(payload) > 0 && !json.Valid(payload) {
		return nil, fail(exitUsage, `a text needs quotes of its own: --payload '"text"'`, "the payload is no JSON")
	}
	if i.clientContext != "" && !json.Valid([]byte(i.clientContext)) {
		return nil, fail(exitUsage, "", "the client context is no JSON")
	}
	return payload, nil
}

func (i *invocation) print(e *env, out *lambda.InvokeOutput) error {
	if log := aws.ToString(out.LogResult); log != "" {
		raw, err := base64.StdEncoding.DecodeString(log)
		if err != nil {
			return fmt.Errorf("the log is no base64: %w", err)
		}
		fmt.Fprintf(e.stderr, "%s", raw)
	}
	if i.event {
		fmt.Fprintf(e.stderr, "accepted; `thermocline logs %s -f` shows its run\n", quote(i.name))
		return nil
	}
	if len(out.Payload) > 0 {
		if _, err := fmt.Fprintf(e.stdout, "%s\n", bytes.TrimSuffix(out.Payload, []byte("\n"))); err != nil {
			return err
		}
	}
	if kind := aws.ToString(out.FunctionError); kind != "" {
		return fail(exitFailed, fmt.Sprintf("`thermocline logs %s` shows what it wrote", quote(i.name)), "the function failed (%s)", kind)
	}
	return nil
}
