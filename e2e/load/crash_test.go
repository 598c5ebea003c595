package load_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const eventJS = `exports.handler = async (event) => {
  console.log("ran " + event.id);
  await new Promise((done) => setTimeout(done, 20));
};`

// leftovers lists what a server with this data directory has on the host.
func leftovers(t *testing.T, id string) []string {
	t.Helper()
	var found []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, id) {
			found = append(found, "mount "+line)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*/thermocline-" + id + "/*/*", "/sys/fs/cgroup/thermocline-" + id + "/*/*"} {
		dirs, _ := filepath.Glob(pattern)
		for _, d := range dirs {
			if info, err := os.Stat(d); err == nil && info.IsDir() {
				found = append(found, "cgroup "+d)
			}
		}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, p := range procs {
		if raw, err := os.ReadFile(p); err == nil && strings.Contains(string(raw), id) {
			found = append(found, "process "+filepath.Dir(p))
		}
	}
	return found
}

// nodeID finds the id under which the server keeps its state.
func (s *server) nodeID() string {
	s.t.Helper()
	var fleets []struct {
		Name     string `json:"name"`
		Managers []struct {
			ID string `json:"id"`
		} `json:"managers"`
	}
	if err := json.Unmarshal([]byte(s.command("fleets", "--json")), &fleets); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range fleets {
		for _, m := range f.Managers {
			return strings.TrimSuffix(strings.TrimSuffix(m.ID, "-1"), "-"+f.Name)
		}
	}
	s.t.Fatal("no manager announces itself")
	return ""
}

// TestKill kills the server under load, again and again, and starts it on the
// same data.
func TestKill(t *testing.T) {
	s := newServer(t)
	s.start()
	id := s.nodeID()
	s.deploy("echo", s.nodeRuntime(), "index.handler", "index.js", echoJS)
	s.deploy("event", s.nodeRuntime(), "index.handler", "index.js", eventJS)

	var mu sync.Mutex
	accepted := map[string]bool{} // events that were answered 202
	seen := 0.0                   // calls in the history before the kill before
	const kills = 3
	for round := range kills {
		ctx, cancel := context.WithCancel(t.Context())
		var load sync.WaitGroup
		for w := range 4 {
			load.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					eid := fmt.Sprintf("e%d-%d-%d", round, w, i)
					out, err := s.client.Invoke(ctx, &lambda.InvokeInput{
						FunctionName: new("event"), InvocationType: types.InvocationTypeEvent,
						Payload: fmt.Appendf(nil, `{"id":%q}`, eid),
					})
					if err == nil && out.StatusCode == 202 {
						mu.Lock()
						accepted[eid] = true
						mu.Unlock()
					}
					_, _ = s.invoke(ctx, "echo", `1`)
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		total := s.explain("echo").Usage["total"]
		s.kill()
		cancel()
		load.Wait()

		began := time.Now()
		s.start()
		t.Logf("round %d: ready again after %v, %d events accepted so far", round, time.Since(began).Round(time.Millisecond), len(accepted))
		if got := s.nodeID(); got != id {
			t.Errorf("the node's id changed from %s to %s", id, got)
		}
		// Of the history the last second may be gone, not what was before: what
		// the start before has found, at least.
		got := s.explain("echo").Usage["total"]
		if got == 0 || got < seen {
			t.Errorf("the history knows %v calls, %v before the kill, %v at the start before", got, total, seen)
		}
		seen = got
		if got, err := s.invoke(t.Context(), "echo", `"again"`); err != nil || got != `"again"` {
			t.Fatalf("after the restart: %q, %v", got, err)
		}
	}

	ran := map[string]int{}
	deadline := time.Now().Add(60 * time.Second)
	for {
		clear(ran)
		for _, l := range s.logs("event") {
			if _, eid, ok := strings.Cut(l.Text, "ran "); ok && l.Kind == "line" {
				ran[strings.TrimSpace(eid)]++
			}
		}
		missing := 0
		for eid := range accepted {
			if ran[eid] == 0 {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d accepted events have not run", missing, len(accepted))
		}
		time.Sleep(500 * time.Millisecond)
	}
	again := 0
	for eid := range accepted {
		if ran[eid] > 1 {
			again++
		}
	}
	t.Logf("%d accepted events ran, %d of them more than once, over %d kills", len(accepted), again, kills)
	if len(accepted) < 50 {
		t.Errorf("only %d events were accepted: too few to show anything", len(accepted))
	}

	s.terminate()
	if left := leftovers(t, id); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestSecondServer starts two servers on one data directory.
func TestSecondServer(t *testing.T) {
	s := newServer(t)
	s.start()
	second := &server{t: t, data: s.data}
	out := second.fails("serve", "--listen", "127.0.0.1:0")
	if !strings.Contains(out, "another server runs on") || !strings.Contains(out, "--data") {
		t.Errorf("the second server says %q", out)
	}
	if r, err := s.invoke(t.Context(), "none", `1`); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("the first one then answers %q, %v", r, err)
	}
}
