package oci_test

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/oci"
)

// The environment that AWS's introspection functions found, of each runtime
// (test_introspection_invoke of the recordings), less _X_AMZN_TRACE_ID, which
// the runtime sets itself. Addresses of AWS's own are ours here.
func TestEnvironment(t *testing.T) {
	common := map[string]string{
		"AWS_ACCESS_KEY_ID": "ASIATHERMOCLINE00000", "AWS_SECRET_ACCESS_KEY": "placeholder", "AWS_SESSION_TOKEN": "placeholder",
		"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-1",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f", "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
		"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR", "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
		"_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1", "_AWS_XRAY_DAEMON_PORT": "2000",
		"LAMBDA_RUNTIME_DIR": "/var/runtime", "LAMBDA_TASK_ROOT": "/var/task", "LANG": "en_US.UTF-8", "TZ": ":UTC",
		"LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"PATH":            "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TEST_KEY":        "TEST_VAL", "_HANDLER": "index.handler",
	}
	managed := func(runtime string, more map[string]string) map[string]string {
		env := map[string]string{"AWS_EXECUTION_ENV": "AWS_Lambda_" + runtime, "PWD": "/var/task", "SHLVL": "0"}
		maps.Copy(env, more)
		return env
	}
	for runtime, more := range map[string]map[string]string{
		"nodejs20.x": managed("nodejs20.x", map[string]string{
			"NODE_PATH": "/opt/nodejs/node20/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"}),
		"nodejs24.x": managed("nodejs24.x", map[string]string{
			"NODE_PATH": "/opt/nodejs/node24/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"}),
		"python3.11":      managed("python3.11", map[string]string{"PYTHONPATH": "/var/runtime"}),
		"python3.12":      managed("python3.12", map[string]string{"PYTHONPATH": "/var/runtime", "LC_CTYPE": "C.UTF-8"}),
		"provided.al2023": {},
		"provided.al2": {
			"LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
			"PATH":            "/usr/local/bin:/usr/bin/:/bin:/opt/bin"},
	} {
		t.Run(runtime, func(t *testing.T) {
			want := maps.Clone(common)
			maps.Copy(want, more)
			got := oci.Environment(runtime, sandbox.Binding{LogStream: "stream", Function: &thermocline.Function{
				FunctionID: thermocline.FunctionID{Name: "f", Version: thermocline.Latest}, Region: "eu-west-1",
				Handler: "index.handler", MemoryMB: 1024, Environment: map[string]string{"TEST_KEY": "TEST_VAL"},
			}})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the environment differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnvironmentOfTheFunction(t *testing.T) {
	got := oci.Environment("nodejs20.x", sandbox.Binding{InitType: "provisioned-concurrency", Function: &thermocline.Function{
		Region: "eu-west-1",
		Environment: map[string]string{
			"PATH": "/mine", "TZ": "Europe/Berlin", "AWS_LAMBDA_RUNTIME_API": "evil:1", "_HANDLER": "x", "AWS_REGION": "mars",
			"AWS_ACCESS_KEY_ID": "x", "": "x", "A=B": "x", "NUL": "a\x00b", "EMPTY": "",
		},
	}})
	for k, want := range map[string]string{
		"PATH": "/mine", "TZ": "Europe/Berlin", "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
		// Only a program names no handler: it is a file of its own.
		"_HANDLER":   "/var/runtime/nodejs/main.handler",
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ASIATHERMOCLINE00000", "EMPTY": "",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
	} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	for _, k := range []string{"", "A=B", "NUL"} {
		if v, ok := got[k]; ok {
			t.Errorf("%q is %q", k, v)
		}
	}
}
