package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/spf13/cobra"
)

// deployWait is how long deploy waits for a function to be ready.
const deployWait = 5 * time.Minute

// deployment is what the flags of deploy say.
type deployment struct {
	name, path       string
	runtime, handler string
	role             string
	memory, tmp      int32
	timeout          time.Duration
	variables        []string
	asJSON           bool
	changed          func(flag string) bool
}

func newDeployCmd(g *globals) *cobra.Command {
	d := &deployment{}
	c := &cobra.Command{
		Use:   "deploy NAME PATH --runtime RUNTIME --handler HANDLER",
		Short: "Create a function, or update it, and wait until it is ready",
		Long: `Create a function, or update it, and wait until it is ready.

PATH is a directory, a single file, or a zip. A directory is packed as it is;
for provided.al2023 it holds an executable named bootstrap (a single executable
file is given that name). When the function exists, flags that are not given
leave its configuration as it is.

  thermocline deploy hello ./hello --runtime nodejs18.x --handler index.handler
  thermocline deploy hello ./app.py --runtime python3.11 --handler app.handler
  thermocline deploy hello ./bootstrap --runtime provided.al2023`,
		Args: exactly("NAME", "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			d.name, d.path, d.changed = args[0], args[1], c.Flags().Changed
			return d.run(c.Context(), g)
		},
	}
	f := c.Flags()
	f.StringVar(&d.runtime, "runtime", "", "`runtime`, such as nodejs18.x, python3.11, provided.al2023 (`thermocline runtime list`)")
	f.StringVar(&d.handler, "handler", "", "`FILE.FUNCTION` that is called")
	f.Int32Var(&d.memory, "memory", 0, "memory in `MB`, from 128 to 10240 (128 when new)")
	f.Int32Var(&d.tmp, "tmp", 0, "size of /tmp in `MB`, from 512 to 10240 (512 when new)")
	f.DurationVar(&d.timeout, "timeout", 0, "longest run, from 1s to 15m (3s when new)")
	f.StringArrayVar(&d.variables, "env", nil, "environment variable `KEY=VALUE`; repeat for more")
	f.StringVar(&d.role, "role", "", "`ARN` of a role; kept and shown, never used")
	f.BoolVar(&d.asJSON, "json", false, "print the function's configuration as JSON")
	return c
}

func (d *deployment) run(ctx context.Context, g *globals) error {
	s, err := g.server()
	if err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	api := s.lambda(3)
	current, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &d.name})
	var missing *types.ResourceNotFoundException
	runtime := d.runtime
	switch {
	case errors.As(err, &missing):
		current = nil
	case err != nil:
		return s.explain(ctx, err)
	case runtime == "":
		runtime = string(current.Runtime)
	}
	code, err := codePackage(d.path, runtime)
	if err != nil {
		return err
	}
	if current == nil {
		err = d.create(ctx, api, s.Account, code)
	} else {
		err = d.update(ctx, api, code)
	}
	if err != nil {
		return s.explain(ctx, err)
	}
	return d.done(ctx, g, api, s, current == nil)
}

// check finds the faults that need no server.
func (d *deployment) check() error {
	if d.timeout%time.Second != 0 {
		return fail(exitUsage, "write --timeout 3s", "--timeout %v is no whole number of seconds", d.timeout)
	}
	_, err := d.environment()
	return err
}

func (d *deployment) environment() (*types.Environment, error) {
	vars := make(map[string]string, len(d.variables))
	for _, v := range d.variables {
		key, value, ok := strings.Cut(v, "=")
		if !ok || key == "" {
			return nil, fail(exitUsage, "write --env KEY=VALUE", "--env %q has no name and =", v)
		}
		vars[key] = value
	}
	return &types.Environment{Variables: vars}, nil
}

func (d *deployment) create(ctx context.Context, api *lambda.Client, account string, code []byte) error {
	handler, provided := d.handler, strings.HasPrefix(d.runtime, "provided")
	switch {
	case d.runtime == "":
		return fail(exitUsage, "`thermocline runtime list` shows what can run here", "%s is new and needs --runtime", d.name)
	case handler == "" && provided:
		handler = "bootstrap"
	case handler == "":
		return fail(exitUsage, "for a file index.mjs that exports handler: --handler index.handler", "%s is new and needs --handler", d.name)
	}
	role := d.role
	if role == "" {
		if account == "" {
			account = "000000000000"
		}
		role = "arn:aws:iam::" + account + ":role/thermocline"
	}
	in := &lambda.CreateFunctionInput{
		FunctionName: &d.name, Runtime: types.Runtime(d.runtime), Handler: &handler, Role: &role,
		Code: &types.FunctionCode{ZipFile: code},
	}
	if d.memory != 0 {
		in.MemorySize = &d.memory
	}
	if d.timeout != 0 {
		in.Timeout = aws.Int32(int32(d.timeout / time.Second))
	}
	if d.tmp != 0 {
		in.EphemeralStorage = &types.EphemeralStorage{Size: &d.tmp}
	}
	if len(d.variables) > 0 {
		in.Environment, _ = d.environment() // checked already
	}
	if _, err := api.CreateFunction(ctx, in); err != nil {
		return err
	}
	return lambda.NewFunctionActiveV2Waiter(api, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &d.name}, deployWait)
}

// update changes the configuration first and the code last, so that the new
// code never runs with the old configuration.
func (d *deployment) update(ctx context.Context, api *lambda.Client, code []byte) error {
	if err := d.updated(ctx, api); err != nil {
		return err
	}
	in := &lambda.UpdateFunctionConfigurationInput{FunctionName: &d.name}
	change := false
	set := func(flag string, apply func()) {
		if d.changed(flag) {
			apply()
			change = true
		}
	}
	set("runtime", func() { in.Runtime = types.Runtime(d.runtime) })
	set("handler", func() { in.Handler = &d.handler })
	set("memory", func() { in.MemorySize = &d.memory })
	set("tmp", func() { in.EphemeralStorage = &types.EphemeralStorage{Size: &d.tmp} })
	set("timeout", func() { in.Timeout = aws.Int32(int32(d.timeout / time.Second)) })
	set("role", func() { in.Role = &d.role })
	set("env", func() { in.Environment, _ = d.environment() })
	if change {
		if _, err := api.UpdateFunctionConfiguration(ctx, in); err != nil {
			return err
		}
		if err := d.updated(ctx, api); err != nil {
			return err
		}
	}
	if _, err := api.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &d.name, ZipFile: code}); err != nil {
		return err
	}
	return d.updated(ctx, api)
}

// updated waits until no update is under way.
func (d *deployment) updated(ctx context.Context, api *lambda.Client) error {
	return lambda.NewFunctionUpdatedV2Waiter(api, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &d.name}, deployWait)
}

// done says what is there now and what to do next.
func (d *deployment) done(ctx context.Context, g *globals, api *lambda.Client, s server, created bool) error {
	f, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &d.name})
	if err != nil {
		return s.explain(ctx, err)
	}
	if d.asJSON {
		return g.env.printJSON(functionOf(f))
	}
	verb := "updated"
	if created {
		verb = "created"
	}
	name := quote(aws.ToString(f.FunctionName))
	_, err = fmt.Fprintf(g.env.stdout, "%s %s: %s, %s, %d MB, timeout %d s\nnext: thermocline invoke %s --payload '{}'   then: thermocline logs %s, thermocline explain %s\n",
		verb, aws.ToString(f.FunctionName), f.Runtime, aws.ToString(f.Handler), aws.ToInt32(f.MemorySize), aws.ToInt32(f.Timeout), name, name, name)
	return err
}
