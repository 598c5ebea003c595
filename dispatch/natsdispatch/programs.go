package natsdispatch

import (
	"context"
	"sync"

	"thermocline"
)

// programs are those that a manager runs now: their clients may end them.
type programs struct {
	mu      sync.Mutex
	running map[string]context.CancelFunc // by request id
}

// begin returns the context of an invocation, which cancel can end when it is a
// program's. done is called when it has ended.
func (p *programs) begin(ctx context.Context, inv *thermocline.Invocation) (_ context.Context, done func()) {
	if inv.Program == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	if p.running == nil {
		p.running = map[string]context.CancelFunc{}
	}
	p.running[inv.RequestID] = cancel
	p.mu.Unlock()
	return ctx, func() {
		cancel()
		p.mu.Lock()
		delete(p.running, inv.RequestID)
		p.mu.Unlock()
	}
}

// cancel ends a program, if it runs here.
func (p *programs) cancel(requestID string) {
	p.mu.Lock()
	end := p.running[requestID]
	p.mu.Unlock()
	if end != nil {
		end()
	}
}
