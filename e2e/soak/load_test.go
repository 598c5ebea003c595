package soak_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"thermocline/e2e/rig"
)

const nodeCode = `
const { spawn } = require('child_process');
exports.handler = async (event) => {
  console.log('do', event.do);
  switch (event.do) {
  case 'throw': throw new Error('as asked');
  case 'exit': process.exit(3);
  case 'sleep': await new Promise((done) => setTimeout(done, event.ms)); return 'slept';
  case 'memory': { const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1)); }
  case 'large': return 'x'.repeat(7 << 20);
  case 'leave': spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref(); return 'left';
  case 'write': require('fs').writeFileSync('/tmp/file', Buffer.alloc(4 << 20)); console.log('x'.repeat(100000)); return 'written';
  }
  return event;
};`

const pythonCode = `
def handler(event, context):
    print("hello")
    return event
`

// load is what goes on, each kind at its own pace.
type load struct {
	s            *rig.Server
	node, python string
	nodeZip      []byte
	pythonZip    []byte
	churned      atomic.Int64

	mu     sync.Mutex
	counts map[string]int // outcomes
	odd    []string       // that should not be, the first of them
}

func newLoad(t *testing.T, s *rig.Server) *load {
	l := &load{s: s, counts: map[string]int{}, node: s.Runtime("nodejs"), python: s.Runtime("python")}
	l.nodeZip = rig.Zip(t, rig.File{Name: "index.js", Data: []byte(nodeCode)})
	l.pythonZip = rig.Zip(t, rig.File{Name: "index.py", Data: []byte(pythonCode)})
	return l
}

// count notes an outcome; one that is not as wanted is odd.
func (l *load) count(what string, ok bool, detail any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
	if !ok {
		l.counts["odd"]++
		if len(l.odd) < 20 {
			l.odd = append(l.odd, fmt.Sprintf("%s: %.300v", what, detail))
		}
	}
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(l.counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, l.counts[k]))
	}
	return strings.Join(parts, ", ")
}

func (l *load) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, all := l.counts["throttled"], l.counts["warm"]; n > all/50 {
		t.Errorf("%d invocations were throttled, beside %d warm ones", n, all)
	}
	for _, o := range l.odd {
		t.Errorf("odd: %s", o)
	}
}

// run runs all kinds for a while. Nothing new begins after that, and what has
// begun ends. Then the functions are deleted: of one that is there the platform
// may keep sandboxes ready.
func (l *load) run(ctx context.Context, d time.Duration) {
	l.s.Deploy(rig.Function{Name: "node", Runtime: l.node, Zip: l.nodeZip, Timeout: 30})
	l.s.Deploy(rig.Function{Name: "brief", Runtime: l.node, Zip: l.nodeZip, Timeout: 3})
	l.s.Deploy(rig.Function{Name: "python", Runtime: l.python, Zip: l.pythonZip, Timeout: 30})
	defer func() {
		time.Sleep(time.Second) // for the last events
		for _, name := range []string{"node", "brief", "python"} {
			l.count("delete", l.s.Delete(ctx, name) == nil, name)
		}
	}()
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for _, k := range []struct {
		every time.Duration
		do    func(context.Context)
	}{
		{30 * time.Millisecond, l.invoke("warm", "node", map[string]any{"do": "echo", "n": 1}, `{"do":"echo","n":1}`)},
		{50 * time.Millisecond, l.invoke("python", "python", map[string]any{"n": 1}, `{"n":1}`)},
		{2 * time.Second, l.burst},
		{time.Second, l.invoke("error", "node", map[string]any{"do": "throw"}, "as asked")},
		{3 * time.Second, l.invoke("exit", "brief", map[string]any{"do": "exit"}, "Runtime.ExitError")},
		{5 * time.Second, l.invoke("timeout", "brief", map[string]any{"do": "sleep", "ms": 60000}, "Sandbox.Timedout")},
		{4 * time.Second, l.invoke("memory", "brief", map[string]any{"do": "memory"}, "Error")},
		{3 * time.Second, l.invoke("too large", "node", map[string]any{"do": "large"}, "ResponseSizeTooLarge")},
		{2 * time.Second, l.invoke("background", "brief", map[string]any{"do": "leave"}, "left")},
		{2 * time.Second, l.invoke("files", "node", map[string]any{"do": "write"}, "written")},
		{200 * time.Millisecond, l.event},
		{700 * time.Millisecond, l.churn},
		{900 * time.Millisecond, l.churn},
		{3 * time.Second, l.watch},
		{2 * time.Second, l.refused},
	} {
		all.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				began := time.Now()
				k.do(ctx)
				pause := k.every - time.Since(began)
				if pause > 0 {
					time.Sleep(pause/2 + rand.N(pause))
				}
			}
		})
	}
	all.Wait()
}

