package oci

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"thermocline/sandbox"
	"thermocline/sandbox/bootstrap"
)

// Where things are inside a sandbox.
const (
	taskDir    = "/var/task"
	runtimeDir = "/var/runtime"
	layerDir   = "/opt"
	scratchDir = "/tmp"
	apiAddress = "127.0.0.1:9001"
)

// reserved are the variables that a function's configuration cannot set.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID",
	"AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// baseEnvironment is what a process of the runtime finds before it is bound.
func baseEnvironment(runtime string, memoryMB int) map[string]string {
	env := map[string]string{
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(memoryMB),
		"AWS_LAMBDA_RUNTIME_API":          apiAddress,
		"AWS_XRAY_CONTEXT_MISSING":        "LOG_ERROR",
		"AWS_XRAY_DAEMON_ADDRESS":         "127.0.0.1:2000",
		"_AWS_XRAY_DAEMON_ADDRESS":        "127.0.0.1",
		"_AWS_XRAY_DAEMON_PORT":           "2000",
		"LAMBDA_RUNTIME_DIR":              runtimeDir,
		"LAMBDA_TASK_ROOT":                taskDir,
		"LANG":                            "en_US.UTF-8",
		"LD_LIBRARY_PATH":                 "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
		"PATH":                            "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TZ":                              ":UTC",
	}
	switch {
	case runtime == "provided.al2":
		env["LD_LIBRARY_PATH"] = "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
		env["PATH"] = "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
		return env
	case isProvided(runtime):
		return env
	case strings.HasPrefix(runtime, "nodejs"):
		major := strings.TrimSuffix(strings.TrimPrefix(runtime, "nodejs"), ".x")
		env["NODE_PATH"] = "/opt/nodejs/node" + major + "/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
	case strings.HasPrefix(runtime, "python"):
		env["PYTHONPATH"] = runtimeDir
		if minor, err := strconv.Atoi(strings.TrimPrefix(runtime, "python3.")); err == nil && minor >= 12 {
			env["LC_CTYPE"] = "C.UTF-8"
		}
	}
	env["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + runtime
	env["PWD"] = taskDir
	env["SHLVL"] = "0"
	return env
}

// environment is what a function's code finds: the runtime's variables, over
// them the function's own, over those the reserved ones. The function's
// credentials are placeholders: there is no role to assume here.
func environment(runtime string, b sandbox.Binding) map[string]string {
	f := b.Function
	env := baseEnvironment(runtime, f.MemoryMB)
	initType := b.InitType
	if initType == "" {
		initType = "on-demand"
	}
	maps.Copy(env, map[string]string{
		"_HANDLER":                       handlerOf(runtime, b),
		"AWS_ACCESS_KEY_ID":              "ASIATHERMOCLINE00000",
		"AWS_SECRET_ACCESS_KEY":          "placeholder",
		"AWS_SESSION_TOKEN":              "placeholder",
		"AWS_REGION":                     f.Region,
		"AWS_DEFAULT_REGION":             f.Region,
		"AWS_LAMBDA_FUNCTION_NAME":       f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION":    f.Version,
		"AWS_LAMBDA_INITIALIZATION_TYPE": initType,
		"AWS_LAMBDA_LOG_GROUP_NAME":      "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":     b.LogStream,
	})
	for k, v := range f.Environment {
		if settable(k, v) {
			env[k] = v
		}
	}
	return env
}

// handlerOf is what the runtime calls: what the function names, or what runs a
// program that names nothing.
func handlerOf(runtime string, b sandbox.Binding) string {
	if b.Function.Handler == "" {
		return bootstrap.MainHandler(runtime)
	}
	return b.Function.Handler
}

// settable reports whether a function may set the variable, and whether it is
// one at all.
func settable(key, value string) bool {
	return key != "" && !strings.ContainsAny(key, "=\x00") && !strings.Contains(value, "\x00") &&
		!slices.Contains(reserved, key)
}

// list turns an environment into the form of execve, sorted.
func list(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}

// isProvided reports whether the function brings its own program.
func isProvided(runtime string) bool { return strings.HasPrefix(runtime, "provided") }
