package hostile_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"thermocline/e2e/rig"
)

// TestRules are the attacks on the Runtime API's rules.
func TestRules(t *testing.T) {
	w := newWorld(t)
	t.Run("answers twice", func(t *testing.T) {
		name := w.attacker(t, full)
		if a := w.attack(t, name, event{Do: "twice"}); a.Failed || a.Payload != `"first"` {
			t.Errorf("the answer is %+v", a)
		}
		if a := w.attack(t, name, event{Do: "statuses"}); a.Payload != "[202,403,403]" {
			t.Errorf("the statuses are %s", a.Payload)
		}
		w.well(t, name)
	})
	t.Run("answers twice as a child", func(t *testing.T) {
		// The first answer is the attacker's; the runtime's own is refused, and
		// it may end of that.
		name := w.attacker(t, pooled)
		if a := w.attack(t, name, event{Do: "twice"}); a.Failed || a.Payload != `"first"` {
			t.Errorf("the answer is %+v", a)
		}
		w.well(t, name)
	})
	t.Run("answers another's request", func(t *testing.T) {
		both(t, func(t *testing.T, how way) {
			victim, name := w.attacker(t, how), w.attacker(t, how)
			// The victim's request id is in its log while it runs.
			answer := make(chan rig.Answer, 1)
			go func() {
				a, err := w.Invoke(t.Context(), victim, event{Do: "sleep", Millis: 1500, Value: "genuine"})
				if err != nil {
					t.Error(err)
				}
				answer <- a
			}()
			id := ""
			w.Eventually(5*time.Second, "the victim's START line is stored", func() bool {
				ids := requests(w.Command("logs", victim))
				if len(ids) >= 2 {
					id = ids[len(ids)-1]
				}
				return id != ""
			})
			if a := w.attack(t, name, event{Do: "foreign", ID: id}); a.Failed || a.Payload != "null" {
				t.Errorf("accepted: %s", a.Payload)
			}
			if a := <-answer; a.Failed || a.Payload != `"genuine"` {
				t.Errorf("the victim's answer is %+v", a)
			}
			w.well(t, name)
			w.well(t, victim)
		})
	})
	t.Run("exits", func(t *testing.T) {
		name := w.attacker(t, full)
		if a := w.attack(t, name, event{Do: "exit"}); !a.Failed || !strings.Contains(a.Payload, "Runtime.ExitError") {
			t.Errorf("the answer is %+v", a)
		}
		w.well(t, name)
	})
	t.Run("answers and exits", func(t *testing.T) {
		name := w.attacker(t, full)
		if a := w.attack(t, name, event{Do: "answer and exit"}); a.Failed || a.Payload != `"answered"` {
			t.Errorf("the answer is %+v", a)
		}
		w.well(t, name)
	})
	t.Run("never asks again", func(t *testing.T) {
		name := w.attacker(t, full)
		if a := w.attack(t, name, event{Do: "answer and hang"}); a.Failed || a.Payload != `"answered"` {
			t.Errorf("the answer is %+v", a)
		}
		w.well(t, name)
	})
	t.Run("never asks", func(t *testing.T) {
		f := rig.Function{Name: "never", Runtime: "provided.al2023", Zip: w.provided, Environment: map[string]string{"HANG": "start"}, Timeout: 3}
		w.Deploy(f)
		done := make(chan rig.Answer, 1)
		go func() {
			a, err := w.Invoke(t.Context(), f.Name, event{Do: "echo"})
			if err != nil {
				t.Error(err)
			}
			done <- a
		}()
		// While it hangs, others go on.
		name := w.attacker(t, full)
		w.well(t, name)
		if a := <-done; !a.Failed || !strings.Contains(a.Payload, "Task timed out after 3.00 seconds") {
			t.Errorf("the answer is %+v", a)
		}
		w.well(t, name)
	})
}

// requests are the request ids of a log's START lines, in order.
func requests(log string) []string {
	var ids []string
	for line := range strings.Lines(log) {
		if _, rest, ok := strings.Cut(line, "START RequestId: "); ok {
			ids = append(ids, strings.Fields(rest)[0])
		}
	}
	return ids
}

// TestBackground leaves a process behind: it does not run between invocations,
// and it ends with the sandbox.
func TestBackground(t *testing.T) {
	both(t, func(t *testing.T, how way) {
		w := newWorld(t)
		name := w.attacker(t, how)
		if a := w.attack(t, name, event{Do: "background"}); a.Payload != `"left"` {
			t.Fatalf("the answer is %+v", a)
		}
		time.Sleep(400 * time.Millisecond) // the time until it is frozen, and more
		beats := func() int {
			a := w.attack(t, name, event{Do: "beats"})
			n, err := strconv.Atoi(a.Payload)
			if err != nil {
				t.Fatalf("the answer is %+v", a)
			}
			return n
		}
		first := beats()
		const idle = 2 * time.Second
		time.Sleep(idle)
		second := beats()
		if first < 1 || beaters(t) != 1 {
			t.Errorf("there are %d background processes, with %d beats", beaters(t), first)
		}
		// 100 ms until it is frozen, and the invocations themselves; unfrozen it
		// would be 400.
		if ran := second - first; ran < 1 || ran > 120 {
			t.Errorf("it ran %d times of %d while the function was idle", ran, idle/(5*time.Millisecond))
		}
		w.Stop()
		if n := beaters(t); n != 0 {
			t.Errorf("after the end of the server there are %d background processes", n)
		}
	})
}

// beaters counts the background processes on the host.
func beaters(t *testing.T) int {
	t.Helper()
	n := 0
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if raw, err := os.ReadFile(name); err == nil && strings.Contains(string(raw), "\x00thermocline-hostile-beat") {
			n++
		}
	}
	return n
}
