package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/sandbox"
)

// Run tests an implementation. make is called once per test.
func Run(t *testing.T, make func(t *testing.T) Factory) {
	tests := map[string]func(*testing.T, Factory){
		"Invoke":            testInvoke,
		"Environment":       testEnvironment,
		"Errors":            testErrors,
		"InitError":         testInitError,
		"InitTimeout":       testInitTimeout,
		"Initialise":        testInitialise,
		"Timeout":           testTimeout,
		"Exit":              testExit,
		"OutOfMemory":       testOutOfMemory,
		"Cancel":            testCancel,
		"Output":            testOutput,
		"OutputFlood":       testOutputFlood,
		"Payloads":          testPayloads,
		"Freeze":            testFreeze,
		"Specialise":        testSpecialise,
		"SpecialiseRestart": testSpecialiseRestart,
		"Close":             testClose,
		"CloseWhileRunning": testCloseWhileRunning,
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) { tests[name](t, make(t)) })
	}
}

func testInvoke(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	out := r.invoke("echo", do{"value": do{"a": "ü\u2028", "b": []int{1, 2}}})
	want := map[string]any{"a": "ü\u2028", "b": []any{1.0, 2.0}}
	if diff := cmp.Diff(want, decode(t, out)); diff != "" {
		t.Errorf("the result differs (-want +got):\n%s", diff)
	}
	if out.Init <= 0 {
		t.Error("the first invocation does not say how long initialisation took")
	}
	if out.Duration <= 0 || out.PeakMemory <= 0 {
		t.Errorf("Duration is %v, PeakMemory %d", out.Duration, out.PeakMemory)
	}
	for i := 1; i <= 3; i++ { // one process, which remembers
		out := r.invoke("count", nil)
		if got := decode(t, out); got != float64(i) {
			t.Errorf("invocation %d counts %v", i, got)
		}
		if out.Init != 0 {
			t.Errorf("invocation %d says that it initialised for %v", i, out.Init)
		}
	}
	if n, err := r.s.Memory(); err != nil || n <= 0 {
		t.Errorf("Memory: %d, %v", n, err)
	}
	if !r.s.Alive() {
		t.Error("it is not alive")
	}
}

func testEnvironment(t *testing.T, f Factory) {
	fn := f.Function()
	fn.Environment = map[string]string{"TEST_KEY": "TEST_VAL", "AWS_REGION": "mars", "LANG": "C.UTF-8"}
	r := startBound(t, f, fn)
	checkEnvironment(t, r, fn)
	if dir := r.result("where", nil); dir != "/var/task" {
		t.Errorf("the working directory is %v", dir)
	}
}

func checkEnvironment(t *testing.T, r *rig, fn *thermocline.Function) {
	t.Helper()
	env, _ := r.result("env", nil).(map[string]any)
	want := map[string]any{
		"TEST_KEY": "TEST_VAL", "LANG": "C.UTF-8", // the function's go over the runtime's,
		"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", // but not over these
		"_HANDLER": fn.Handler, "AWS_LAMBDA_FUNCTION_NAME": "suite", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "LAMBDA_TASK_ROOT": "/var/task", "TZ": ":UTC",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/suite", "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]suite",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
	}
	for k, v := range want {
		if env[k] != v {
			t.Errorf("%s is %v, want %v", k, env[k], v)
		}
	}
	for k := range env {
		if strings.HasPrefix(k, "THERMOCLINE") {
			t.Errorf("the function sees %s", k)
		}
	}
}

func testInitialise(t *testing.T, f Factory) {
	r := startUnbound(t, f)
	if err := r.s.Initialise(t.Context()); err == nil {
		t.Error("an unbound sandbox initialised")
	}
	if err := r.s.Specialise(t.Context(), f.binding(f.Function())); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to wait for
		if err := r.s.Initialise(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.s.Freeze(t.Context()); err != nil { // what is ready waits frozen
		t.Fatal(err)
	}
	if n := r.result("count", nil); n != 1.0 {
		t.Errorf("the first invocation counts %v", n)
	}

	// One that cannot initialise is no error of the platform, and Invoke tells.
	fn := f.Function()
	fn.Handler = "broken.handler"
	broken := startBound(t, f, fn)
	if err := broken.s.Initialise(t.Context()); err != nil {
		t.Errorf("Initialise of broken code: %v", err)
	}
	out := broken.run(invocation(t, "echo", do{"value": 1}, 5*time.Second))
	if out.Failure != sandbox.FailureInit && out.Failure != sandbox.FailureExit {
		t.Errorf("the failure is %q (%.200s)", out.Failure, out.Payload)
	}
	slow := startBound(t, f, fn)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := slow.s.Initialise(ended); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Initialise with an ended context: %v", err)
	}
}

