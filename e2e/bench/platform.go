package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// platform is a running Thermocline.
type platform struct {
	process *process
	node    string
	dir     string
	addr    string
	signer  signer
	client  *lambda.Client
}

// startPlatform starts a server with a data directory of its own below dir and
// waits until it is ready.
func startPlatform(ctx context.Context, program, dir string, flags ...string) (*platform, error) {
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return nil, err
	}
	p := &platform{node: fmt.Sprintf("bench-%x", time.Now().UnixNano()&0xffffffff), dir: data}
	log, err := os.Create(filepath.Join(data, "server.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--node", p.node}, flags...)
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if p.process, err = start(cmd); err != nil {
		return nil, err
	}
	if err := p.ready(ctx); err != nil {
		_ = p.process.stop(5 * time.Second)
		return nil, fmt.Errorf("%w\n%s", err, p.log())
	}
	return p, nil
}

// ready waits for the server.
func (p *platform) ready(ctx context.Context) error {
	var c struct {
		Endpoint        string `json:"endpoint"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		Region          string `json:"region"`
	}
	for end := time.Now().Add(30 * time.Second); ; {
		raw, err := os.ReadFile(filepath.Join(p.dir, "credentials.json"))
		if err == nil && json.Unmarshal(raw, &c) == nil {
			if r, err := http.Get(c.Endpoint + "/thermocline/v1/health"); err == nil {
				r.Body.Close()
				if r.StatusCode == http.StatusOK {
					break
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-p.process.done:
			p.process.done <- err
			return fmt.Errorf("the server ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return errors.New("the server was not ready within 30 s")
		}
	}
	p.addr = strings.TrimPrefix(c.Endpoint, "http://")
	p.signer = signer{endpoint: c.Endpoint, region: c.Region, who: aws.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey}}
	p.client = lambda.New(lambda.Options{
		BaseEndpoint: aws.String(c.Endpoint), Region: c.Region,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	})
	return nil
}

// log returns the end of the server's own log.
func (p *platform) log() string {
	raw, _ := os.ReadFile(filepath.Join(p.dir, "server.log"))
	if len(raw) > 4000 {
		raw = raw[len(raw)-4000:]
	}
	return string(raw)
}

// stop ends the server and removes its data.
func (p *platform) stop() error {
	if err := p.process.stop(60 * time.Second); err != nil {
		return fmt.Errorf("stop the server: %w\n%s", err, p.log())
	}
	return os.RemoveAll(p.dir)
}

// deploy creates functions of the same code and waits until all are active.
// env is what each has in its environment.
func (p *platform) deploy(ctx context.Context, f function, env map[string]string, names ...string) error {
	for _, name := range names {
		in := &lambda.CreateFunctionInput{
			FunctionName: &name, Runtime: types.Runtime(f.Runtime), Handler: &f.handler,
			Role: aws.String("arn:aws:iam::000000000000:role/any"), Code: &types.FunctionCode{ZipFile: f.zip},
			MemorySize: aws.Int32(memoryMB), Timeout: aws.Int32(30),
		}
		if len(env) > 0 {
			in.Environment = &types.Environment{Variables: env}
		}
		if _, err := p.client.CreateFunction(ctx, in); err != nil {
			return fmt.Errorf("create a function: %w", err)
		}
	}
	for _, name := range names {
		for end := time.Now().Add(20 * time.Second); ; {
			out, err := p.client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
			if err != nil {
				return fmt.Errorf("read a function: %w", err)
			}
			if out.State == types.StateActive {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("the function %s is %s after 20 s", name, out.State)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// target is a function of the server for the load generator.
func (p *platform) target(name, answer string) target {
	return target{addr: p.addr, answer: answer, request: func(now time.Time) ([]byte, error) {
		return p.signer.invocation(name, payload, false, now)
	}}
}
