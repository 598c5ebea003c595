package pool

import "time"

// maxAhead bounds the preparations that wait to be asked for.
const maxAhead = 1024

// Ahead returns the functions for which a sandbox should wait now although none
// was called: those whose next call is predicted, and frequent ones that have
// fewer sandboxes than their load wants. Each stands there once for every
// sandbox that it should have more. Ask Prepare for each, in order; what it
// refuses is not wanted again until its time comes again. Call Ahead after
// Expire, which finds what is due, and after cold starts.
func (p *Pool) Ahead(now time.Time) []Need {
	a := p.ahead
	p.ahead = nil
	return a
}

// prepare has Ahead return n more sandboxes for f.
func (p *Pool) prepare(f *function, n int) {
	for range min(n, maxAhead-len(p.ahead)) {
		need := f.need
		need.Ahead, need.Generation = true, f.newest
		p.ahead = append(p.ahead, need)
	}
}

// Prepare finds a place for a sandbox that waits for a call of n's function: one
// of the warming pool (Specialise), or room for a new one (Start, then Add).
// It evicts nothing; without room the answer is Refuse. The sandbox is busy
// until Started and Release, which count no invocation.
func (p *Pool) Prepare(n Need, now time.Time) Decision {
	ns := now.UnixNano()
	f := p.function(n.Function)
	if b := p.spare(&n); b != nil {
		p.take(b)
		p.bind(b, f, n, ns)
		return Decision{Action: Specialise, Sandbox: b.id, Instance: b.instance.id}
	}
	at := p.room(n.MemoryMB)
	p.rest(f)
	if at == nil {
		return Decision{Action: Refuse}
	}
	return Decision{Action: Start, Instance: at.id}
}
