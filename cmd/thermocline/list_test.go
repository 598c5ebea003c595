package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListFollowsMarkers(t *testing.T) {
	for _, name := range []string{"functions", "list"} {
		m := newMachine(t)
		server, _ := m.serve(t)
		server.on("GET "+pathFunctions, 200, `{"Functions":[`+configurationF+`],"NextMarker":"f"}`)
		server.on("GET "+pathFunctions, 200, `{"Functions":[{"FunctionName":"g"}]}`)
		r := m.run(t, name, "--json")
		r.want(t, 0)
		var got []function
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatal(err)
		}
		want := []function{
			{Name: "f", ARN: "arn:aws:lambda:eu-central-1:123456789012:function:f", Runtime: "python3.11", Handler: "app.handler", MemoryMB: 256, TmpMB: 512, Timeout: 3, State: "Active"},
			{Name: "g"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if got := server.last(t, "GET "+pathFunctions).query; got != "Marker=f" {
			t.Errorf("query %q", got)
		}
	}
}

func TestListOfNothing(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET "+pathFunctions, 200, `{"Functions":[]}`)
	m.run(t, "list").want(t, 0, "NAME")
	if r := m.run(t, "list", "--json"); r.stdout != "[]\n" {
		t.Errorf("stdout %q", r.stdout)
	}
}