func testErrors(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	wantFailure(t, r.invoke("fail", nil), sandbox.FailureHandler, "", "on purpose")
	if n := r.result("count", nil); n != 1.0 {
		t.Errorf("after an error the process counts %v, want 1: it goes on", n)
	}
}

func testInitError(t *testing.T, f Factory) {
	fn := f.Function()
	fn.Handler = "broken.handler"
	r := startBound(t, f, fn)
	for range 2 { // the next invocation tries again, and says the same
		inv := invocation(t, "echo", do{"value": 1}, 5*time.Second)
		out := r.run(inv)
		if out.Failure != sandbox.FailureInit && out.Failure != sandbox.FailureExit {
			t.Fatalf("the failure is %q (%.200s)", out.Failure, out.Payload)
		}
		if strings.HasPrefix(f.Runtime, "provided") != (out.Failure == sandbox.FailureExit) {
			t.Errorf("the failure is %q", out.Failure)
		}
		if out.Init <= 0 {
			t.Errorf("Init is %v", out.Init)
		}
		if r.s.Alive() {
			t.Error("its process is alive")
		}
	}
	if !slices.ContainsFunc(r.lines, func(l sandbox.Line) bool {
		return l.RequestID != "" && strings.Contains(l.Text, "about to break")
	}) {
		t.Errorf("what it printed while it loaded is missing from %q", r.lines)
	}
}

func testInitTimeout(t *testing.T, f Factory) {
	if f.InitTimeout == 0 {
		t.Fatal("Factory.InitTimeout is missing")
	}
	fn := f.Function()
	fn.Handler = "slow.handler"
	var out sandbox.Outcome
	for range 3 { // on a busy machine the first one may be cut off before it left its mark
		out = startBound(t, f, fn).run(invocation(t, "echo", nil, 5*time.Second))
		if out.Failure != sandbox.FailureTimeout {
			break
		}
	}
	if got := decode(t, out); got != "at last" {
		t.Errorf("the result is %v", got)
	}
	if out.Init <= 0 {
		t.Error("Outcome.Init is 0")
	}
}

func testTimeout(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	r.result("count", nil)
	r.result("write", do{"value": "still here"})

	inv := invocation(t, "sleep", do{"ms": 60000}, time.Second)
	begin := time.Now()
	out := r.run(inv)
	if took := time.Since(begin); took < 900*time.Millisecond || took > 3*time.Second {
		t.Errorf("a timeout of 1 s took %v", took)
	}
	wantFailure(t, out, sandbox.FailureTimeout, "Sandbox.Timedout",
		"RequestId: "+inv.RequestID+" Error: Task timed out after 1.00 seconds")
	if out.Duration < 900*time.Millisecond {
		t.Errorf("Duration is %v", out.Duration)
	}
	if r.s.Alive() {
		t.Error("its process is alive")
	}

	next := r.invoke("count", nil)
	if n := decode(t, next); n != 1.0 {
		t.Errorf("after a timeout the process counts %v, want 1: memory does not survive", n)
	}
	if next.Init <= 0 {
		t.Error("the invocation after a timeout does not say that it initialised")
	}
	if got := r.result("read", nil); got != "still here" {
		t.Errorf("/tmp holds %v after a timeout", got)
	}
}

func testExit(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	for status, message := range map[int]string{
		0:   "Runtime exited without providing a reason",
		127: "Runtime exited with error: exit status 127",
	} {
		inv := invocation(t, "exit", do{"status": status}, 5*time.Second)
		wantFailure(t, r.run(inv), sandbox.FailureExit, "Runtime.ExitError", "RequestId: "+inv.RequestID+" Error: "+message)
		if r.s.Alive() {
			t.Error("its process is alive")
		}
	}
	if n := r.result("count", nil); n != 1.0 {
		t.Errorf("after an exit the process counts %v", n)
	}
}

