package main

import (
	"path/filepath"
	"testing"
)

const pathRun = "POST /thermocline/v1/run"

const ranWell = `{"request_id":"r","result":{"a":1},"error":null,"output":"one\ntwo\n","output_dropped":7,
	"timings":{"start":"pooled","queue_ms":1,"setup_ms":0.25,"init_ms":2,"run_ms":3,"total_ms":6.25},"max_memory_mb":9}`

func TestRun(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "hello.mjs")
	write(t, file, "export const handler = 1")
	write(t, filepath.Join(dir, "payload.json"), ` {"b": 2} `)
	server.on(pathRun, 200, ranWell)
	r := m.run(t, "run", file, "--runtime", "nodejs20.x", "--payload", `{"a":1}`, "--env", "K=V=W", "--memory", "256", "--timeout", "1500ms")
	r.want(t, 0, `{"a":1}`, "one\ntwo\n", "(7 more bytes", "pooled start in 6.2 ms: queue 1.0, setup 0.2, init 2.0, run 3.0; 9 MB")
	if r.stdout != "{\"a\":1}\n" {
		t.Errorf("standard output %q", r.stdout)
	}
	want := `{"runtime":"nodejs20.x","source":"export const handler = 1","name":"hello.mjs","payload":{"a":1},"memory_mb":256,"tmp_mb":512,"timeout_ms":1500,"environment":{"K":"V=W"}}`
	if got := server.calls[0].body; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
	m.stdin = "print(1)"
	m.run(t, "run", "-", "--runtime", "python3.11", "--payload-file", filepath.Join(dir, "payload.json"), "--json").want(t, 0, `"start": "pooled"`)
	if got := server.calls[1].body; got != `{"runtime":"python3.11","source":"print(1)","payload":{"b":2},"memory_mb":128,"tmp_mb":512,"timeout_ms":10000}` {
		t.Errorf("body %s", got)
	}
	m.run(t, "run", dir, "--runtime", "nodejs20.x").want(t, 0)
	m.run(t, "run", file, "--runtime", "nodejs20.x", "--repeat", "4").want(t, 0, "4 runs: 4 pooled starts, 0 full", "total   6.2  6.2  6.2")
}

func TestRunFailures(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	file := filepath.Join(t.TempDir(), "a.py")
	write(t, file, "1/0")
	server.on(pathRun, 200, `{"result":null,"error":{"type":"E","message":"bad","trace":["line 1\n"]},"output":"","timings":{"start":"full"}}`)
	m.run(t, "run", file, "--runtime", "python3.11").want(t, exitFailed, "line 1\n", "the code failed: E: bad")
	m.run(t, "run", file, "--runtime", "python3.11", "--json").want(t, exitFailed, `"message": "bad"`)
	m.run(t, "run", file, "--runtime", "python3.11", "--repeat", "2").want(t, exitFailed, "2 of 2 runs failed")
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no runtime", []string{file}, "--runtime is missing"},
		{"no file", []string{"nowhere", "--runtime", "python3.11"}, "nowhere"},
		{"timeout", []string{file, "--runtime", "python3.11", "--timeout", "1h"}, "--timeout"},
		{"environment", []string{file, "--runtime", "python3.11", "--env", "K"}, "KEY=VALUE"},
		{"payload", []string{file, "--runtime", "python3.11", "--payload", "x"}, "no JSON"},
		{"two payloads", []string{file, "--runtime", "python3.11", "--payload", "1", "--payload-file", "x"}, "both"},
		{"standard input twice", []string{"-", "--runtime", "python3.11", "--payload-file", "-"}, "both"},
		{"repeat", []string{file, "--runtime", "python3.11", "--repeat", "0"}, "--repeat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m.run(t, append([]string{"run"}, tt.args...)...).want(t, exitUsage, tt.want)
		})
	}
}
