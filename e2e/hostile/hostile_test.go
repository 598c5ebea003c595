package hostile_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"thermocline/e2e/rig"
)

// programs is set by TestMain, before any test runs.
var programs struct{ server, attacker string }

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "thermocline-hostile-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		built, err := rig.Build(dir, rig.Program, "thermocline/e2e/hostile/attacker")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		programs.server, programs.attacker = built[0], built[1]
		return m.Run()
	}())
}

// event is what the attacker reads.
type event struct {
	Do        string   `json:"do"`
	Paths     []string `json:"paths,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Abstract  []string `json:"abstract,omitempty"`
	Pids      []int    `json:"pids,omitempty"`
	Millis    int      `json:"ms,omitempty"`
	ID        string   `json:"id,omitempty"`
	Value     string   `json:"value,omitempty"`
}

// handler runs the attacker as a child: from within a runtime that waited, and
// rehearsed, before it knew the function.
const handler = `
const { spawn } = require('child_process');
exports.handler = async (event, context) => event.do === 'echo' ? event.value : new Promise((resolve) => {
  const child = spawn('/var/task/attacker', [context.awsRequestId, JSON.stringify(event)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.on('error', (error) => resolve('died: ' + error.code));
  // Not "close": what the child has left behind holds its stdout.
  child.on('exit', (status, signal) => setTimeout(() => resolve(status === 0 ? JSON.parse(out) : 'died: ' + (signal || status)), 20));
});`

// world is a server with a neighbour, and what deploys attackers on it.
type world struct {
	*rig.Server
	node     string // the Node.js runtime
	provided []byte // the packages of the attacker
	pooled   []byte
	count    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	rig.NeedsHost(t)
	w := &world{Server: rig.Start(t, programs.server, "--managers-per-fleet", "1")}
	program, err := os.ReadFile(programs.attacker)
	if err != nil {
		t.Fatal(err)
	}
	w.node = w.Runtime("nodejs")
	w.provided = rig.Zip(t, rig.File{Name: "bootstrap", Data: program})
	w.pooled = rig.Zip(t, rig.File{Name: "index.js", Data: []byte(handler)}, rig.File{Name: "attacker", Data: program})
	w.Deploy(rig.Function{Name: neighbour, Runtime: w.node, Zip: w.pooled})
	return w
}

// way is how an attacker's sandbox is started.
type way string

const (
	full   way = "full"
	pooled way = "pooled"
)

// attacker deploys an attacker and invokes it once: then it has a sandbox that
// was started in the given way.
func (w *world) attacker(t *testing.T, how way, change ...func(*rig.Function)) string {
	t.Helper()
	for range 40 {
		w.count++
		f := rig.Function{Name: fmt.Sprintf("attacker-%d", w.count), Timeout: 20}
		if how == full {
			// What an interpreter reads at start cannot come late.
			f.Runtime, f.Zip, f.Environment = "provided.al2023", w.provided, map[string]string{"PYTHONATTACK": "1"}
		} else {
			f.Runtime, f.Zip = w.node, w.pooled
		}
		for _, c := range change {
			c(&f)
		}
		w.Deploy(f)
		a, err := w.Invoke(t.Context(), f.Name, event{Do: "echo", Value: "well"})
		if err != nil || a.Failed || a.Payload != `"well"` {
			t.Fatalf("the attacker's first answer is %+v, %v", a, err)
		}
		if a.Start() == string(how) {
			return f.Name
		}
		if err := w.Delete(t.Context(), f.Name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // the warming pool fills
	}
	t.Fatalf("no sandbox was started in the way %q", how)
	return ""
}

// attack invokes an attacker.
func (w *world) attack(t *testing.T, name string, e event) rig.Answer {
	t.Helper()
	a, err := w.Invoke(t.Context(), name, e)
	if err != nil {
		t.Fatalf("%s: %v", e.Do, err)
	}
	return a
}

// well checks that the next invocation works.
func (w *world) well(t *testing.T, name string) {
	t.Helper()
	began := time.Now()
	a, err := w.Invoke(t.Context(), name, event{Do: "echo", Value: "well"})
	if err != nil || a.Failed || a.Payload != `"well"` {
		t.Errorf("the next invocation's answer is %+v, %v", a, err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the next invocation took %v", took)
	}
}

// both runs a test for both ways.
func both(t *testing.T, test func(t *testing.T, how way)) {
	for _, how := range []way{full, pooled} {
		t.Run(string(how), func(t *testing.T) { test(t, how) })
	}
}
