package manager

import (
	"context"
	"errors"
	"slices"
	"time"

	"thermocline"
	"thermocline/sandbox"
)

// Programs unpacks the code that comes with invocations; *code.Scratch is one.
// Errors: KindRefused when there is no room now.
type Programs interface {
	Unpack(ctx context.Context, zip []byte) (dir string, release func(), err error)
}

// runProgram is Handle for a program. Its sandbox comes from the warming pool
// like any function's, is nobody else's before or after, and is destroyed when
// the program has ended; nothing of it is stored.
func (m *Manager) runProgram(ctx context.Context, inv *thermocline.Invocation, accepted func() error) (*thermocline.Result, error) {
	if m.o.Programs == nil {
		return nil, refused("the manager runs no programs")
	}
	f := inv.Program.Function(inv.Function.Account, inv.RequestID)
	dir, release, err := m.o.Programs.Unpack(ctx, inv.Program.Code)
	if err != nil {
		return nil, err
	}
	p, err := m.reserve(ctx, f, inv.Fleet)
	if err != nil {
		release()
		m.forgetProgram(f)
		return nil, err
	}
	defer m.coldEnds(p)
	if err := accepted(); err != nil {
		release()
		m.giveBack(p)
		m.forgetProgram(f)
		return nil, err
	}
	written := &written{limit: thermocline.MaxProgramOutput}
	l := newInvocationLog(written, inv, f.Version, m.o.ID, p.at, p.id)
	began := time.Now()
	h, err := m.ready(ctx, p, f, l, dir, release)
	if err == nil {
		setup := time.Since(began)
		var res *thermocline.Result
		if res, err = m.finishProgram(ctx, h, p, f, l, inv); err == nil {
			res.Report.Setup = setup
			written.into(res)
			return res, nil
		}
	}
	m.discard(p, f)
	if errors.Is(err, context.Canceled) {
		return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "The program was ended because nobody waits for it any more.")
	}
	return nil, platformError(err)
}

// ready makes the reserved sandbox the program's. What it writes goes to l from
// the beginning.
func (m *Manager) ready(ctx context.Context, p *reservation, f *thermocline.Function, l *invocationLog, dir string, release func()) (*held, error) {
	m.mu.Lock()
	h := m.held[p.id]
	m.mu.Unlock()
	if h == nil { // its instance died meanwhile
		release()
		return nil, errLost()
	}
	h.log.Store(l)
	return m.bind(ctx, p, f, sandbox.Binding{Function: f, CodeDir: dir, LogStream: logStream(f.Version, p.id, time.Now())}, release)
}

// finishProgram runs the program and returns what came of it. When it returns
// no error it has given the sandbox up.
func (m *Manager) finishProgram(ctx context.Context, h *held, p *reservation, f *thermocline.Function, l *invocationLog, inv *thermocline.Invocation) (*thermocline.Result, error) {
	began := time.Now()
	out, err := h.invoke(ctx, sandbox.Invocation{
		RequestID: inv.RequestID, Payload: inv.Payload, ARN: inv.ARN, Timeout: f.Timeout, TraceID: inv.TraceID,
	})
	h.log.Store(nil)
	if err != nil {
		return nil, err
	}
	waited := max(0, time.Since(began)-out.Duration)
	m.discard(p, f)
	r := report(out, p.start, f)
	// The runtime's own start overlaps with the sandbox's; what the program
	// waited for beyond that is what counts here.
	r.Init = waited
	r.Fleet, r.Manager, r.Instance, r.Sandbox = m.o.Fleet, m.o.ID, h.instance.ID(), h.id
	res := &thermocline.Result{RequestID: inv.RequestID, Payload: out.Payload, ExecutedVersion: f.Version, Report: r}
	if out.Failure != sandbox.FailureNone {
		res.FunctionError = "Unhandled"
	}
	return res, l.flush(ctx)
}

// discard closes a program's sandbox behind the answer's back. Its memory is
// free, and its place on the ledger, when nothing of it is left.
func (m *Manager) discard(p *reservation, f *thermocline.Function) {
	m.mu.Lock()
	h := m.held[p.id]
	m.mu.Unlock()
	m.work.Add(1) // under Handle's own, so that Close waits for it
	go func() {
		defer m.work.Done()
		if h != nil {
			m.closeAll([]*held{h})
		}
		m.mu.Lock()
		if m.held[p.id] == h {
			delete(m.held, p.id)
		}
		m.pool.Remove(p.id, time.Now())
		if h != nil {
			m.left(h)
		}
		m.mu.Unlock()
		m.forgetProgram(f)
	}()
}

// forgetProgram keeps the pool from remembering functions that never come back.
func (m *Manager) forgetProgram(f *thermocline.Function) {
	m.mu.Lock()
	m.pool.Forget(f.FunctionID, time.Now())
	m.mu.Unlock()
}

// written keeps the beginning of what a program writes. It is the Logs of an
// invocationLog, which calls it from one goroutine at a time.
type written struct {
	limit   int
	text    []byte
	dropped int64
}

func (w *written) Append(_ context.Context, lines []thermocline.LogLine) error {
	for _, line := range lines {
		if w.dropped > 0 || len(w.text)+len(line.Text)+1 > w.limit {
			w.dropped += int64(len(line.Text) + 1)
			continue
		}
		w.text = append(append(w.text, line.Text...), '\n')
	}
	return nil
}

// Settle has nothing to do: nothing is stored.
func (w *written) Settle(context.Context) error { return nil }

// into puts the output into a result, as far as both together may be sent.
func (w *written) into(r *thermocline.Result) {
	if room := max(0, thermocline.MaxResult-len(r.Payload)); len(w.text) > room {
		w.dropped += int64(len(w.text) - room)
		w.text = w.text[:room]
	}
	r.Output, r.OutputDropped = slices.Clip(w.text), w.dropped
}
