package load_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const slowJS = `exports.handler = async (event) => {
  await new Promise((done) => setTimeout(done, event.ms));
  return event;
};`

// fleetMB is the memory of each fleet's instances.
func (s *server) fleetMB() map[string]int {
	s.t.Helper()
	var fleets []struct {
		Name     string `json:"name"`
		Managers []struct {
			Instances []struct {
				MemoryMB int `json:"memory_mb"`
			} `json:"instances"`
		} `json:"managers"`
	}
	if err := json.Unmarshal([]byte(s.command("fleets", "--json")), &fleets); err != nil {
		s.t.Fatal(err)
	}
	mb := map[string]int{}
	for _, f := range fleets {
		for _, m := range f.Managers {
			for _, in := range m.Instances {
				mb[f.Name] += in.MemoryMB
			}
		}
	}
	return mb
}

// TestMemoryFollowsTheLoad runs both fleets in 2 GB. The low-volume fleet fills
// what it may have with idle sandboxes; then a function gets hot, and needs more
// than its fleet is guaranteed: it gets it, and no request fails. Then the rare
// ones are called together, and get theirs back.
func TestMemoryFollowsTheLoad(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	// A function is hot as soon as five of its invocations run at once.
	yaml := `
fleets:
  - {name: high-volume, dispatch: direct, enter: concurrency >= 5.0, stay: rate_minute > 0.01, dwell: 10s, spread: 2}
  - {name: low-volume, dispatch: queue}
`
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "--config", config, "--memory-mb", "2048", "--spares", "none")
	s.start()
	runtime := s.nodeRuntime()
	const rare, atOnce = 12, 8
	for i := range rare {
		s.deploy(fmt.Sprint("rare", i), runtime, "index.handler", "index.js", slowJS)
	}
	s.deploy("hot", runtime, "index.handler", "index.js", slowJS)

	var failed, done atomic.Int64
	call := func(name string, ms int) {
		want := fmt.Sprintf(`{"ms":%d}`, ms)
		got, err := s.invoke(t.Context(), name, want)
		done.Add(1)
		if err != nil || got != want {
			failed.Add(1)
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for i := range rare {
		call(fmt.Sprint("rare", i), 1)
	}
	before := s.fleetMB()
	if before["low-volume"] < 1024 {
		t.Fatalf("the low-volume fleet has %v, want it to fill the memory", before)
	}
	var load sync.WaitGroup
	end := time.Now().Add(6 * time.Second)
	for range atOnce {
		load.Go(func() {
			for time.Now().Before(end) {
				call("hot", 300)
			}
		})
	}
	load.Wait()
	hot := s.fleetMB()
	if got := s.explain("hot").Fleet; got != "high-volume" {
		t.Errorf("the hot function is in %s", got)
	}
	// Four at once run in what the two managers are guaranteed.
	if hot["high-volume"] <= 512 || hot["low-volume"] >= before["low-volume"] {
		t.Errorf("before the load the fleets had %v MB, under it %v: no memory moved to high-volume", before, hot)
	}
	time.Sleep(6 * time.Second) // beyond the dwell of what was given

	for range 3 {
		for i := range rare {
			load.Go(func() { call(fmt.Sprint("rare", i), 2000) })
			time.Sleep(150 * time.Millisecond)
		}
		load.Wait()
	}
	after := s.fleetMB()
	if after["low-volume"] <= hot["low-volume"] {
		t.Errorf("under the load of the rare functions the fleets have %v MB, before it %v: none moved back", after, hot)
	}
	t.Logf("%d requests, %d failed; MB of the fleets: filled %v, hot function %v, rare functions %v", done.Load(), failed.Load(), before, hot, after)
}
