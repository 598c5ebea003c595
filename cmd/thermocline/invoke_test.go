package main

import (
	"encoding/base64"
	"path/filepath"
	"testing"
)

const pathInvoke = pathF + "/invocations"

func TestInvoke(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "event.json"), `{"from":"file"}`+"\n")
	tests := []struct {
		name   string
		args   []string
		stdin  string
		body   string
		query  string
		header map[string]string
	}{
		{name: "nothing", body: ""},
		{name: "text", args: []string{"--payload", `{"a":1}`}, body: `{"a":1}`},
		{name: "file", args: []string{"--payload", "@" + file}, body: `{"from":"file"}`},
		{name: "standard input", args: []string{"--payload", "-"}, stdin: "[1]\n", body: "[1]"},
		{name: "qualifier", args: []string{"--qualifier", "3"}, query: "Qualifier=3"},
		{name: "client context", args: []string{"--client-context", `{"custom":{"a":"b"}}`},
			header: map[string]string{"X-Amz-Client-Context": base64.StdEncoding.EncodeToString([]byte(`{"custom":{"a":"b"}}`))}},
		{name: "log", args: []string{"--log"}, header: map[string]string{"X-Amz-Log-Type": "Tail"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.stdin = tt.stdin
			server, _ := m.serve(t)
			server.on("POST "+pathInvoke, 200, `{"answer":42}`)
			r := m.run(t, append([]string{"invoke", "f"}, tt.args...)...)
			r.want(t, 0)
			if r.stdout != `{"answer":42}`+"\n" || r.stderr != "" {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
			got := server.last(t, "POST "+pathInvoke)
			if got.body != tt.body || got.query != tt.query {
				t.Errorf("body %q, query %q", got.body, got.query)
			}
			for name, want := range tt.header {
				if got.header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
				}
			}
		})
	}
}

func TestInvokeFunctionError(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("POST "+pathInvoke, 200, `{"errorType":"Error","errorMessage":"no"}`,
		"X-Amz-Function-Error", "Unhandled", "X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte("START\nEND\n")))
	r := m.run(t, "invoke", "f", "--log")
	r.want(t, exitFailed, "the function failed (Unhandled)", "thermocline logs f", "START\nEND\n")
	if r.stdout != `{"errorType":"Error","errorMessage":"no"}`+"\n" {
		t.Errorf("stdout %q", r.stdout)
	}
}

func TestInvokeEvent(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("POST "+pathInvoke, 202, "")
	r := m.run(t, "invoke", "f", "--event", "--payload", "1")
	r.want(t, 0, "accepted")
	if r.stdout != "" {
		t.Errorf("stdout %q", r.stdout)
	}
	if got := server.last(t, "POST "+pathInvoke).header.Get("X-Amz-Invocation-Type"); got != "Event" {
		t.Errorf("X-Amz-Invocation-Type %q", got)
	}
}

// A synchronous invocation is sent once: a second time it might run twice.
func TestInvokeIsNotRepeated(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("POST "+pathInvoke, 500, `{"Type":"Service","message":"may have run"}`, "X-Amzn-Errortype", "ServiceException")
	m.run(t, "invoke", "f").want(t, exitFailed, "may have run (ServiceException)")
	if n := len(server.asked()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestInvokeRefusals(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no JSON", []string{"--payload", "hello"}, exitUsage, "the payload is no JSON"},
		{"no file", []string{"--payload", "@/nowhere"}, exitUsage, "read the payload"},
		{"client context", []string{"--client-context", "x"}, exitUsage, "client context is no JSON"},
		{"no function", nil, exitNotFound, "thermocline list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			server, _ := m.serve(t)
			server.on("POST "+pathInvoke, 404, notFoundF, notFoundHeader...)
			m.run(t, append([]string{"invoke", "f"}, tt.args...)...).want(t, tt.code, tt.want)
		})
	}
}