// invoke is a kind of load whose answer holds want.
func (l *load) invoke(what, name string, event any, want string) func(context.Context) {
	return func(ctx context.Context) {
		a, err := l.s.Invoke(ctx, name, event)
		if err != nil && strings.Contains(err.Error(), "TooManyRequestsException") {
			l.count("throttled", true, nil) // check looks at how many
			return
		}
		answer := strings.ReplaceAll(a.Payload, `": `, `":`) // Python's way
		l.count(what, err == nil && strings.Contains(answer, want), fmt.Sprint(a.Payload, err))
		if err == nil {
			l.count("start "+a.Start(), true, nil)
		}
	}
}

// burst needs many sandboxes at once.
func (l *load) burst(ctx context.Context) {
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { l.invoke("burst", "node", map[string]any{"do": "sleep", "ms": 300}, "slept")(ctx) })
	}
	all.Wait()
}

func (l *load) event(ctx context.Context) {
	out, err := l.s.Client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String("python"), InvocationType: types.InvocationTypeEvent, Payload: []byte(`{}`),
	})
	l.count("event", err == nil && out.StatusCode == 202, err)
}

// churn is a function's whole life.
func (l *load) churn(ctx context.Context) {
	n := l.churned.Add(1)
	f := rig.Function{Name: fmt.Sprintf("churn-%d", n%16), Runtime: l.node, Zip: l.nodeZip, Timeout: 30}
	if n%3 == 0 {
		f.Runtime, f.Zip = l.python, l.pythonZip
	}
	if n%4 == 0 { // what an interpreter reads at start: no pool will do
		f.Environment = map[string]string{"NODE_NO_WARNINGS": "1", "PYTHONUNBUFFERED": "1"}
	}
	step := func(what string, err error) bool {
		l.count(what, err == nil, err)
		return err == nil
	}
	if !step("deploy", l.s.TryDeploy(ctx, f)) {
		return
	}
	l.invoke("churn", f.Name, map[string]any{"n": 2}, `"n":2`)(ctx)
	_, err := l.s.Client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &f.Name, Timeout: aws.Int32(5)})
	if step("update", err) {
		// A version can be published when the update is done.
		w := lambda.NewFunctionUpdatedV2Waiter(l.s.Client, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
			o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
		})
		step("updated", w.Wait(ctx, &lambda.GetFunctionInput{FunctionName: &f.Name}, 10*time.Second))
	}
	l.invoke("churn", f.Name, map[string]any{"n": 3}, `"n":3`)(ctx)
	_, err = l.s.Client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &f.Name})
	step("publish", err)
	l.invoke("churn", f.Name+":1", map[string]any{"n": 4}, `"n":4`)(ctx)
	step("delete", l.s.Delete(ctx, f.Name))
}

// watch follows a log and goes away.
func (l *load) watch(ctx context.Context) {
	err := l.s.Follow(ctx, "node", 500*time.Millisecond)
	l.count("follow", err == nil, err)
}

// refused are requests that are refused.
func (l *load) refused(ctx context.Context) {
	_, err := l.s.Invoke(ctx, "nobody", 1)
	l.count("refused", err != nil && strings.Contains(err.Error(), "ResourceNotFoundException"), err)
	err = l.s.TryDeploy(ctx, rig.Function{Name: "broken", Runtime: l.node, Zip: []byte("no zip")})
	l.count("refused", err != nil && strings.Contains(err.Error(), "InvalidParameterValueException"), err)
}