func testOutOfMemory(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	inv := invocation(t, "memory", nil, 30*time.Second)
	out := r.run(inv)
	wantFailure(t, out, sandbox.FailureMemory, "Runtime.ExitError",
		"RequestId: "+inv.RequestID+" Error: Runtime exited with error: signal: killed")
	if mb := out.PeakMemory >> 20; mb < 100 || mb > 128 {
		t.Errorf("PeakMemory is %d MB, want almost 128", mb)
	}
	inv = invocation(t, "exit", do{"status": 0}, 10*time.Second) // and a crash is not that again
	if out := r.run(inv); out.Failure != sandbox.FailureExit {
		t.Errorf("after it, an exit is %q", out.Failure)
	}
}

func testCancel(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	r.result("count", nil)
	_, err := r.s.Invoke(canceled(t, 100*time.Millisecond), invocation(t, "sleep", do{"ms": 60000}, 60*time.Second))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
	if r.s.Alive() {
		t.Error("its process is alive")
	}
	if n := r.result("count", nil); n != 1.0 {
		t.Errorf("after a cancellation the process counts %v", n)
	}
}

func testOutput(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	var parts []do
	var want []string
	for i := range 200 {
		parts = append(parts, do{"text": fmt.Sprintf("line %d\n", i), "err": i%3 == 0})
		want = append(want, fmt.Sprintf("line %d", i))
	}
	parts = append(parts, do{"text": "\nno newline at the end"})
	want = append(want, "", "no newline at the end")
	for range 3 {
		inv := invocation(t, "print", do{"parts": parts}, 10*time.Second)
		decode(t, r.run(inv))
		if diff := cmp.Diff(want, r.texts(inv.RequestID)); diff != "" {
			t.Fatalf("the lines that are there when Invoke returns differ (-want +got):\n%s", diff)
		}
	}
	long := strings.Repeat("y", 300<<10)
	inv := invocation(t, "print", do{"parts": []do{{"text": long + "\nnext\n"}}}, 10*time.Second)
	decode(t, r.run(inv))
	if diff := cmp.Diff([]string{long[:256<<10], "next"}, r.texts(inv.RequestID)); diff != "" {
		t.Errorf("a long line is not cut at 256 KB")
	}
}

func testOutputFlood(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	line := strings.Repeat("z", 1023) + "\n"
	inv := invocation(t, "print", do{"parts": []do{{"text": strings.Repeat(line, 4096)}}}, 20*time.Second)
	decode(t, r.run(inv))
	if n := len(r.texts(inv.RequestID)); n != 4096 {
		t.Errorf("%d lines of 4,096 came", n)
	}
}

