package manager

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"thermocline"
	"thermocline/sandbox"
)

const (
	// maxPendingLog is how many bytes of an invocation's output wait in memory
	// before its writer is made to wait for the store.
	maxPendingLog = 256 << 10
	// logTailBytes is what LogType=Tail returns.
	logTailBytes = 4 << 10
	// flushEvery is how often the lines of a running invocation are stored, so
	// that `logs -f` shows them while it runs.
	flushEvery = 250 * time.Millisecond
)

// invocationLog collects the lines of one invocation and stores them in
// batches, in order.
type invocationLog struct {
	store  Logs
	fixed  thermocline.LogLine // what every line of this invocation carries
	wanted bool                // LogType=Tail

	finished atomic.Bool
	end      chan struct{} // closed when finished, for a flusher that waits

	mu      sync.Mutex
	pending []thermocline.LogLine
	bytes   int
	tail    []byte
	err     error
}

func newInvocationLog(store Logs, inv *thermocline.Invocation, version, manager, instance, sandboxID string) *invocationLog {
	return &invocationLog{
		store:  store,
		end:    make(chan struct{}),
		wanted: inv.LogTail,
		fixed: thermocline.LogLine{
			Account: inv.Function.Account, Function: inv.Function.Name, Version: version,
			RequestID: inv.RequestID, Manager: manager, Instance: instance, Sandbox: sandboxID,
		},
	}
}

// add appends a line. When too much waits it stores what there is first: the
// function's writer then waits with it.
func (l *invocationLog) add(ctx context.Context, at time.Time, kind thermocline.LogKind, text string) {
	line := l.fixed
	line.Time, line.Kind, line.Text = at, kind, text
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, line)
	l.bytes += len(text) + 128
	if l.wanted {
		l.tail = append(append(l.tail, text...), '\n')
		if len(l.tail) > 2*logTailBytes {
			l.tail = append(l.tail[:0], l.tail[len(l.tail)-logTailBytes:]...)
		}
	}
	if l.bytes > maxPendingLog {
		l.flushLocked(ctx)
	}
}

// output is add for a line of the sandbox.
func (l *invocationLog) output(ctx context.Context, line sandbox.Line) {
	l.add(ctx, line.Time, thermocline.LogText, line.Text)
}

// flush stores what waits and returns the first error there was.
func (l *invocationLog) flush(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushLocked(ctx)
	return l.err
}

// flushLocked does its I/O under the invocation's own lock on purpose: it keeps
// the lines in order, and only this invocation's writer waits.
func (l *invocationLog) flushLocked(ctx context.Context) {
	if len(l.pending) == 0 {
		return
	}
	if err := l.store.Append(ctx, l.pending); err != nil && l.err == nil {
		l.err = err
	}
	l.pending, l.bytes = nil, 0
}

// soonLogs is a store of lines that does not make its callers wait. Lines that
// it has taken are on their way before anything else that is sent, so before the
// answer to the invocation; *natsstore.Store is one.
type soonLogs interface {
	AppendSoon(ctx context.Context, lines []thermocline.LogLine) error
}

// flushSoon is flush without waiting until the lines are stored, where the
// store can do that.
func (l *invocationLog) flushSoon(ctx context.Context) error {
	soon, ok := l.store.(soonLogs)
	if !ok {
		return l.flush(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		return l.err
	}
	if err := soon.AppendSoon(ctx, l.pending); err != nil && l.err == nil {
		l.err = err
	}
	l.pending, l.bytes = nil, 0
	return l.err
}

// tailBytes returns the last 4 KB of the log, nil when nobody asked.
func (l *invocationLog) tailBytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tail) > logTailBytes {
		return l.tail[len(l.tail)-logTailBytes:]
	}
	return l.tail
}

func startText(requestID, version string) string {
	return "START RequestId: " + requestID + " Version: " + version
}

func endText(requestID string) string { return "END RequestId: " + requestID }

// reportText is the REPORT line as Lambda writes it, with the kind of start
// behind it.
func reportText(requestID string, r thermocline.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		requestID, ms(r.Duration), r.Billed.Milliseconds(), r.MemoryMB, r.MaxMemoryMB)
	if r.Init > 0 {
		fmt.Fprintf(&b, "Init Duration: %.2f ms\t", ms(r.Init))
	}
	fmt.Fprintf(&b, "start: %s\t", r.Start)
	if r.Status != "" {
		fmt.Fprintf(&b, "Status: %s\t", r.Status)
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
