package manager

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"thermocline"
	"thermocline/instance"
	"thermocline/sandbox"
)

// held is a sandbox that the manager holds, with what it needs to drive it.
type held struct {
	id       string
	instance instance.Instance

	// mu orders Specialise, Invoke, Freeze and Thaw, which must not overlap.
	mu      sync.Mutex
	sandbox sandbox.Sandbox // nil until it has started
	frozen  bool
	release func()

	log atomic.Pointer[invocationLog] // of the invocation that runs, nil between

	early earlyLines // what was written while it was prepared

	idleSince atomic.Int64 // Unix nanoseconds; 0 while busy
	freezing  atomic.Bool  // stands in the freezer's queue
}

// output receives the sandbox's lines. Lines between invocations (a background
// process that outlived its invocation, say) go to nobody: they belong to no
// request. Those of an initialisation ahead of any go to the first.
func (h *held) output(line sandbox.Line) {
	if l := h.log.Load(); l != nil {
		l.output(context.Background(), line)
		return
	}
	h.early.add(line)
}

// maxEarly bounds the lines that wait for the first invocation, in bytes.
const maxEarly = 256 << 10

// earlyLines are the lines of a sandbox that is prepared before it is called.
type earlyLines struct {
	mu    sync.Mutex
	open  bool
	lines []sandbox.Line
	bytes int
}

func (e *earlyLines) add(line sandbox.Line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.open || e.bytes+len(line.Text) > maxEarly {
		return
	}
	e.lines = append(e.lines, line)
	e.bytes += len(line.Text) + 64
}

func (e *earlyLines) collect() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = true
}

// take ends the collection and reports whether there was one.
func (e *earlyLines) take() (lines []sandbox.Line, was bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	lines, was = e.lines, e.open
	e.lines, e.open, e.bytes = nil, false, 0
	return lines, was
}

// begin makes l the log of what the sandbox writes. It reports whether the
// sandbox was prepared for this, its first invocation.
func (h *held) begin(ctx context.Context, l *invocationLog) (prepared bool) {
	lines, prepared := h.early.take()
	for _, line := range lines {
		l.output(ctx, line)
	}
	h.log.Store(l)
	return prepared
}

// initialise lets the function's own start run before anybody calls it.
func (h *held) initialise(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sandbox.Initialise(ctx)
}

// invoke thaws the sandbox if need be and runs the invocation.
func (h *held) invoke(ctx context.Context, inv sandbox.Invocation) (sandbox.Outcome, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idleSince.Store(0)
	if h.frozen {
		if err := h.sandbox.Thaw(ctx); err != nil {
			return sandbox.Outcome{}, err
		}
		h.frozen = false
	}
	inv.Deadline = time.Now().Add(inv.Timeout)
	return h.sandbox.Invoke(ctx, inv)
}

// close ends the sandbox and gives back its code directory.
func (h *held) close() error {
	// Not under mu: Close may come while Invoke runs, and ends it.
	var err error
	if h.sandbox != nil {
		err = h.sandbox.Close()
	}
	if h.release != nil {
		h.release()
	}
	return err
}

// freezer freezes sandboxes that have been idle for a while, so that code
// cannot compute between invocations. One goroutine does it, in the order in
// which sandboxes became idle.
type freezer struct {
	after time.Duration
	queue chan *held // bounded; when full, idle sandboxes are found by sweep
}

func newFreezer(after time.Duration) *freezer {
	return &freezer{after: after, queue: make(chan *held, 4096)}
}

// idle notes that h is idle since now.
func (f *freezer) idle(h *held, now time.Time) {
	h.idleSince.Store(now.UnixNano())
	if f.after < 0 || !h.freezing.CompareAndSwap(false, true) {
		return
	}
	select {
	case f.queue <- h:
	default:
		h.freezing.Store(false)
	}
}

// run freezes until ctx ends. failed is told of sandboxes that would not
// freeze.
func (f *freezer) run(ctx context.Context, failed func(h *held, err error)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var h *held
		select {
		case <-ctx.Done():
			return
		case h = <-f.queue:
		}
		for {
			since := h.idleSince.Load()
			if since == 0 { // busy again: the next idle() queues it anew
				h.freezing.Store(false)
				if h.idleSince.Load() != 0 && h.freezing.CompareAndSwap(false, true) {
					continue // became idle in between and saw the flag still set
				}
				break
			}
			wait := time.Until(time.Unix(0, since).Add(f.after))
			if wait > 0 {
				timer.Reset(wait)
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
				}
				continue
			}
			h.freezing.Store(false)
			if err := f.freeze(ctx, h); err != nil {
				failed(h, err)
			}
			break
		}
	}
}

// freeze freezes h unless it is in use. It does not wait for an invocation:
// who holds the lock is using the sandbox.
func (f *freezer) freeze(ctx context.Context, h *held) error {
	if !h.mu.TryLock() {
		return nil
	}
	defer h.mu.Unlock()
	if h.frozen || h.idleSince.Load() == 0 || h.sandbox == nil || !h.sandbox.Alive() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := h.sandbox.Freeze(ctx); err != nil {
		return err
	}
	h.frozen = true
	return nil
}

// report turns an outcome into what the REPORT line says.
func report(o sandbox.Outcome, start thermocline.StartKind, f *thermocline.Function) thermocline.Report {
	r := thermocline.Report{
		Start:       start,
		Duration:    o.Duration,
		Init:        o.Init,
		MemoryMB:    f.MemoryMB,
		MaxMemoryMB: int((o.PeakMemory + 1<<20 - 1) >> 20),
	}
	// Billed in whole milliseconds, rounded up, initialisation included.
	r.Billed = (o.Duration + o.Init + time.Millisecond - 1).Truncate(time.Millisecond)
	if r.Billed == 0 {
		r.Billed = time.Millisecond
	}
	switch o.Failure {
	case sandbox.FailureNone, sandbox.FailureHandler:
	case sandbox.FailureTimeout:
		r.Status = "timeout"
	default:
		r.Status = "error"
	}
	return r
}
