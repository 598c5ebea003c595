package soak_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"thermocline/e2e/rig"
)

var (
	duration = flag.Duration("duration", 30*time.Second, "how long the load goes on")
	interval = flag.Duration("interval", 30*time.Second, "how often the table has a line")
)

var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "thermocline-soak-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		built, err := rig.Build(dir, rig.Program)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		program = built[0]
		return m.Run()
	}())
}

// keepAlive makes idle sandboxes go within a soak's time.
const keepAlive = 4 * time.Second

// warmMB bounds the warming pool of each manager: two sandboxes, which the load
// always uses. What waits in it afterwards is what may be more or less.
const warmMB = "256"

// slack is how much more there may be afterwards: what three sandboxes of the
// warming pool have, which may be there now and not before; idle connections;
// what caches and allocators hold. Each soak makes hundreds of sandboxes.
var slack = map[string]float64{
	"Sandboxes": 3, "Processes": 6, "Children": 3, "Mounts": 6, "Loops": 3, "Namespaces": 3, "States": 18,
	"Descriptors": 36, "Goroutines": 36, "HeapMB": 16, "RSSMB": 48,
}

// brief soaks do not wait for the end of idle instances, which takes a minute.
const brief = 2 * time.Minute

// relative is how much of what there was memory may grow by besides.
const relative = 0.15

func TestSoak(t *testing.T) {
	rig.NeedsHost(t)
	s := rig.Start(t, program, "--debug-listen", "127.0.0.1:0", "--keep-alive", keepAlive.String(), "--memory-mb", "6144",
		"--warm-mb", warmMB)
	l := newLoad(t, s)
	table := newTable(t, s)

	// What is made once is made: templates, pools, caches, connections.
	l.run(t.Context(), min(*duration/3, time.Minute))
	before := table.settle("before", Figures{})
	ctx, cancel := context.WithCancel(t.Context())
	var lines sync.WaitGroup
	lines.Go(func() { table.follow(ctx) })
	began := time.Now()
	l.run(t.Context(), *duration)
	cancel()
	lines.Wait()
	table.line("end", table.read())
	after := table.settle("after", before)
	t.Logf("%v of load: %s", time.Since(began).Round(time.Second), l)
	for _, name := range exceeds(before, after) {
		t.Errorf("%s: %v before, %v after", name, value(before, name), value(after, name))
	}
	l.check(t)
	node := table.node
	s.Stop()
	if left := rig.Left(node); len(left) > 0 {
		t.Errorf("after the server's end there is %q", left)
	}
}

// Figures is short for rig's.
type Figures = rig.Figures

func value(f Figures, name string) float64 {
	v := reflect.ValueOf(f).FieldByName(name)
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

func names() []string {
	var all []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Figures]()) {
		all = append(all, f.Name)
	}
	return all
}

// exceeds returns the figures that are higher than they were.
func exceeds(before, after Figures) []string {
	var more []string
	for _, name := range names() {
		was, is := value(before, name), value(after, name)
		allowed := was + slack[name]
		if name == "Instances" && *duration < brief {
			continue
		}
		if strings.HasSuffix(name, "MB") {
			allowed += was * relative
		}
		if is > allowed {
			more = append(more, name)
		}
	}
	return more
}

// table prints figures as lines.
type table struct {
	t     *testing.T
	s     *rig.Server
	node  string
	began time.Time
}

func newTable(t *testing.T, s *rig.Server) *table {
	tb := &table{t: t, s: s, node: s.Node(), began: time.Now()}
	var head strings.Builder
	fmt.Fprintf(&head, "%-8s %8s", "", "time")
	for _, n := range names() {
		fmt.Fprintf(&head, " %*s", max(len(n), 7), n)
	}
	fmt.Fprintln(os.Stderr, head.String())
	return tb
}

func (tb *table) read() Figures {
	tb.t.Helper()
	f, err := tb.s.Figures(tb.node)
	if err != nil {
		tb.t.Error(err)
	}
	return f
}

func (tb *table) line(what string, f Figures) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %8s", what, time.Since(tb.began).Round(time.Second))
	for _, n := range names() {
		width := max(len(n), 7)
		if strings.HasSuffix(n, "MB") {
			fmt.Fprintf(&b, " %*.1f", width, value(f, n))
		} else {
			fmt.Fprintf(&b, " %*.0f", width, value(f, n))
		}
	}
	fmt.Fprintln(os.Stderr, b.String())
}

func (tb *table) follow(ctx context.Context) {
	tick := time.NewTicker(*interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tb.line("", tb.read())
		}
	}
}

// settle waits until nothing changes any more and, where there is something to
// compare with, is more than it was; or until that takes too long.
func (tb *table) settle(what string, against Figures) Figures {
	const quiet, patience = 3 * time.Second, 90 * time.Second
	last, since := tb.read(), time.Now()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		now := tb.read()
		if now.Sandboxes != last.Sandboxes {
			since = time.Now()
		}
		last = now
		if time.Since(since) < keepAlive+quiet {
			continue
		}
		if against == (Figures{}) || len(exceeds(against, last)) == 0 {
			break
		}
	}
	tb.line(what, last)
	return last
}