func testPayloads(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	const size = thermocline.MaxPayload - 100
	if n := r.result("length", do{"value": strings.Repeat("a", size)}); n != float64(size) {
		t.Errorf("of a payload of 6 MB arrived %v", n)
	}
	s, _ := r.result("large", do{"bytes": size}).(string)
	if len(s) != size {
		t.Errorf("of a result of 6 MB arrived %d", len(s))
	}
	out := r.invoke("large", do{"bytes": thermocline.MaxResult + 1})
	wantFailure(t, out, sandbox.FailureTooLarge, "Function.ResponseSizeTooLarge",
		fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", thermocline.MaxResult))
	if got := r.result("echo", do{"value": 1}); got != 1.0 {
		t.Errorf("after a result that was too large it answers %v", got)
	}
}

func testFreeze(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	ctx := t.Context()
	r.result("tick", nil)
	before := tickAfter(t, r, 100*time.Millisecond)
	for range 2 { // both are idempotent
		if err := r.s.Freeze(ctx); err != nil {
			t.Fatalf("Freeze: %v", err)
		}
	}
	time.Sleep(500 * time.Millisecond)
	for range 2 {
		if err := r.s.Thaw(ctx); err != nil {
			t.Fatalf("Thaw: %v", err)
		}
	}
	after, _ := r.result("tick", nil).(float64)
	if before == 0 || after-before > 50 {
		t.Errorf("the process ticked from %v to %v while it was frozen", before, after)
	}
	if later := tickAfter(t, r, 100*time.Millisecond); later <= after {
		t.Errorf("it does not tick after the thaw: %v, then %v", after, later)
	}
	if err := r.s.Freeze(ctx); err != nil { // Close ends a frozen one too
		t.Fatalf("Freeze: %v", err)
	}
}

func tickAfter(t *testing.T, r *rig, d time.Duration) float64 {
	t.Helper()
	time.Sleep(d)
	n, _ := r.result("tick", nil).(float64)
	return n
}

func testSpecialise(t *testing.T, f Factory) {
	r := startUnbound(t, f)
	ctx := t.Context()
	if err := r.s.Freeze(ctx); err != nil {
		t.Fatalf("Freeze: %v", err)
	}
	if _, err := r.s.Invoke(ctx, invocation(t, "count", nil, time.Second)); err == nil {
		t.Error("Invoke of an unbound sandbox succeeds")
	}
	if err := r.s.Thaw(ctx); err != nil {
		t.Fatalf("Thaw: %v", err)
	}
	fn := f.Function()
	fn.Environment = map[string]string{"TEST_KEY": "TEST_VAL", "AWS_REGION": "mars"}
	if err := r.s.Specialise(ctx, f.binding(fn)); err != nil {
		t.Fatalf("Specialise: %v", err)
	}
	out := r.invoke("count", nil)
	if decode(t, out) != 1.0 || out.Init <= 0 {
		t.Errorf("the first invocation: %s, Init %v", out.Payload, out.Init)
	}
	if err := r.s.Specialise(ctx, f.binding(fn)); err == nil {
		t.Error("a second Specialise succeeds")
	}
	env, _ := r.result("env", nil).(map[string]any)
	if env["TEST_KEY"] != "TEST_VAL" || env["AWS_REGION"] != "eu-west-1" || env["_HANDLER"] != "index.handler" {
		t.Errorf("its environment is %v", env)
	}
	if dir := r.result("where", nil); dir != "/var/task" {
		t.Errorf("the working directory is %v", dir)
	}
	r.result("write", do{"value": "x"})
	wantTimeout := r.run(invocation(t, "sleep", do{"ms": 60000}, 300*time.Millisecond))
	if wantTimeout.Failure != sandbox.FailureTimeout {
		t.Errorf("the failure is %q", wantTimeout.Failure)
	}
	if got := r.result("read", nil); got != "x" {
		t.Errorf("/tmp holds %v after a timeout", got)
	}
}

func testSpecialiseRestart(t *testing.T, f Factory) {
	r := startUnbound(t, f)
	fn := f.Function()
	fn.Environment = map[string]string{"LD_PRELOAD_NOT": "x", "TEST_KEY": "TEST_VAL", "LANG": "C.UTF-8"}
	if err := r.s.Specialise(t.Context(), f.binding(fn)); err != nil {
		t.Fatalf("Specialise: %v", err)
	}
	checkEnvironment(t, r, fn)
}

func testClose(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	r.result("count", nil)
	for range 2 {
		if err := r.s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if r.s.Alive() {
		t.Error("it is alive after Close")
	}
	if _, err := r.s.Invoke(t.Context(), invocation(t, "count", nil, time.Second)); err == nil {
		t.Error("Invoke after Close succeeds")
	}
	if err := r.s.Freeze(t.Context()); err == nil {
		t.Error("Freeze after Close succeeds")
	}
	unbound := startUnbound(t, f)
	if err := unbound.s.Close(); err != nil {
		t.Errorf("Close of an unbound one: %v", err)
	}
}

func testCloseWhileRunning(t *testing.T, f Factory) {
	r := startBound(t, f, f.Function())
	r.result("count", nil)
	failed := make(chan error, 1)
	go func() {
		_, err := r.s.Invoke(context.WithoutCancel(t.Context()), invocation(t, "sleep", do{"ms": 60000}, time.Minute))
		failed <- err
	}()
	time.Sleep(50 * time.Millisecond) // most often it runs by now; both must end
	if err := r.s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("an Invoke that Close has ended returns no error")
	}
}
