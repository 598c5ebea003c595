// Package load_test runs the real binary under load: what moves between
// fleets, what a killed server leaves, what clients see of either.
package load_test

import (
	"archive/zip"
	"bytes"
	"context"
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

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "thermocline-load-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "thermocline")
		build := exec.Command("go", "build", "-o", binary, "thermocline/cmd/thermocline")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// needsHost skips where sandboxes cannot run, and fails in CI, where they must.
func needsHost(t *testing.T) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	} else if _, err := exec.LookPath("runc"); err != nil {
		missing = "runc"
	}
	if missing == "" {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("this test needs %s", missing)
	}
	t.Skipf("SKIPPED: this test needs %s", missing)
}

// server is a running binary.
type server struct {
	t      *testing.T
	data   string
	args   []string
	cmd    *exec.Cmd
	client *lambda.Client
}

func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	needsHost(t)
	s := &server{t: t, data: t.TempDir(), args: args}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.terminate()
		}
		if t.Failed() {
			raw, _ := os.ReadFile(filepath.Join(s.data, "test.log"))
			if len(raw) > 8000 {
				raw = raw[len(raw)-8000:]
			}
			t.Logf("the server's log:\n%s", raw)
		}
	})
	return s
}

// start starts the server and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.data, "test.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	_ = os.Remove(filepath.Join(s.data, "credentials.json"))
	s.cmd = exec.Command(binary, append([]string{"serve", "--data", s.data, "--listen", "127.0.0.1:0"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	var c struct {
		Endpoint        string `json:"endpoint"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		Region          string `json:"region"`
	}
	s.eventually(20*time.Second, "the server is ready", func() bool {
		raw, err := os.ReadFile(filepath.Join(s.data, "credentials.json"))
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
	s.client = lambda.New(lambda.Options{
		BaseEndpoint: aws.String(c.Endpoint), Region: c.Region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	})
}

// kill is kill -9.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.cmd.Wait()
	s.cmd = nil
}

// terminate is SIGTERM; the server must exit with 0.
func (s *server) terminate() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			s.t.Errorf("after SIGTERM: %v", err)
		}
	case <-time.After(40 * time.Second):
		s.t.Error("the server did not stop within 40 s of SIGTERM")
		_ = s.cmd.Process.Kill()
		<-done
	}
	s.cmd = nil
}

func (s *server) eventually(within time.Duration, what string, ok func() bool) {
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

// nodeRuntime is a Node.js runtime that can run here.
func (s *server) nodeRuntime() string {
	s.t.Helper()
	var all []struct {
		Name      string `json:"name"`
		Available bool   `json:"available"`
	}
	if err := json.Unmarshal([]byte(s.command("runtime", "list", "--json")), &all); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range all {
		if r.Available && strings.HasPrefix(r.Name, "nodejs") {
			return r.Name
		}
	}
	s.t.Fatal("a Node.js under /usr is needed (make deps)")
	return ""
}

// command runs another command of the binary against the server.
func (s *server) command(args ...string) string {
	s.t.Helper()
	c := exec.Command(binary, append(args, "--data", s.data)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("thermocline %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// deploy creates a function of one file and waits until it is active.
func (s *server) deploy(name, runtime, handler, file, source string, change ...func(*lambda.CreateFunctionInput)) {
	s.t.Helper()
	in := &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.Runtime(runtime), Handler: &handler,
		Role: aws.String("arn:aws:iam::000000000000:role/any"),
		Code: &types.FunctionCode{ZipFile: archive(s.t, file, source)},
	}
	for _, f := range change {
		f(in)
	}
	if _, err := s.client.CreateFunction(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
	w := lambda.NewFunctionActiveV2Waiter(s.client, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	})
	if err := w.Wait(s.t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, 20*time.Second); err != nil {
		s.t.Fatal(err)
	}
}

func archive(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// invoke calls a function and returns its answer; an error of the function is
// an error here.
func (s *server) invoke(ctx context.Context, name, payload string) (string, error) {
	out, err := s.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: []byte(payload)})
	if err != nil {
		return "", err
	}
	if out.FunctionError != nil {
		return "", fmt.Errorf("%s: %s", *out.FunctionError, out.Payload)
	}
	return string(out.Payload), nil
}

// explanation is what these tests read of `explain --json`.
type explanation struct {
	Fleet   string             `json:"fleet"`
	Manager string             `json:"manager"`
	Usage   map[string]float64 `json:"usage"`
}

func (s *server) explain(name string) explanation {
	s.t.Helper()
	var e explanation
	if err := json.Unmarshal([]byte(s.command("explain", name, "--json")), &e); err != nil {
		s.t.Fatal(err)
	}
	return e
}

// logLine is one line of `logs --json`.
type logLine struct {
	RequestID string `json:"request_id"`
	Kind      string `json:"kind"`
	Text      string `json:"text"`
	Manager   string `json:"manager"`
}

func (s *server) logs(name string) []logLine {
	s.t.Helper()
	var lines []logLine
	for raw := range strings.Lines(s.command("logs", name, "--json")) {
		var l logLine
		if err := json.Unmarshal([]byte(raw), &l); err != nil {
			s.t.Fatalf("%v in %q", err, raw)
		}
		lines = append(lines, l)
	}
	return lines
}

// fails runs a command that must fail, and returns what it says.
func (s *server) fails(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(binary, append(args, "--data", s.data)...).CombinedOutput()
	if err == nil {
		s.t.Errorf("thermocline %s succeeded: %s", strings.Join(args, " "), out)
	}
	return string(out)
}
