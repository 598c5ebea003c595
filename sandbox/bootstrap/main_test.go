package bootstrap_test

import (
	"strings"
	"testing"

	"thermocline/sandbox/bootstrap"
)

// A program for which nobody named a handler: either it has one, or it is a
// script.
func TestMainHandler(t *testing.T) {
	for _, tt := range []struct {
		name   string
		in     language
		files  map[string]string
		result string // of the invocation, when it succeeded
		fails  string // is in the error
		prints string
	}{
		{"esm handler", node, map[string]string{"main.mjs": "export const handler = async (e) => ({ got: e.a });"}, `{"got":1}`, "", ""},
		{"commonjs handler, synchronous", node, map[string]string{"main.cjs": "exports.handler = (e) => e.a + 1;"}, "2", "", ""},
		{"commonjs handler, callback", node, map[string]string{"index.js": "exports.handler = (e, c, done) => { done(null, 'x'); };"}, `"x"`, "", ""},
		{"default export", node, map[string]string{"main.mjs": "export default { handler: async () => 7 };"}, "7", "", ""},
		{"esm script", node, map[string]string{"main.mjs": "import os from 'os';\nconsole.log('hello %s', os.EOL === '\\n');\nawait null;"}, "null", "", "hello true\n"},
		{"commonjs script that is the main module", node, map[string]string{"main.cjs": "if (require.main === module) console.log('main', process.argv[1]);"}, "null", "", "main "},
		{"unknown kind: commonjs", node, both("const fs = require('fs');\nconsole.log(typeof fs.readFileSync);"), "null", "", "function\n"},
		{"unknown kind: esm", node, both("import fs from 'fs';\nconsole.log(typeof fs.readFileSync);"), "null", "", "function\n"},
		{"unknown kind: with #!", node, both("#!/usr/bin/env node\nconsole.log(await Promise.resolve(5));"), "null", "", "5\n"},
		{"what a script leaves running", node, both("setTimeout(() => console.log('later'), 30);"), "null", "", "later\n"},
		{"exit", node, both("console.log('a'); setTimeout(() => console.log('never'), 1000); process.exit();"), "null", "", "a\n"},
		{"exit with a status", node, both("process.exit(3)"), "", "exited with status 3", ""},
		{"exit code", node, both("process.exitCode = 4"), "", "exited with status 4", ""},
		{"exit in an async function", node, both("async function main() { try { process.exit(0); } finally {} }\nmain();"), "null", "", ""},
		{"thrown", node, both("throw new TypeError('no');"), "", `"errorType":"TypeError"`, ""},
		{"rejected", node, both("Promise.reject(new RangeError('far'));"), "", `"errorType":"RangeError"`, ""},
		{"thrown later", node, both("setTimeout(() => { throw new RangeError('later'); }, 5);"), "", `"errorMessage":"later"`, ""},
		{"handler throws", node, map[string]string{"main.mjs": "export const handler = async () => { throw new TypeError('h'); };"}, "", `"errorType":"TypeError"`, ""},
		{"syntax", node, both("let let = 1 +;"), "", "UserCodeSyntaxError", ""},
		{"nothing to run", node, map[string]string{"other.mjs": ""}, "", "none of main.*", ""},

		{"python handler", python, map[string]string{"main.py": "def handler(e, c):\n  return {'got': e['a'], 'name': __name__}"}, `{"got": 1, "name": "main"}`, "", ""},
		{"python handler by assignment", python, map[string]string{"main.py": "handler = lambda e, c: 5"}, "5", "", ""},
		{"python script", python, map[string]string{"main.py": "import sys\nif __name__ == '__main__':\n  print('hello', len(sys.argv))"}, "null", "", "hello 1\n"},
		{"python exit", python, map[string]string{"main.py": "import sys\nprint('a')\nsys.exit()"}, "null", "", "a\n"},
		{"python exit with a status", python, map[string]string{"main.py": "import sys\nsys.exit(3)"}, "", "exited with status 3", ""},
		{"python exit with a text", python, map[string]string{"main.py": "import sys\nsys.exit('bad')"}, "", "exited with status 1", "bad\n"},
		{"python thread", python, map[string]string{"main.py": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.03), print('later'))).start()"}, "null", "", "later\n"},
		{"python atexit", python, map[string]string{"main.py": "import atexit\natexit.register(print, 'bye')"}, "null", "", "bye\n"},
		{"python raises", python, map[string]string{"main.py": "1/0"}, "", `"errorType": "ZeroDivisionError"`, ""},
		{"python syntax", python, map[string]string{"main.py": "def f(:"}, "", "UserCodeSyntaxError", ""},
		{"python logging", python, map[string]string{"main.py": "import logging\nlogging.basicConfig(format='%(message)s', level=20)\nlogging.info('plain')"}, "null", "", "plain\n"},
		{"python of a package", python, map[string]string{"main.py": "import other\nprint(other.x)", "other.py": "x = 9"}, "null", "", "9\n"},
	} {
		for _, wait := range []bool{false, true} {
			name := tt.name
			if wait {
				name += ", bound late"
			}
			t.Run(name, func(t *testing.T) {
				p := tt.in.start(t, start{handler: bootstrap.MainHandler(tt.in.runtime), files: tt.files, wait: wait})
				r := p.invoke(`{"a": 1}`)
				switch {
				case tt.fails == "" && (r.Failed() || string(r.Payload) != tt.result):
					t.Errorf("result %s, error %s, want %s", r.Payload, r.ErrorPayload, tt.result)
				case tt.fails != "" && !strings.Contains(string(r.ErrorPayload), tt.fails):
					t.Errorf("result %s, error %s, want one with %s", r.Payload, r.ErrorPayload, tt.fails)
				}
				if got := p.out.String(); tt.prints == "" && got != "" || !strings.HasPrefix(got, tt.prints) {
					t.Errorf("printed %q, want %q", got, tt.prints)
				}
			})
		}
	}
}

// both is a source of which nobody knows whether it is a module.
func both(source string) map[string]string {
	return map[string]string{"main.mjs": source, "main.cjs": source}
}
