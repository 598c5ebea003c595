package load_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const echoJS = `exports.handler = async (event) => event;`

// fleetsYAML has thresholds that a function passes both ways within a minute.
const fleetsYAML = `
fleets:
  - name: high-volume
    dispatch: direct
    enter: rate_minute > 0.3
    stay: rate_minute > 0.25
    dwell: 3s
    spread: 2
  - name: low-volume
    dispatch: queue
`

// TestPromotionAndDemotion calls one function at 5/s and another once: the
// first moves up within 15 s and comes back when its rate has fallen, and no
// request fails on the way.
func TestPromotionAndDemotion(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte(fleetsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "--config", config)
	s.start()
	for _, name := range []string{"often", "once", "other"} {
		s.deploy(name, s.nodeRuntime(), "index.handler", "index.js", echoJS)
	}
	if _, err := s.invoke(t.Context(), "once", `1`); err != nil {
		t.Fatal(err)
	}

	var failed, done atomic.Int64
	call := func(name string) {
		got, err := s.invoke(t.Context(), name, `{"a":1}`)
		done.Add(1)
		if err != nil || got != `{"a":1}` {
			failed.Add(1)
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	var load sync.WaitGroup
	stop, slow := make(chan struct{}), make(chan struct{})
	// The load on the function that moves: 5/s, later one in ten seconds.
	load.Go(func() {
		fast := time.NewTicker(200 * time.Millisecond)
		defer fast.Stop()
		for {
			select {
			case <-slow:
				rare := time.NewTicker(10 * time.Second)
				defer rare.Stop()
				for {
					select {
					case <-stop:
						return
					case <-rare.C:
						call("often")
					}
				}
			case <-fast.C:
				load.Go(func() { call("often") })
			}
		}
	})
	// Some load beside it, on a function that stays.
	load.Go(func() {
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				call("other")
			}
		}
	})

	began := time.Now()
	if got := s.explain("often").Fleet; got != "low-volume" {
		t.Errorf("a new function is in %s", got)
	}
	s.eventually(15*time.Second, "the function called at 5/s is in high-volume", func() bool {
		return s.explain("often").Fleet == "high-volume"
	})
	t.Logf("promoted after %v", time.Since(began).Round(100*time.Millisecond))
	time.Sleep(time.Second) // some requests in the new fleet
	close(slow)
	began = time.Now()
	s.eventually(90*time.Second, "the function is back in low-volume", func() bool {
		return s.explain("often").Fleet == "low-volume"
	})
	t.Logf("demoted after %v", time.Since(began).Round(100*time.Millisecond))
	call("often")
	close(stop)
	load.Wait()

	if got := s.explain("once").Fleet; got != "low-volume" {
		t.Errorf("the function called once is in %s", got)
	}
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), done.Load())
	}
	managers := map[string]bool{}
	for _, l := range s.logs("often") {
		if l.Kind == "REPORT" {
			managers[l.Manager] = true
		}
	}
	homes := map[string]bool{}
	for _, l := range s.logs("other") {
		if l.Kind == "REPORT" {
			homes[l.Manager] = true
		}
	}
	if len(homes) != 1 {
		t.Errorf("a rare function ran on %d managers, want its one home", len(homes))
	}
	if len(managers) < 2 {
		t.Errorf("the function that moved ran on %v only", managers)
	}
	t.Logf("%d requests, managers of the moving function: %d", done.Load(), len(managers))
}
