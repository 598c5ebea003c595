package load_test

import (
	"strings"
	"testing"
	"time"
)

// TestTerminateFinishesWhatRuns stops the server while an invocation runs: it
// is answered, nothing new is taken, and the server exits with 0 and leaves
// nothing.
func TestTerminateFinishesWhatRuns(t *testing.T) {
	s := newServer(t)
	s.args = append(s.args, "--spares", "none")
	s.start()
	id := s.nodeID()
	s.deploy("slow", s.nodeRuntime(), "index.handler", "index.js", `exports.handler = async (ms) => {
  await new Promise((done) => setTimeout(done, ms)); return "finished";
};`)
	// Nothing of a function starts before its first invocation.
	if got := leftoversOf(leftovers(t, id), "process "); len(got) > 0 {
		t.Errorf("before the first invocation there are %q", got)
	}
	if _, err := s.invoke(t.Context(), "slow", `1`); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := s.invoke(t.Context(), "slow", `2000`)
		got <- answer{text, err}
	}()
	time.Sleep(500 * time.Millisecond) // it runs by then
	began := time.Now()
	s.terminate()
	if took := time.Since(began); took < time.Second {
		t.Errorf("the server stopped after %v, before the invocation could end", took)
	}
	if a := <-got; a.err != nil || a.text != `"finished"` {
		t.Errorf("the invocation that ran was answered %s, %v", a.text, a.err)
	}
	if left := leftovers(t, id); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func leftoversOf(all []string, prefix string) []string {
	var some []string
	for _, one := range all {
		if strings.HasPrefix(one, prefix) {
			some = append(some, one)
		}
	}
	return some
}
