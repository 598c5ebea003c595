package bootstrap_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thermocline/sandbox/runtimeapi"
)

func TestPythonHandlers(t *testing.T) {
	const echo = "def handler(event, context):\n    return event\n"
	for _, test := range []struct {
		name, handler string
		files         map[string]string
		want          string
	}{
		{"function", "index.handler", map[string]string{"index.py": echo}, `{"a": 1}`},
		{"directory", "pkg/mod.handler", map[string]string{"pkg/mod.py": echo}, `{"a": 1}`},
		{"package", "a.b.handler", map[string]string{"a/__init__.py": "", "a/b.py": echo}, `{"a": 1}`},
		{"callable object", "index.handler", map[string]string{"index.py": "class H:\n    def __call__(self, e, c): return 'called'\nhandler = H()\n"}, `"called"`},
		{"imports a neighbour", "index.handler", map[string]string{"index.py": "from lib import x\n" + echo[:len(echo)-len("event\n")] + "x\n", "lib.py": "x = 'lib'\n"}, `"lib"`},
		{"nothing", "index.handler", map[string]string{"index.py": "def handler(e, c): pass\n"}, `null`},
		{"text", "index.handler", map[string]string{"index.py": "def handler(e, c): return 'täxt €😀'\n"}, `"täxt €😀"`},
		{"lone surrogate", "index.handler", map[string]string{"index.py": "def handler(e, c): return len('\\ud800')\n"}, `1`},
		{"bytes", "index.handler", map[string]string{"index.py": "def handler(e, c): return b'{\"raw\":1}'\n"}, `{"raw":1}`},
		{"tuple", "index.handler", map[string]string{"index.py": "def handler(e, c): return (1, 2.5, True, None)\n"}, `[1, 2.5, true, null]`},
		{"module named as ours", "bootstrap.handler", map[string]string{"bootstrap.py": echo}, `{"a": 1}`},
		{"default timeout of sockets", "index.handler", map[string]string{"index.py": "import socket\nsocket.setdefaulttimeout(0.001)\n" + echo}, `{"a": 1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := python.start(t, start{handler: test.handler, files: test.files})
			for range 2 {
				if r := p.invoke(`{"a":1}`); r.Failed() || body(r) != test.want {
					t.Fatalf("got %s, want %s", body(r), test.want)
				}
			}
		})
	}
}

func TestPythonContext(t *testing.T) {
	p := python.start(t, start{handler: "index.handler", files: map[string]string{"index.py": `
import os
def handler(event, context):
    cc = context.client_context
    return {
        "ctx": {
            "aws_request_id": context.aws_request_id,
            "function_name": context.function_name,
            "function_version": context.function_version,
            "invoked_function_arn": context.invoked_function_arn,
            "log_group_name": context.log_group_name,
            "log_stream_name": context.log_stream_name,
            "memory_limit_in_mb": context.memory_limit_in_mb,
        },
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "client": cc and [cc.custom, cc.env, cc.client.installation_id, cc.client.app_title],
        "left": context.get_remaining_time_in_millis(),
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "repr": repr(context)[:30],
    }
`}})
	r, err := p.try(runtimeapi.Invocation{Payload: []byte(`{}`), TraceID: "Root=1-a-b",
		ClientContext: `{"custom":{"foo":"bär"},"env":{"fizz":"buzz"},"client":{"installation_id":"i"}}`})
	if err != nil {
		t.Fatal(err)
	}
	got := decode(t, r.Payload)
	if left, _ := got["left"].(float64); left < 10_000 || left > 20_000 {
		t.Errorf("remaining time %v", got["left"])
	}
	delete(got, "left")
	want := map[string]any{
		"ctx": map[string]any{ // as recorded on AWS, field for field
			"aws_request_id": requestID, "function_name": "fun", "function_version": "$LATEST",
			"invoked_function_arn": arn, "log_group_name": "/aws/lambda/fun",
			"log_stream_name": "stream", "memory_limit_in_mb": "128",
		},
		"identity": []any{nil, nil},
		"client":   []any{map[string]any{"foo": "bär"}, map[string]any{"fizz": "buzz"}, "i", nil},
		"trace":    "Root=1-a-b",
		"repr":     "LambdaContext([aws_request_id=",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := decode(t, p.invoke(`{}`).Payload); got["trace"] != nil || got["client"] != nil {
		t.Errorf("of the invocation before: %v", got)
	}
}

func TestPythonEnvironment(t *testing.T) {
	for _, wait := range []bool{false, true} {
		p := python.start(t, start{handler: "index.handler", wait: wait, env: map[string]string{"TZ": "Etc/GMT-5", "MINE": "ä"},
			files: map[string]string{"index.py": "import os, sys, time\ndef handler(e, c):\n    return {**os.environ, 'path': sys.path, 'hour': time.strftime('%z'), 'python': sys.version_info[1]}\n"}})
		got := decode(t, p.invoke(`{}`).Payload)
		for name := range got {
			if strings.HasPrefix(name, "THERMOCLINE") || name == "OLD" {
				t.Errorf("wait %v: %s is visible", wait, name)
			}
		}
		if got["_HANDLER"] != "index.handler" || got["MINE"] != "ä" || got["hour"] != "+0500" {
			t.Errorf("wait %v: %v", wait, got)
		}
		path := got["path"].([]any)
		want := []any{p.root, "/opt/python", "/opt/python/lib/python3.11/site-packages"}
		if diff := cmp.Diff(want, path[:3]); diff != "" {
			t.Errorf("wait %v: %s", wait, diff)
		}
		for _, dir := range path {
			if dir == "" || strings.Contains(dir.(string), p.cmd.Args[len(p.cmd.Args)-1]) {
				t.Errorf("sys.path has %q", dir)
			}
		}
	}
}

type pythonError struct {
	ErrorMessage string   `json:"errorMessage"`
	ErrorType    string   `json:"errorType"`
	RequestID    *string  `json:"requestId"`
	StackTrace   []string `json:"stackTrace"`
}

func checkPythonError(t *testing.T, r runtimeapi.Response, id string, want pythonError) {
	t.Helper()
	var got pythonError
	if err := json.Unmarshal(r.ErrorPayload, &got); err != nil {
		t.Fatalf("%v: %s", err, r.ErrorPayload)
	}
	want.RequestID = &id
	if want.StackTrace == nil {
		want.StackTrace = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if keys := len(decode(t, r.ErrorPayload)); keys != 4 {
		t.Errorf("%d keys in %s", keys, r.ErrorPayload)
	}
	if strings.HasPrefix(want.ErrorType, "Runtime.") != (r.ErrorType == want.ErrorType) {
		t.Errorf("the header's type is %q", r.ErrorType)
	}
}

func TestPythonErrors(t *testing.T) {
	for _, test := range []struct {
		name, code string
		want       pythonError
		log        string
	}{
		{"raised", "def handler(event, context):\n    raise Exception(\"Handler fails\")\n",
			pythonError{ErrorMessage: "Handler fails", ErrorType: "Exception", StackTrace: []string{"  File \"ROOT/index.py\", line 2, in handler\n    raise Exception(\"Handler fails\")\n"}},
			"[ERROR] Exception: Handler fails\rTraceback (most recent call last):\r\u00a0\u00a0File \"ROOT/index.py\", line 2, in handler\r\u00a0\u00a0\u00a0\u00a0raise Exception(\"Handler fails\")\n"},
		{"class of its own", "class CustomException(Exception): pass\ndef f():\n    raise CustomException('some error occurred')\ndef handler(e, c):\n    f()\n",
			pythonError{ErrorMessage: "some error occurred", ErrorType: "CustomException", StackTrace: []string{"  File \"ROOT/index.py\", line 5, in handler\n    f()\n", "  File \"ROOT/index.py\", line 3, in f\n    raise CustomException('some error occurred')\n"}},
			"[ERROR] CustomException: some error occurred\r"},
		{"part of a line", "def handler(e, c):\n    return 1 + e['nope']\n",
			pythonError{ErrorMessage: "'nope'", ErrorType: "KeyError", StackTrace: []string{"  File \"ROOT/index.py\", line 2, in handler\n    return 1 + e['nope']\n"}}, ""},
		{"not serialisable", "import datetime\ndef handler(e, c):\n    return {'d': datetime.date(2020, 1, 1)}\n",
			pythonError{ErrorMessage: "Unable to marshal response: Object of type date is not JSON serializable", ErrorType: "Runtime.MarshalError"}, "[ERROR] Runtime.MarshalError: Unable to marshal"},
		{"set", "def handler(e, c):\n    return {1}\n",
			pythonError{ErrorMessage: "Unable to marshal response: Object of type set is not JSON serializable", ErrorType: "Runtime.MarshalError"}, ""},
		{"circular", "def handler(e, c):\n    a = []\n    a.append(a)\n    return a\n",
			pythonError{ErrorMessage: "Unable to marshal response: Circular reference detected", ErrorType: "Runtime.MarshalError"}, ""},
		{"hostile error", "class E(Exception):\n    def __str__(self): raise E()\ndef handler(e, c):\n    raise E()\n",
			pythonError{ErrorMessage: "", ErrorType: "E", StackTrace: []string{"  File \"ROOT/index.py\", line 4, in handler\n    raise E()\n"}}, ""},
		{"strange name", "E = type('Ä\\r\\nX: y', (Exception,), {})\ndef handler(e, c):\n    raise E('m')\n",
			pythonError{ErrorMessage: "m", ErrorType: "Ä\r\nX: y", StackTrace: []string{"  File \"ROOT/index.py\", line 3, in handler\n    raise E('m')\n"}}, ""},
		{"interrupt", "def handler(e, c):\n    raise KeyboardInterrupt()\n",
			pythonError{ErrorMessage: "", ErrorType: "KeyboardInterrupt", StackTrace: []string{"  File \"ROOT/index.py\", line 2, in handler\n    raise KeyboardInterrupt()\n"}}, ""},
		{"wrong signature", "def handler():\n    pass\n",
			pythonError{ErrorMessage: "handler() takes 0 positional arguments but 2 were given", ErrorType: "TypeError"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := python.start(t, start{handler: "index.handler", files: map[string]string{"index.py": test.code}})
			for i, line := range test.want.StackTrace {
				test.want.StackTrace[i] = strings.ReplaceAll(line, "ROOT", p.root)
			}
			for range 2 {
				r := p.invoke(`{}`)
				checkPythonError(t, r, requestID, test.want)
				if r.InitError {
					t.Error("reported as a failure of initialisation")
				}
			}
			if log := strings.ReplaceAll(test.log, "ROOT", p.root); !strings.Contains(p.out.String(), log) {
				t.Errorf("the log lacks %q", log)
			}
		})
	}
}

func TestPythonInitErrors(t *testing.T) {
	for _, test := range []struct {
		name, handler string
		files         map[string]string
		want          pythonError
	}{
		{"no module", "index.handler", nil, pythonError{ErrorMessage: "Unable to import module 'index': No module named 'index'", ErrorType: "Runtime.ImportModuleError"}},
		{"no module in a directory", "pkg/mod.handler", nil, pythonError{ErrorMessage: "Unable to import module 'pkg/mod': No module named 'pkg'", ErrorType: "Runtime.ImportModuleError"}},
		{"no dependency", "index.handler", map[string]string{"index.py": "import requests_that_is_not_there\n"}, pythonError{ErrorMessage: "Unable to import module 'index': No module named 'requests_that_is_not_there'", ErrorType: "Runtime.ImportModuleError"}},
		{"no handler", "index.nope", map[string]string{"index.py": ""}, pythonError{ErrorMessage: "Handler 'nope' missing on module 'index'", ErrorType: "Runtime.HandlerNotFound"}},
		{"malformed", "index", nil, pythonError{ErrorMessage: "Bad handler 'index': not enough values to unpack (expected 2, got 1)", ErrorType: "Runtime.MalformedHandlerName"}},
		{"empty", "", nil, pythonError{ErrorMessage: "Bad handler '': not enough values to unpack (expected 2, got 1)", ErrorType: "Runtime.MalformedHandlerName"}},
		{"built-in module", "sys.exit", nil, pythonError{ErrorMessage: "Cannot use built-in module sys as a handler module", ErrorType: "Runtime.BuiltInModuleConflict"}},
		{"syntax", "index.handler", map[string]string{"index.py": "def handler(:\n"}, pythonError{ErrorMessage: "Syntax error in module 'index': invalid syntax (index.py, line 1)", ErrorType: "Runtime.UserCodeSyntaxError", StackTrace: []string{"  File \"ROOT/index.py\" Line 1\n    def handler(:\n"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := python.start(t, start{handler: test.handler, files: test.files})
			for i, line := range test.want.StackTrace {
				test.want.StackTrace[i] = strings.ReplaceAll(line, "ROOT", p.root)
			}
			r := p.invoke(`{}`)
			if !r.InitError || r.Started || r.Init <= 0 {
				t.Errorf("%+v", r)
			}
			checkPythonError(t, r, "", test.want)
			<-p.done
			if log := "[ERROR] " + test.want.ErrorType + ": "; !strings.Contains(p.out.String(), log) {
				t.Errorf("the log lacks %q", log)
			}
		})
	}
	t.Run("raises", func(t *testing.T) {
		p := python.start(t, start{handler: "index.handler", files: map[string]string{"index.py": "raise RuntimeError('at init')\n"}})
		r := p.invoke(`{}`)
		var got pythonError
		if err := json.Unmarshal(r.ErrorPayload, &got); err != nil || !r.InitError || got.ErrorType != "RuntimeError" || got.ErrorMessage != "at init" ||
			len(got.StackTrace) == 0 || !strings.Contains(got.StackTrace[len(got.StackTrace)-1], "index.py\", line 1, in <module>") {
			t.Errorf("%v %s", err, r.ErrorPayload)
		}
		if strings.Contains(string(r.ErrorPayload), "thermocline_runtime") {
			t.Errorf("our own frames show: %s", r.ErrorPayload)
		}
	})
}

func TestPythonLog(t *testing.T) {
	p := python.start(t, start{handler: "index.handler", files: map[string]string{"index.py": `
import logging, sys
logging.warning("at init")
logger = logging.getLogger()
logger.setLevel(logging.INFO)
def handler(event, context):
    print(event)
    print("multi\nline\nstring")
    print("another\rline")
    logger.info("informed %d", 1)
    logging.getLogger("mine").error("two\nlines")
    logger.debug("not shown")
    sys.stderr.write("to stderr\n")
    print("nö newline", end="")
`}})
	p.invoke(`{}`)
	got := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`).ReplaceAllString(p.out.String(), "T")
	want := "[WARNING]\tT\t\tat init\n{}\nmulti\nline\nstring\nanother\rline\n" +
		"[INFO]\tT\t" + requestID + "\tinformed 1\n[ERROR]\tT\t" + requestID + "\ttwo\rlines\nto stderr\nnö newline"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPythonExit(t *testing.T) {
	for name, code := range map[string]string{
		"sys.exit": "import sys\ndef handler(e, c):\n    sys.exit(0)\n",
		"os._exit": "import os\ndef handler(e, c):\n    print('last', end='')\n    os._exit(0)\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := python.start(t, start{handler: "index.handler", files: map[string]string{"index.py": code}})
			r, err := p.try(runtimeapi.Invocation{Payload: []byte(`{}`)})
			if err != runtimeapi.ErrProcessGone || !r.Started {
				t.Errorf("%+v, %v", r, err)
			}
			if name == "os._exit" && p.out.String() != "last" {
				t.Errorf("output %q", p.out)
			}
		})
	}
}

func TestPythonLargePayloads(t *testing.T) {
	p := python.start(t, start{handler: "index.handler", files: map[string]string{"index.py": "def handler(e, c):\n    return 'y' * e['answer'] + str(len(e.get('pad', '')))\n"}})
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
		r := p.invoke(test.payload)
		if r.TooLarge != test.tooLarge || len(r.Payload) != test.length {
			t.Errorf("%s: %d bytes, %s", test.name, len(r.Payload), r.ErrorPayload)
		}
	}
}
