package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
)

// An OCI runtime that breaks while the server runs is answered in time with an
// error of the platform; events wait; and once it is mended all is well.
func TestRuncThatBreaks(t *testing.T) {
	needsHost(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	_, python := runtimes(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for name, how := range map[string]string{
		"fails":          "echo broken library >&2; exit 1\n",
		"prints-garbage": "head -c 1000000 /dev/urandom; exit 0\n",
		"hangs":          "exec sleep 600\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			broken := filepath.Join(dir, "broken")
			fake := filepath.Join(dir, "runc")
			// Deleting always works, as the server has to clean up after itself.
			script := `#!/bin/sh
case " $* " in *" --version "*|*" delete "*|*" kill "*) ;; *) [ ! -e ` + broken + ` ] || . ` + broken + ` ;; esac
exec ` + runc + ` "$@"
`
			if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(dir, "data")
			startOn(t, data, "--runc", fake)
			api := connect(t, data)
			in := creating(name, python, zipped(t, "app.py", "def handler(event, context): return event\n"))
			create(t, api, in)
			if err := os.WriteFile(broken, []byte(how), 0o600); err != nil {
				t.Fatal(err)
			}
			// What waits booted may still serve; a larger class has nothing waiting.
			if _, err := api.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, MemorySize: aws.Int32(1111)}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name})
			var got smithy.APIError
			if !errors.As(err, &got) || got.ErrorCode() != "ServiceException" && got.ErrorCode() != "ServiceUnavailableException" {
				t.Errorf("got %v, want an error of the platform", err)
			}
			t.Logf("%v after %v", err, time.Since(began).Round(time.Millisecond))
			if took := time.Since(began); took > 45*time.Second {
				t.Errorf("answered after %v", took)
			}
			if err := os.Remove(broken); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(60 * time.Second); ; time.Sleep(100 * time.Millisecond) { // polls a server; nothing to wait on
				out, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: []byte("[1]")})
				if err == nil && string(out.Payload) == "[1]" {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("mended: %+v, %v", out, err)
				}
			}
		})
	}
}
