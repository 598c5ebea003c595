package natsdispatch

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// partition is one partition that this manager leases: it pulls its requests
// always, its events one after the other.
type partition struct {
	v       *service
	n       int
	queue   *puller
	events  *puller
	running int // events; guarded by events.mu
}

func newPartition(v *service, n int) *partition {
	p := &partition{v: v, n: n}
	l := v.link
	p.queue = &puller{
		link: l, fleet: v.fleet, partition: n, stream: l.names.queueStream(), batch: 32,
		take: func(m *nats.Msg) { v.take(m, true) },
	}
	p.events = &puller{
		link: l, fleet: v.fleet, partition: n, stream: l.names.eventStream(n), batch: 1, events: true,
		take: func(m *nats.Msg) { v.events.deliver(p, m) },
	}
	return p
}

func (p *partition) open(ctx context.Context) {
	p.queue.open(ctx)
	p.events.open(ctx)
}

func (p *partition) mend(ctx context.Context) {
	p.queue.mend(ctx)
	p.events.mend(ctx)
}

// close stops pulling. What was delivered is handled (and refused when the
// manager stops); events that wait here go back at once.
func (p *partition) close() {
	p.queue.close()
	p.events.close()
	p.v.events.giveBack(p)
}

// puller keeps a pull request standing at one consumer.
//
// It speaks the consumer's protocol itself instead of using
// jetstream.Consumer: that has two goroutines and two timers for each, and one
// manager has up to 128.
type puller struct {
	link      *link
	fleet     string
	partition int
	stream    string
	batch     int
	events    bool
	take      func(*nats.Msg) // called from the subscription's goroutine

	mu      sync.Mutex
	sub     *subscription
	inbox   string
	wanted  int       // messages asked for and not delivered
	asked   time.Time // of the last request
	epoch   uint64    // the link's at the last request
	paused  bool      // events: one is waiting for room, ask for no more
	missing bool      // the consumer must be made again
}

// pullExpiry is how long a request stands at the server.
const pullExpiry = time.Minute

// open subscribes and asks for the first messages. A failure is mended later.
func (p *puller) open(ctx context.Context) {
	err := p.link.consumer(ctx, p.fleet, p.partition, p.events)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = p.link.nc.NewInbox()
	p.missing = err != nil
	if err == nil {
		p.sub, err = subscribe(p.link.nc, p.inbox, p.receive)
	}
	if err != nil {
		if ctx.Err() == nil {
			p.link.opts.Logger.Warn("cannot pull from a partition yet", "fleet", p.fleet, "partition", p.partition, "error", err)
		}
		return
	}
	p.ask()
}

// ask keeps at least half a batch standing. Needs p.mu.
func (p *puller) ask() {
	if p.sub == nil || p.paused || p.missing || p.wanted > p.batch/2 {
		return
	}
	n := p.batch - p.wanted
	body, err := json.Marshal(struct {
		Batch   int           `json:"batch"`
		Expires time.Duration `json:"expires"`
	}{n, pullExpiry})
	if err == nil {
		err = p.link.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.stream+"."+p.link.names.consumer(p.fleet, p.partition), p.inbox, body)
	}
	if err != nil {
		return // mended at a later heartbeat
	}
	p.wanted += n
	p.asked, p.epoch = time.Now(), p.link.epoch()
}

// receive takes a message, or the server's word on a request.
func (p *puller) receive(m *nats.Msg) {
	code := status(m)
	p.mu.Lock()
	switch code {
	case "":
		p.wanted = max(0, p.wanted-1)
		// The next event is asked for when this one has found room.
		p.paused = p.events
	case "100":
		p.mu.Unlock()
		return
	case "503":
		p.wanted, p.missing = 0, true
	default: // a request has ended: expired, the consumer is gone, …
		if left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages")); err == nil {
			p.wanted = max(0, p.wanted-left)
		} else {
			p.wanted = 0
		}
		p.missing = p.missing || code == "409"
	}
	p.ask()
	p.mu.Unlock()
	if code == "" {
		p.take(m)
	}
}

// resume asks for the next event.
func (p *puller) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	p.ask()
}

// mend makes a missing consumer again, and asks again when a request got lost.
func (p *puller) mend(ctx context.Context) {
	p.mu.Lock()
	if p.epoch != p.link.epoch() {
		// Another server, or the same started again: it knows no request of
		// ours, and perhaps not the consumer.
		p.wanted, p.missing = 0, true
	}
	missing := p.missing || p.sub == nil
	epoch := p.link.epoch()
	p.mu.Unlock()
	if missing {
		if err := p.link.consumer(ctx, p.fleet, p.partition, p.events); err != nil {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missing, p.epoch = false, epoch
	if p.sub == nil {
		p.sub, _ = subscribe(p.link.nc, p.inbox, p.receive)
	}
	if p.wanted > 0 && time.Since(p.asked) > pullExpiry+5*time.Second {
		p.wanted = 0
	}
	p.ask()
}

// close takes away the interest, with which the server forgets the standing
// requests, and waits until what was delivered is taken.
func (p *puller) close() {
	p.mu.Lock()
	sub := p.sub
	p.sub = nil
	p.mu.Unlock()
	if sub != nil {
		sub.drain()
	}
}
