package bootstrap_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/sandbox/runtimeapi"
)

func TestNodeHandlers(t *testing.T) {
	const echo = `async (event) => ({ got: event })`
	for _, test := range []struct {
		name, handler string
		files         map[string]string
		want          string
	}{
		{"async", "index.handler", map[string]string{"index.js": `exports.handler = ` + echo}, `{"got":{"a":1}}`},
		{"promise", "index.handler", map[string]string{"index.js": `exports.handler = (e) => new Promise((r) => setTimeout(r, 1, e))`}, `{"a":1}`},
		{"thenable", "index.handler", map[string]string{"index.js": `exports.handler = (e) => ({ then(r) { r('then') } })`}, `"then"`},
		{"callback", "index.handler", map[string]string{"index.js": `exports.handler = (e, c, cb) => cb(null, e)`}, `{"a":1}`},
		{"callback with 2 arguments used", "index.handler", map[string]string{"index.js": `exports.handler = function () { arguments[2](null, 'args') }`}, `"args"`},
		{"callback waits for the event loop", "index.handler", map[string]string{"index.js": `let n = 0; exports.handler = (e, c, cb) => { const r = { n: 0 }; cb(null, r); setTimeout(() => { r.n = 7 }, 30) }`}, `{"n":7}`},
		{"callback does not wait", "index.handler", map[string]string{"index.js": `exports.handler = (e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false; cb(null, 'now'); setInterval(() => {}, 1000) }`}, `"now"`},
		{"first callback counts", "index.handler", map[string]string{"index.js": `exports.handler = (e, c, cb) => { cb(null, 1); cb(null, 2) }`}, `1`},
		{"done", "index.handler", map[string]string{"index.js": `exports.handler = (e, c) => { setInterval(() => {}, 1000); c.done(null, 'done') }`}, `"done"`},
		{"succeed", "index.handler", map[string]string{"index.js": `exports.handler = (e, c) => c.succeed('yes')`}, `"yes"`},
		{"undefined is null", "index.handler", map[string]string{"index.js": `exports.handler = async () => {}`}, `null`},
		{"a function is null", "index.handler", map[string]string{"index.js": `exports.handler = async () => () => {}`}, `null`},
		{"synchronous result does not count", "index.handler", map[string]string{"index.js": `exports.handler = () => 5`}, `null`},
		{"never answers", "index.handler", map[string]string{"index.js": `exports.handler = () => new Promise(() => {})`}, `null`},
		{"text", "index.handler", map[string]string{"index.js": `exports.handler = async () => 'täxt €😀'`}, `"täxt €😀"`},
		{"directory", "src/deep/index.handler", map[string]string{"src/deep/index.js": `exports.handler = ` + echo}, `{"got":{"a":1}}`},
		{"nested export", "index.a.b.c", map[string]string{"index.js": `exports.a = { b: { c: ` + echo + ` } }`}, `{"got":{"a":1}}`},
		{"mjs", "index.handler", map[string]string{"index.mjs": `export const handler = ` + echo}, `{"got":{"a":1}}`},
		{"mjs with await", "index.handler", map[string]string{"index.mjs": `const v = await Promise.resolve(3); export const handler = async () => v`}, `3`},
		{"package of type module", "src/index.handler", map[string]string{"package.json": `{"type":"module"}`, "src/index.js": `import { x } from './x.js'; export const handler = async () => x`, "src/x.js": `export const x = 'x'`}, `"x"`},
		{"nearest package.json", "src/index.handler", map[string]string{"package.json": `{"type":"module"}`, "src/package.json": `{}`, "src/index.js": `exports.handler = ` + echo}, `{"got":{"a":1}}`},
		{"cjs in a module package", "index.handler", map[string]string{"package.json": `{"type":"module"}`, "index.cjs": `exports.handler = ` + echo}, `{"got":{"a":1}}`},
		{"js comes before mjs", "index.handler", map[string]string{"index.js": `exports.handler = async () => 'js'`, "index.mjs": `export const handler = async () => 'mjs'`}, `"js"`},
		{"without an extension", "index.handler", map[string]string{"index": `exports.handler = async () => 'bare'`}, `"bare"`},
		{"dependency", "index.handler", map[string]string{"index.js": `exports.handler = async () => require('dep')`, "node_modules/dep/index.js": `module.exports = 'dep'`}, `"dep"`},
		{"handler in a package", "dep.handler", map[string]string{"node_modules/dep/index.js": `exports.handler = async () => 'packaged'`}, `"packaged"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := node.start(t, start{handler: test.handler, files: test.files})
			for range 2 {
				if r := p.invoke(`{"a":1}`); r.Failed() || body(r) != test.want {
					t.Fatalf("got %s, want %s", body(r), test.want)
				}
			}
		})
	}
}

func TestNodeContext(t *testing.T) {
	p := node.start(t, start{handler: "index.handler", files: map[string]string{
		"index.js": `exports.handler = async (e, context) => ({ context, left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID })`,
	}})
	r, err := p.try(runtimeapi.Invocation{Payload: []byte(`{}`), TraceID: "Root=1-a-b",
		ClientContext: "{\"custom\":{\"foo\":\"bär\"},\n\"env\":{\"fizz\":\"buzz\"},\"client\":{\"snap\":[\"crackle\",\"pop\"]}}"})
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, r.Payload)
	if left := got["left"].(float64); left < 10_000 || left > 20_000 {
		t.Errorf("remaining time %v", left)
	}
	if got["trace"] != "Root=1-a-b" {
		t.Errorf("trace %v", got["trace"])
	}
	want := map[string]any{ // as recorded on AWS, field for field
		"awsRequestId": requestID, "callbackWaitsForEmptyEventLoop": true,
		"clientContext": map[string]any{
			"client": map[string]any{"snap": []any{"crackle", "pop"}},
			"custom": map[string]any{"foo": "bär"}, "env": map[string]any{"fizz": "buzz"},
		},
		"functionName": "fun", "functionVersion": "$LATEST", "invokedFunctionArn": arn,
		"logGroupName": "/aws/lambda/fun", "logStreamName": "stream", "memoryLimitInMB": "128",
	}
	if diff := cmp.Diff(want, got["context"]); diff != "" {
		t.Error(diff)
	}
	if got := decode(t, p.invoke(`{}`).Payload); got["trace"] != nil {
		t.Errorf("the trace id stayed: %v", got["trace"])
	}
}

func TestNodeEnvironment(t *testing.T) {
	files := map[string]string{
		"index.js":             `exports.handler = async () => ({ ...process.env, ADDED: require('added') })`,
		"extra/added/index.js": `module.exports = 'by NODE_PATH'`,
	}
	for _, wait := range []bool{false, true} {
		got := decode(t, nodeWithPath(t, files, wait))
		for name := range got {
			if strings.HasPrefix(name, "THERMOCLINE") || name == "OLD" {
				t.Errorf("wait %v: %s is visible", wait, name)
			}
		}
		if got["ADDED"] != "by NODE_PATH" || got["_HANDLER"] != "index.handler" || got["TZ"] != ":UTC" {
			t.Errorf("wait %v: %v", wait, got)
		}
	}
}

func nodeWithPath(t *testing.T, files map[string]string, wait bool) []byte {
	t.Helper()
	extra := t.TempDir()
	(&process{T: t, root: extra}).write(files)
	p := node.start(t, start{handler: "index.handler", files: files, wait: wait, env: map[string]string{"NODE_PATH": extra + "/extra"}})
	return p.invoke(`{}`).Payload
}

func TestNodeErrors(t *testing.T) {
	for _, test := range []struct {
		name, code    string
		kind, message string // of the payload
		trace         string // that its trace begins with; "-" for none
		log           string // found in the log
		ends          bool   // the process ends
	}{
		{"thrown", `exports.handler = async () => { throw new Error('Error: some_error_msg') }`,
			"Error", "Error: some_error_msg", "Error: Error: some_error_msg", "\tERROR\tInvoke Error \t{\"errorType\":\"Error\",\"errorMessage\":\"Error: some_error_msg\",\"stack\":[", false},
		{"thrown synchronously", `exports.handler = () => { null.x }`,
			"TypeError", "Cannot read properties of null (reading 'x')", "TypeError: Cannot read", "\tERROR\tInvoke Error \t", false},
		{"class of its own", `class Mine extends Error { constructor(m) { super(m); this.name = 'Mine'; this.code = 7 } }; exports.handler = async () => { throw new Mine('m') }`,
			"Mine", "m", "", `"errorMessage":"m","code":7`, false},
		{"callback error", `exports.handler = (e, c, cb) => cb(new RangeError('r'))`, "RangeError", "r", "RangeError: r", "Invoke Error", false},
		{"callback text", `exports.handler = (e, c, cb) => cb('failed')`, "string", "failed", "-", "", false},
		{"fail", `exports.handler = (e, c) => c.fail()`, "string", "handled", "-", "", false},
		{"rejected with nothing", `exports.handler = () => Promise.reject()`, "string", "handled", "-", "", false},
		{"circular", `exports.handler = async () => { const a = {}; a.a = a; return a }`,
			"Runtime.MarshalError", "Unable to stringify response body: Converting circular structure to JSON", "", "", false},
		{"big integer", `exports.handler = async () => 1n`,
			"Runtime.MarshalError", "Unable to stringify response body: Do not know how to serialize a BigInt", "", "", false},
		{"hostile error", `exports.handler = async () => { throw { name: 'n', message: 'm', get stack() { throw 1 } } }`, "handled", "", "-", "", false},
		{"type with strange letters", `exports.handler = async () => { const e = new Error('x'); e.name = 'Ä\r\nX: y'; throw e }`, "Ä\r\nX: y", "x", "", "", false},
		{"unhandled rejection", `exports.handler = () => { Promise.reject(new Error('boo')); return new Promise((r) => setTimeout(r, 500)) }`,
			"Runtime.UnhandledPromiseRejection", "Error: boo", "Runtime.UnhandledPromiseRejection: Error: boo", "\tERROR\tUnhandled Promise Rejection \t{\"errorType\":\"Runtime.UnhandledPromiseRejection\"", true},
		{"uncaught exception", `exports.handler = () => new Promise(() => { setTimeout(() => { throw new Error('late') }, 1) })`,
			"Error", "late", "Error: late", "\tERROR\tUncaught Exception \t{\"errorType\":\"Error\",\"errorMessage\":\"late\"", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := node.start(t, start{handler: "index.handler", files: map[string]string{"index.js": test.code}})
			r := p.invoke(`{}`)
			if !r.Failed() || r.InitError || r.TooLarge {
				t.Fatalf("%+v", r)
			}
			checkNodeError(t, r, test.kind, test.message, test.trace)
			if !strings.Contains(p.out.String(), test.log) {
				t.Errorf("the log lacks %q", test.log)
			}
			if test.ends {
				<-p.done
				return
			}
			if again := p.invoke(`{}`); !again.Failed() {
				t.Error("the second invocation succeeded")
			}
		})
	}
}

func checkNodeError(t *testing.T, r runtimeapi.Response, kind, message, trace string) {
	t.Helper()
	var got struct {
		ErrorType, ErrorMessage string
		Trace                   []string
	}
	if err := json.Unmarshal(r.ErrorPayload, &got); err != nil {
		t.Fatalf("%v: %s", err, r.ErrorPayload)
	}
	if got.ErrorType != kind || !strings.HasPrefix(got.ErrorMessage, message) {
		t.Errorf("%s: %s, want %s: %s", got.ErrorType, got.ErrorMessage, kind, message)
	}
	switch {
	case trace == "-":
		if len(got.Trace) != 0 {
			t.Errorf("trace %q", got.Trace)
		}
	case len(got.Trace) == 0 || !strings.HasPrefix(got.Trace[0], trace):
		t.Errorf("trace %q, want %q", got.Trace, trace)
	}
	if strings.HasPrefix(kind, "Runtime.") != (r.ErrorType == kind) {
		t.Errorf("the header's type is %q", r.ErrorType)
	}
	if keys := len(decode(t, r.ErrorPayload)); keys != 3 {
		t.Errorf("%d keys in %s", keys, r.ErrorPayload)
	}
}

func TestNodeInitErrors(t *testing.T) {
	for _, test := range []struct {
		name, handler string
		files         map[string]string
		kind, message string
		trace         string
	}{
		{"no module", "index.handler", nil, "Runtime.ImportModuleError", "Error: Cannot find module 'index'\nRequire stack:\n- /var/runtime/index.mjs", "Runtime.ImportModuleError: Error: Cannot find module 'index'"},
		{"no dependency", "index.handler", map[string]string{"index.js": `require('nope')`}, "Runtime.ImportModuleError", "Error: Cannot find module 'nope'\nRequire stack:\n- ", ""},
		{"no dependency of a module", "index.handler", map[string]string{"index.mjs": `import 'nope'`}, "Runtime.ImportModuleError", "Error", ""},
		{"no handler", "index.nope", map[string]string{"index.js": `exports.handler = 1`}, "Runtime.HandlerNotFound", "index.nope is undefined or not exported", "Runtime.HandlerNotFound: index.nope"},
		{"no nested handler", "index.a.b", map[string]string{"index.js": ``}, "Runtime.HandlerNotFound", "index.a.b is undefined or not exported", ""},
		{"handler is no function", "index.handler", map[string]string{"index.js": `exports.handler = 1`}, "Runtime.HandlerNotFound", "index.handler is not a function", ""},
		{"malformed", "index", nil, "Runtime.MalformedHandlerName", "Bad handler", ""},
		{"empty", "", nil, "Runtime.MalformedHandlerName", "Bad handler", ""},
		{"outside", "../index.handler", nil, "Runtime.MalformedHandlerName", "'../index.handler' is not a valid handler name", ""},
		{"syntax", "index.handler", map[string]string{"index.js": `const = 1`}, "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token '='", "Runtime.UserCodeSyntaxError: SyntaxError: Unexpected token '='"},
		{"syntax in a module", "index.handler", map[string]string{"index.mjs": `export const = 1`}, "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token '='", ""},
		{"throws", "index.handler", map[string]string{"index.js": `throw new RangeError('at init')`}, "RangeError", "at init", "RangeError: at init"},
		{"rejects", "index.handler", map[string]string{"index.js": `Promise.reject(new Error('late')); exports.handler = async () => {}`}, "Runtime.UnhandledPromiseRejection", "Error: late", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := node.start(t, start{handler: test.handler, files: test.files})
			r := p.invoke(`{}`)
			<-p.done
			if !r.InitError || r.Started || r.Init <= 0 {
				t.Errorf("%+v", r)
			}
			checkNodeError(t, r, test.kind, test.message, test.trace)
			if !strings.Contains(p.out.String(), "\tundefined\tERROR\t") {
				t.Error("the log does not say so")
			}
		})
	}
}

func TestNodeLog(t *testing.T) {
	p := node.start(t, start{handler: "index.handler", files: map[string]string{"index.js": `
console.log('at init')
exports.handler = async (e) => {
  console.log(e); console.info('%s-%d', 'a', 1); console.warn('two\nlines'); console.error(new Error('x').message)
  console.debug({ a: { b: { c: { d: 1 } } } }); console.trace('here'); process.stdout.write('raw\n')
}`}})
	p.invoke(`{}`)
	var got []string
	for line := range strings.Lines(p.out.String()) {
		got = append(got, regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`).ReplaceAllString(strings.TrimSuffix(line, "\n"), "T"))
	}
	want := []string{
		"T\tundefined\tINFO\tat init",
		"T\t" + requestID + "\tINFO\t{}",
		"T\t" + requestID + "\tINFO\ta-1",
		"T\t" + requestID + "\tWARN\ttwo\rlines",
		"T\t" + requestID + "\tERROR\tx",
		"T\t" + requestID + "\tDEBUG\t{ a: { b: { c: [Object] } } }",
		"T\t" + requestID + "\tTRACE\tTrace: here\r    at ",
		"raw",
	}
	for i := range min(len(got), len(want)) {
		if strings.HasPrefix(got[i], want[i]) && strings.Contains(want[i], "TRACE") {
			got[i] = want[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNodeExit(t *testing.T) {
	p := node.start(t, start{handler: "index.handler", files: map[string]string{"index.js": `exports.handler = async () => process.exit(3)`}})
	r, err := p.try(runtimeapi.Invocation{Payload: []byte(`{}`)})
	if !errors.Is(err, runtimeapi.ErrProcessGone) || !r.Started {
		t.Errorf("%+v, %v", r, err)
	}
	<-p.done
	if code := p.cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit code %d", code)
	}
}

func TestNodeStreaming(t *testing.T) {
	const wrap = `exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {`
	for _, test := range []struct {
		name, code  string
		want        string
		contentType string
		failed      bool
	}{
		{"pieces", wrap + `stream.setContentType('text/plain'); stream.write('a'); await new Promise((r) => setTimeout(r, 5)); stream.write('b'); stream.end() })`, "ab", "text/plain", false},
		{"pipeline", wrap + `await require('util').promisify(require('stream').pipeline)(require('stream').Readable.from([Buffer.alloc(300000, 'x')]), stream) })`, strings.Repeat("x", 300000), "application/octet-stream", false},
		{"nothing", wrap + `stream.end() })`, "", "application/octet-stream", false},
		{"http", wrap + `stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201 }); stream.write('hi'); stream.end() })`,
			`{"statusCode":201}` + "\x00\x00\x00\x00\x00\x00\x00\x00hi", "application/vnd.awslambda.http-integration-response", false},
		{"error before", wrap + `throw new Error('early') })`, `"errorMessage":"early"`, "", true},
		{"error after", wrap + `stream.write('some'); await new Promise((r) => setTimeout(r, 5)); throw new Error('half') })`, `"errorMessage":"half"`, "", true},
		{"never ends", wrap + `stream.write('some') })`, `"errorType":"Runtime.StreamingHandlerNotFinished"`, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := node.start(t, start{handler: "index.handler", files: map[string]string{"index.js": test.code}})
			for range 2 {
				r := p.invoke(`{}`)
				if r.Failed() != test.failed || !strings.Contains(body(r), test.want) || r.ContentType != test.contentType || r.Streaming == test.failed {
					t.Fatalf("%+v\n%.200q", r, body(r))
				}
			}
		})
	}
}

func TestNodeLargePayloads(t *testing.T) {
	p := node.start(t, start{handler: "index.handler", files: map[string]string{"index.js": `exports.handler = async (e) => 'y'.repeat(e.answer) + (e.pad || '').length`}})
	for _, test := range []struct {
		name, payload string
		length        int
		tooLarge      bool
	}{
		{"large in", `{"answer":0,"pad":"` + strings.Repeat("x", 6<<20-100) + `"}`, 9, false},
		{"large out", `{"answer":6291000}`, 6291003, false},
		{"too large", `{"answer":6291600}`, 0, true},
		{"much too large", `{"answer":20000000}`, 0, true},
		{"after that", `{"answer":10}`, 13, false},
	} {
		began := time.Now()
		r := p.invoke(test.payload)
		if r.TooLarge != test.tooLarge || len(r.Payload) != test.length {
			t.Errorf("%s: %d bytes, %s", test.name, len(r.Payload), r.ErrorPayload)
		}
		t.Logf("%s: %v, duration %v", test.name, time.Since(began), r.Duration)
	}
}
