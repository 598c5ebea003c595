package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"thermocline/client"
)

// Without a server this machine is looked at.
func TestRuntimeListHere(t *testing.T) {
	r := newMachine(t).run(t, "runtime", "list", "--json")
	r.want(t, 0)
	var got []client.Runtime
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]client.Runtime)
	for _, r := range got {
		found[r.Name] = r
	}
	if !found["provided.al2023"].Available {
		t.Error("provided.al2023 is always there")
	}
	for _, name := range []string{"nodejs18.x", "nodejs22.x", "python3.11"} {
		if r, ok := found[name]; !ok || r.Available == (r.Missing != "") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRuntimeListOfServer(t *testing.T) {
	m := newMachine(t)
	server, data := m.serve(t)
	exports := strings.NewReplacer("export ", "", "unset AWS_SESSION_TOKEN", "").Replace(m.run(t, "env", "--data", data).stdout)
	m.vars = append(m.vars, strings.Fields(exports)...)
	server.on("GET /thermocline/v1/runtimes", 200, `{"runtimes":[{"name":"nodejs22.x","available":false,"missing":"run it"},{"name":"python3.11","available":true,"version":"3.11.2","path":"/usr/bin/python3.11","source":"host"}]}`)
	m.run(t, "runtime", "list").want(t, 0, "nodejs22.x", "missing", "run it", "3.11.2")
}

func TestRuntimeInstallOfUnknown(t *testing.T) {
	newMachine(t).run(t, "runtime", "install", "cobol1.x").want(t, exitFailed, "cobol1.x")
}

// The bar is drawn for a terminal alone, and only when it changes.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{e: &env{stderr: &out}, what: "nodejs22.x"}
	p.show(1, 2)
	p.end()
	if out.Len() > 0 {
		t.Errorf("it wrote %q", out.String())
	}
	p.e.terminal = true
	p.show(1_000_000, 2_000_000)
	p.show(1_000_001, 2_000_000)
	p.show(2_000_000, 2_000_000)
	p.end()
	if want := "\rnodejs22.x [===============               ]  50%  1.0 MB\rnodejs22.x [==============================] 100%  2.0 MB\n"; out.String() != want {
		t.Errorf("it wrote %q", out.String())
	}
}
