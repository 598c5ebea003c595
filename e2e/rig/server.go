package rig

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Server is a running server.
type Server struct {
	Data     string // its data directory
	Endpoint string
	Client   *lambda.Client // without retries

	t       testing.TB
	program string
	debug   string // where --debug-listen serves
	cmd     *exec.Cmd
	done    chan error
}

// Start starts a server and waits until it is ready. It is ended with the test;
// if that has failed, the end of its log is part of the test's.
func Start(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, program: program, Data: t.TempDir(), done: make(chan error, 1)}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(program, append([]string{"serve", "--data", s.Data, "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.Log(8000))
		}
	})
	s.awaitReady()
	return s
}

func (s *Server) awaitReady() {
	s.t.Helper()
	var c struct {
		Endpoint        string `json:"endpoint"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		Region          string `json:"region"`
	}
	s.Eventually(30*time.Second, "the server is ready", func() bool {
		raw, err := os.ReadFile(filepath.Join(s.Data, "credentials.json"))
		if err != nil || json.Unmarshal(raw, &c) != nil {
			return false
		}
		r, err := http.Get(c.Endpoint + "/thermocline/v1/health")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	s.Endpoint = c.Endpoint
	s.Client = lambda.New(lambda.Options{
		BaseEndpoint: aws.String(c.Endpoint), Region: c.Region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	})
}

func (s *Server) logFile() string { return filepath.Join(s.Data, "test.log") }

// Log returns the last n bytes of the server's log.
func (s *Server) Log(n int) string {
	raw, _ := os.ReadFile(s.logFile())
	return string(raw[max(0, len(raw)-n):])
}

// Pid is the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Stop sends SIGTERM; the server must exit with 0. A second call does nothing.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Errorf("after SIGTERM: %v", err)
		}
	case <-time.After(45 * time.Second):
		s.t.Error("the server did not stop within 45 s of SIGTERM")
		_ = s.cmd.Process.Kill()
		s.t.Logf("it was killed: %v", <-s.done)
	}
	s.cmd = nil
}

// Eventually fails the test unless ok becomes true in time.
func (s *Server) Eventually(within time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(25 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// Command runs another command of the program against the server.
func (s *Server) Command(args ...string) string {
	s.t.Helper()
	c := exec.Command(s.program, append(args, "--data", s.Data)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("thermocline %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// Runtime returns a runtime that can run here and whose name has the prefix.
func (s *Server) Runtime(prefix string) string {
	s.t.Helper()
	var all []struct {
		Name      string `json:"name"`
		Available bool   `json:"available"`
	}
	if err := json.Unmarshal([]byte(s.Command("runtime", "list", "--json")), &all); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range all {
		if r.Available && strings.HasPrefix(r.Name, prefix) {
			return r.Name
		}
	}
	s.t.Fatalf("a runtime %s* under /usr is needed (make deps)", prefix)
	return ""
}

// Node is what the server calls itself in the names of what it has on the host.
func (s *Server) Node() string {
	s.t.Helper()
	var fleets []struct {
		Name     string `json:"name"`
		Managers []struct {
			ID string `json:"id"`
		} `json:"managers"`
	}
	if err := json.Unmarshal([]byte(s.Command("fleets", "--json")), &fleets); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range fleets {
		for _, m := range f.Managers {
			if before, _, ok := strings.Cut(m.ID, "-"+f.Name+"-"); ok {
				return before
			}
		}
	}
	s.t.Fatal("no manager announces itself")
	return ""
}

// Function is what Deploy creates.
type Function struct {
	Name, Runtime, Handler string
	Zip                    []byte
	MemoryMB, Timeout      int32 // Timeout in seconds
	TmpMB                  int32
	Environment            map[string]string
}

// Deploy creates a function and waits until it is active.
func (s *Server) Deploy(f Function) {
	s.t.Helper()
	if err := s.TryDeploy(s.t.Context(), f); err != nil {
		s.t.Fatalf("deploy %s: %v", f.Name, err)
	}
}

// TryDeploy is Deploy for any goroutine.
func (s *Server) TryDeploy(ctx context.Context, f Function) error {
	in := &lambda.CreateFunctionInput{
		FunctionName: &f.Name, Runtime: types.Runtime(f.Runtime), Handler: aws.String(f.Handler),
		Role: aws.String("arn:aws:iam::000000000000:role/any"),
		Code: &types.FunctionCode{ZipFile: f.Zip}, MemorySize: aws.Int32(max(f.MemoryMB, 128)),
		Timeout: aws.Int32(max(f.Timeout, 3)),
	}
	if f.Handler == "" {
		in.Handler = aws.String("index.handler")
	}
	if f.TmpMB > 0 {
		in.EphemeralStorage = &types.EphemeralStorage{Size: &f.TmpMB}
	}
	if len(f.Environment) > 0 {
		in.Environment = &types.Environment{Variables: f.Environment}
	}
	if _, err := s.Client.CreateFunction(ctx, in); err != nil {
		return err
	}
	w := lambda.NewFunctionActiveV2Waiter(s.Client, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 25*time.Millisecond, time.Second
	})
	return w.Wait(ctx, &lambda.GetFunctionInput{FunctionName: &f.Name}, 20*time.Second)
}

// Answer is the outcome of an invocation.
type Answer struct {
	Payload string
	Failed  bool   // the function failed; Payload says how
	Log     string // its last 4 KB
}

// Start is the kind of start in the log's REPORT: warm, pooled or full.
func (a Answer) Start() string {
	_, rest, _ := strings.Cut(a.Log, "\tstart: ")
	kind, _, _ := strings.Cut(rest, "\t")
	return kind
}

// Invoke invokes a function and waits for its answer. The error is the
// platform's.
func (s *Server) Invoke(ctx context.Context, name string, event any) (Answer, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return Answer{}, err
	}
	out, err := s.Client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: payload, LogType: types.LogTypeTail})
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Payload: string(out.Payload), Failed: out.FunctionError != nil}
	if out.LogResult != nil {
		raw, err := base64.StdEncoding.DecodeString(*out.LogResult)
		if err != nil {
			return a, fmt.Errorf("the log's tail: %w", err)
		}
		a.Log = string(raw)
	}
	return a, nil
}

// Delete deletes a function.
func (s *Server) Delete(ctx context.Context, name string) error {
	_, err := s.Client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name})
	return err
}

// Follow runs `logs -f` for a while. That it is ended is no error.
func (s *Server) Follow(ctx context.Context, name string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	c := exec.CommandContext(ctx, s.program, "logs", name, "-f", "--data", s.Data)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) }
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("logs -f: %w: %s", err, out)
	}
	return nil
}
