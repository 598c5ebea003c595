package bootstrap_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"thermocline/sandbox/bootstrap"
	"thermocline/sandbox/runtimeapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// language is an interpreter of this machine.
type language struct{ runtime, interpreter string }

var (
	node   = language{"nodejs20.x", "/usr/bin/node"}
	python = language{"python3.11", "/usr/bin/python3.11"}
)

// need skips the test where the interpreter is missing, except in CI.
func (l language) need(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(l.interpreter); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI must have %s: %v", l.interpreter, err)
		}
		t.Skipf("SKIPPED: needs %s", l.interpreter)
	}
}

// process is a runtime with its API, run without a container.
type process struct {
	*testing.T
	api  *runtimeapi.Server
	root string // of the function's code
	out  *output
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	exit error
}

// output is a file, so that it holds all that was written before an answer by
// the time the answer is here.
type output struct{ *os.File }

func (o *output) String() string {
	data, err := os.ReadFile(o.Name())
	if err != nil {
		return err.Error()
	}
	return string(data)
}

type start struct {
	handler string
	files   map[string]string
	env     map[string]string
	wait    bool // started ahead of time, unbound
	command []string
}

const (
	requestID = "8f507cfc-8a0b-4a3f-b8a0-1f7a2d3c4e5f"
	arn       = "arn:aws:lambda:us-east-1:111111111111:function:fun"
)

func (l language) start(t *testing.T, s start) *process {
	t.Helper()
	l.need(t)
	runtimeDir := t.TempDir()
	if err := bootstrap.Write(runtimeDir); err != nil {
		t.Fatal(err)
	}
	s.handler = strings.Replace(s.handler, bootstrap.Dir, runtimeDir, 1)
	command := s.command
	if command == nil {
		command = bootstrap.Wrap(l.runtime, bootstrap.Command(l.runtime, l.interpreter, 128), s.env)
	}
	for i := range command {
		command[i] = strings.Replace(command[i], bootstrap.Dir, runtimeDir, 1)
	}
	p := &process{T: t, root: t.TempDir(), done: make(chan struct{})}
	file, err := os.Create(filepath.Join(runtimeDir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	p.out = &output{file}
	if !s.wait {
		p.write(s.files)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.api = runtimeapi.New(runtimeapi.Options{Logger: slog.New(slog.DiscardHandler)})
	served := make(chan error, 1)
	go func() { served <- p.api.Serve(listener) }()

	env := p.environment(l, listener.Addr().String(), s)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir = "/"
	p.cmd.Stdout, p.cmd.Stderr = p.out.File, p.out.File
	p.cmd.WaitDelay = 5 * time.Second
	if s.wait {
		p.cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), bootstrap.WaitVariable + "=1", "OLD=1", "THERMOCLINE_OTHER=1"}
	} else {
		for name, value := range env {
			p.cmd.Env = append(p.cmd.Env, name+"="+value)
		}
	}
	p.api.Booting()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.exit = p.cmd.Wait()
		close(p.done)
		p.api.Reset()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
		if err := p.api.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, runtimeapi.ErrClosed) {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("output:\n%s", p.out)
		}
		p.out.Close()
	})
	if s.wait {
		if err := p.api.Booted(p.Context()); err != nil {
			t.Fatal(err)
		}
		p.write(s.files) // as code is mounted late
		if err := p.api.Specialise(runtimeapi.BindMessage{Env: env, Handler: s.handler}); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *process) environment(l language, address string, s start) map[string]string {
	env := map[string]string{
		"_HANDLER": s.handler, "AWS_LAMBDA_RUNTIME_API": address, "LAMBDA_TASK_ROOT": p.root,
		"AWS_LAMBDA_FUNCTION_NAME": "fun", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/fun",
		"AWS_LAMBDA_LOG_STREAM_NAME": "stream", "TZ": ":UTC", "LANG": "en_US.UTF-8",
		"AWS_EXECUTION_ENV": "AWS_Lambda_" + l.runtime,
		"PATH":              "/usr/local/bin:/usr/bin:/bin",
	}
	maps.Copy(env, s.env)
	return env
}

func (p *process) write(files map[string]string) {
	p.Helper()
	for name, text := range files {
		path := filepath.Join(p.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			p.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			p.Fatal(err)
		}
	}
}

// invoke runs one invocation and fails the test if the platform does.
func (p *process) invoke(payload string) runtimeapi.Response {
	p.Helper()
	r, err := p.try(runtimeapi.Invocation{Payload: []byte(payload)})
	if err != nil {
		p.Fatalf("invoke: %v", err)
	}
	return r
}

func (p *process) try(inv runtimeapi.Invocation) (runtimeapi.Response, error) {
	ctx, cancel := context.WithTimeout(p.Context(), time.Minute)
	defer cancel()
	if inv.RequestID == "" {
		inv.RequestID = requestID
	}
	inv.ARN = arn
	inv.Deadline = time.Now().Add(20 * time.Second)
	return p.api.Invoke(ctx, inv)
}

// body is the result or the error, whatever the invocation gave.
func body(r runtimeapi.Response) string {
	if r.Failed() {
		return string(r.ErrorPayload)
	}
	return string(r.Payload)
}

func decode(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}
