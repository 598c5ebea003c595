package load_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// warming is how many sandboxes wait in the warming pools.
func (s *server) warming() int {
	s.t.Helper()
	var fleets []struct {
		Managers []struct {
			Sandboxes struct {
				Warming int `json:"warming"`
			} `json:"sandboxes"`
		} `json:"managers"`
	}
	if err := json.Unmarshal([]byte(s.command("fleets", "--json")), &fleets); err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, f := range fleets {
		for _, m := range f.Managers {
			n += m.Sandboxes.Warming
		}
	}
	return n
}

// newestNode is the newest Node.js runtime that can run here.
func (s *server) newestNode() string {
	s.t.Helper()
	newest := s.nodeRuntime()
	var all []struct {
		Name      string `json:"name"`
		Available bool   `json:"available"`
	}
	if err := json.Unmarshal([]byte(s.command("runtime", "list", "--json")), &all); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range all {
		if r.Available && strings.HasPrefix(r.Name, "nodejs") && r.Name > newest {
			newest = r.Name
		}
	}
	return newest
}

var startKind = regexp.MustCompile(`start: (\w+)`)

// TestFirstCallIsPooled shows that a fresh server has a spare of Node.js, so that
// the very first call of a function need not wait for a boot, and that a
// function whose environment is read at the start starts fully all the same.
func TestFirstCallIsPooled(t *testing.T) {
	s := newServer(t)
	s.start()
	// Two managers, one of Node.js in each, and of Python where there is one.
	s.eventually(30*time.Second, "the spares wait", func() bool { return s.warming() >= 2 })
	runtime := s.newestNode()
	s.deploy("first", runtime, "index.handler", "index.js", echoJS)
	s.deploy("options", runtime, "index.handler", "index.js", echoJS, func(in *lambda.CreateFunctionInput) {
		in.Environment = &types.Environment{Variables: map[string]string{"NODE_OPTIONS": "--no-warnings"}}
	})
	time.Sleep(500 * time.Millisecond) // all that begins with the server has booted
	for name, want := range map[string]string{"first": "pooled", "options": "full"} {
		out, err := s.client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: []byte(`1`), LogType: types.LogTypeTail})
		if err != nil {
			t.Fatal(err)
		}
		tail, err := base64.StdEncoding.DecodeString(*out.LogResult)
		if err != nil {
			t.Fatal(err)
		}
		if got := startKind.FindSubmatch(tail); got == nil || string(got[1]) != want {
			t.Errorf("the first call of %s started %q, want %s:\n%s", name, got, want, tail)
		}
		var x struct{ Starts struct{ Kind string } }
		if err := json.Unmarshal([]byte(s.command("explain", name, "--json")), &x); err != nil {
			t.Fatal(err)
		}
		if x.Starts.Kind != want {
			t.Errorf("explain says that %s starts %q, want %s", name, x.Starts.Kind, want)
		}
	}
}
