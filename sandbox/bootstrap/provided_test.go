package bootstrap_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thermocline/sandbox/bootstrap"
	"thermocline/sandbox/runtimeapi"
)

// TestProvided runs a function built with AWS's library for Go.
func TestProvided(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.Command("go", "build", "-o", binary, "./testdata/provided")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	provided := language{"provided.al2023", binary}
	p := provided.start(t, start{handler: "function.handler"})

	r, err := p.try(runtimeapi.Invocation{Payload: []byte(`{"pad":"` + strings.Repeat("x", 5<<20) + `"}`), ClientContext: `{"custom":{"foo":"bar"}}`})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"aws_request_id": requestID, "function_name": "fun", "function_version": "$LATEST",
		"invoked_function_arn": arn, "log_group_name": "/aws/lambda/fun", "log_stream_name": "stream",
		"memory_limit_in_mb": 128.0, "deadline": true, "pad": float64(5 << 20),
		"custom": map[string]any{"foo": "bar"},
	}
	if diff := cmp.Diff(want, decode(t, r.Payload)); diff != "" {
		t.Error(diff)
	}

	for range 2 {
		r = p.invoke(`{"do":"error"}`)
		want := map[string]any{"errorMessage": "Error: some_error_msg", "errorType": "errorString"} // as recorded
		if diff := cmp.Diff(want, decode(t, r.ErrorPayload)); diff != "" {
			t.Error(diff)
		}
	}
	r = p.invoke(`{"do":"panic"}`)
	if got := decode(t, r.ErrorPayload); got["errorMessage"] != "at the disco" || got["stackTrace"] == nil {
		t.Errorf("panic: %s", r.ErrorPayload)
	}
	<-p.done

	p = provided.start(t, start{handler: "function.handler"})
	if r = p.invoke(`{"do":"large"}`); !r.TooLarge {
		t.Errorf("too large: %d bytes, %s", len(r.Payload), r.ErrorPayload)
	}
	<-p.done // the library gives up when an answer is refused
}

// TestWrapper starts the runtime through the function's own program, which sets
// a variable and adds an argument, as in AWS's documentation.
func TestWrapper(t *testing.T) {
	for _, test := range []struct {
		name    string
		lang    language
		handler string
		files   map[string]string
	}{
		{"node", node, "index.handler", map[string]string{"index.js": `exports.handler = async () => ({ added: process.env.WRAPPER_VAR, flags: process.execArgv.includes('--no-deprecation') })`,
			"wrapper": "#!/bin/sh\nexport WRAPPER_VAR=yes\nprogram=$1; shift\nexec \"$program\" --no-deprecation \"$@\"\n"}},
		{"python", python, "index.handler", map[string]string{"index.py": "import os, sys\ndef handler(e, c):\n    return {'added': os.environ['WRAPPER_VAR'], 'flags': sys.flags.dev_mode}\n",
			"wrapper": "#!/bin/sh\nexport WRAPPER_VAR=yes\nprogram=$1; shift\nexec \"$program\" -X dev \"$@\"\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			(&process{T: t, root: dir}).write(test.files)
			env := map[string]string{bootstrap.WrapperVariable: filepath.Join(dir, "wrapper")}
			p := test.lang.start(t, start{handler: test.handler, files: test.files, env: env})
			want := map[string]any{"added": "yes", "flags": true}
			if diff := cmp.Diff(want, decode(t, p.invoke(`{}`).Payload)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
