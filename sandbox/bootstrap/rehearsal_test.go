package bootstrap_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nodeSnapshot = `
const names = (o) => Reflect.ownKeys(o).map(String).sort();
exports.handler = async () => ({
  globals: names(globalThis), process: names(process), env: process.env, cwd: process.cwd(), title: process.title,
  listeners: Object.fromEntries(process.eventNames().map((e) => [String(e), process.listenerCount(e)])),
  // The runtime's own modules are loaded when they are needed, or all ahead.
  cache: Object.keys(require.cache).filter((f) => !/nodejs.(\w+)\.cjs$/.test(f) || /rehearsal/.test(f)),
  paths: [require('module').globalPaths, module.paths], prototype: names(Object.prototype),
  timers: process.getActiveResourcesInfo().filter((n) => n !== 'TCPSocketWrap').sort(),
  mask: process.umask(), warnings: process.noDeprecation, limit: Error.stackTraceLimit,
})`

const pythonSnapshot = `
import asyncio, builtins, gc, json, linecache, logging, os, signal, sys, threading, warnings, atexit
def handler(event, context):
    return {
        "modules": sorted(m for m in sys.modules if not m.startswith("thermocline_")), "path": sys.path, "env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv,
        "builtins": sorted(vars(builtins)), "threads": [t.name for t in threading.enumerate()],
        "main": sorted(vars(sys.modules["__main__"])), "handlers": [type(h).__name__ for h in logging.root.handlers],
        "loggers": sorted(logging.root.manager.loggerDict), "lines": [f for f in linecache.cache if "thermocline" in f],
        "filters": len(warnings.filters), "hooks": [len(sys.meta_path), len(sys.path_hooks)],
        "gc": [gc.isenabled(), gc.get_threshold(), len(gc.garbage)], "exc": str(sys.exc_info()), "last": hasattr(sys, "last_value"),
        "atexit": atexit._ncallbacks(), "fds": len(os.listdir("/proc/self/fd")),
    }`

// TestNoTraces holds what a function sees in a process that has waited, and
// rehearsed, against what it sees in one that was started for it.
func TestNoTraces(t *testing.T) {
	for _, c := range []struct {
		l    language
		file string
		text string
	}{{node, "index.js", nodeSnapshot}, {python, "index.py", pythonSnapshot}} {
		t.Run(c.l.runtime, func(t *testing.T) {
			var got [2]map[string]any
			for i := range got {
				p := c.l.start(t, start{handler: "index.handler", files: map[string]string{c.file: c.text}, wait: i == 1})
				text := string(p.invoke(`{}`).Payload)
				// What is another one each time: directories, ports.
				text = strings.ReplaceAll(text, p.root, "ROOT")
				text = strings.ReplaceAll(text, p.cmd.Args[len(p.cmd.Args)-1][:strings.LastIndex(p.cmd.Args[len(p.cmd.Args)-1], "/")], "RUNTIME")
				if err := json.Unmarshal([]byte(text), &got[i]); err != nil {
					t.Fatalf("%v in %.500s", err, text)
				}
				env := got[i]["env"].(map[string]any)
				delete(env, "AWS_LAMBDA_RUNTIME_API")
				delete(env, "LC_CTYPE") // Python sets it where the host lacks the locale of LANG
			}
			if diff := cmp.Diff(got[0], got[1]); diff != "" {
				t.Errorf("a process that has waited shows it (-started for the function +waited):\n%s", diff)
			}
		})
	}
}
