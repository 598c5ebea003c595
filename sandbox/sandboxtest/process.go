package sandboxtest

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"thermocline/sandbox"
)

// Process is what a Fake's code finds around it.
type Process struct {
	sandbox *fakeSandbox
	cancel  context.CancelFunc
	wait    sync.WaitGroup
	ready   chan struct{} // closed when initialisation has ended
	began   time.Time

	// Valid once ready is closed.
	handler Handler
	failure error
	init    time.Duration

	mu      sync.Mutex
	told    bool // init has been reported
	request string
	partial strings.Builder
	ran     time.Duration // before since
	since   time.Time     // zero while frozen
}

// kill ends the process and waits until it is gone.
func (p *Process) kill() {
	p.cancel()
	p.wait.Wait()
}

// Env returns the function's environment and what else a function can see of
// itself.
func (p *Process) Env() map[string]string {
	p.sandbox.mu.Lock()
	defer p.sandbox.mu.Unlock()
	f := p.sandbox.binding.Function
	env := maps.Clone(f.Environment)
	if env == nil {
		env = map[string]string{}
	}
	env["_HANDLER"], env["AWS_REGION"] = f.Handler, f.Region
	env["AWS_LAMBDA_FUNCTION_NAME"], env["AWS_LAMBDA_FUNCTION_VERSION"] = f.Name, f.Version
	env["AWS_LAMBDA_LOG_STREAM_NAME"] = p.sandbox.binding.LogStream
	return env
}

// ReadFile returns a file of /tmp.
func (p *Process) ReadFile(name string) (string, bool) {
	p.sandbox.mu.Lock()
	defer p.sandbox.mu.Unlock()
	text, ok := p.sandbox.files[name]
	return text, ok
}

// WriteFile writes a file of /tmp, which outlives the process.
func (p *Process) WriteFile(name, text string) {
	p.sandbox.mu.Lock()
	defer p.sandbox.mu.Unlock()
	p.sandbox.files[name] = text
}

// Print writes to the process's output.
func (p *Process) Print(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		line, rest, whole := strings.Cut(text, "\n")
		p.partial.WriteString(line)
		if !whole {
			return
		}
		p.flush()
		text = rest
	}
}

// flush gives the incomplete line away. Callers hold mu.
func (p *Process) flush() {
	text := p.partial.String()
	p.partial.Reset()
	if p.sandbox.spec.Output != nil {
		p.sandbox.spec.Output(sandbox.Line{Time: time.Now(), RequestID: p.request, Text: text[:min(len(text), 256<<10)]})
	}
}

// begin and finish frame an invocation.
func (p *Process) begin(requestID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request = requestID
}

func (p *Process) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.partial.Len() > 0 {
		p.flush()
	}
	p.request = ""
}

// initialised returns the time that initialisation took, the first time.
func (p *Process) initialised() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told {
		return 0
	}
	p.told = true
	return max(p.init, 1)
}

// Uptime is how long the process has run, without the time it was frozen.
func (p *Process) Uptime() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return p.ran
	}
	return p.ran + time.Since(p.since)
}

// clock starts or stops Uptime.
func (p *Process) clock(run bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if run {
		p.since = time.Now()
		return
	}
	p.ran += time.Since(p.since)
	p.since = time.Time{}
}
