package natsdispatch

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/dispatch"
)

var _ dispatch.Client = (*Client)(nil)

// Client is the frontend's side over NATS.
type Client struct {
	link    *link
	mux     *mux
	roster  *roster
	room    admission
	ready   chan struct{} // closed when Run has subscribed and knows the managers
	stopped chan struct{} // closed when Run ends
}

// NewClient makes the streams and the bucket that are missing. Nothing runs
// before Run.
func NewClient(ctx context.Context, nc *nats.Conn, o Options) (*Client, error) {
	l, err := newLink(ctx, nc, o)
	if err != nil {
		return nil, err
	}
	c := &Client{
		link: l, roster: newRoster(l),
		room:  admission{maxBytes: l.opts.MaxInFlightBytes, maxCount: int64(l.opts.MaxInFlight)},
		ready: make(chan struct{}), stopped: make(chan struct{}),
	}
	c.mux = newMux(l, c.stray)
	return c, nil
}

// Run subscribes to the replies and follows the managers' announcements until
// ctx ends. What is in flight then fails: KindPossiblyStarted when it had been
// accepted, else KindUnavailable. Run once only.
func (c *Client) Run(ctx context.Context) error {
	defer close(c.stopped)
	if err := c.mux.start(); err != nil {
		return thermocline.WithCause(thermocline.KindUnavailable, err, "cannot subscribe to replies")
	}
	defer c.mux.stop()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		c.roster.run(ctx, func() { close(c.ready) })
	}()
	c.sweepUntil(ctx)
	<-followed
	return nil
}

// Ready is closed when Invoke no longer waits for Run to begin.
func (c *Client) Ready() <-chan struct{} { return c.ready }

// sweepUntil fails the invocations whose manager was lost: shortly after each
// change, and at every heartbeat for those that no change tells of.
func (c *Client) sweepUntil(ctx context.Context) {
	losses := newLosses(c)
	defer losses.wg.Wait()
	tick := time.NewTicker(c.link.opts.Heartbeat)
	defer tick.Stop()
	soon := time.NewTimer(0)
	defer soon.Stop()
	for {
		changed := c.roster.change()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			soon.Reset(lossGrace + 10*time.Millisecond)
		case <-soon.C:
			losses.sweep(ctx, time.Now())
		case <-tick.C:
			losses.sweep(ctx, time.Now())
		}
	}
}

// stray answers what comes too late (an ask, a fetch, a result that waits to be
// fetched), so that the manager need not wait.
func (c *Client) stray(m *nats.Msg) {
	if m.Reply != "" {
		_ = c.link.nc.Publish(m.Reply, bareFrame(frameDeny))
	}
}

// Managers implements dispatch.Client.
func (c *Client) Managers() []thermocline.ManagerInfo { return c.roster.managers() }

// Queued implements dispatch.Client.
func (c *Client) Queued(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	queued := map[string]int{}
	streams := []string{c.link.names.queueStream()}
	for i := range eventStreams {
		streams = append(streams, c.link.names.eventStream(i))
	}
	for _, name := range streams {
		s, err := c.link.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "the queues cannot be read now")
		}
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
		if err != nil {
			return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "the queues cannot be read now")
		}
		for subject, n := range info.State.Subjects {
			// prefix.kind.fleet.partition
			if parts := strings.Split(subject, "."); len(parts) == 4 {
				queued[parts[2]] += int(n)
			}
		}
	}
	return queued, nil
}

// Enqueue implements dispatch.Client.
func (c *Client) Enqueue(ctx context.Context, r dispatch.Route, inv *thermocline.Invocation) error {
	if err := c.check(r, inv); err != nil {
		return err
	}
	if inv.Program != nil {
		return thermocline.Errorf(thermocline.KindInternal, "a program is no event")
	}
	if n := c.link.opts.EventMaxPayload; len(inv.Payload) > n {
		return thermocline.Errorf(thermocline.KindRequestTooLarge, "%d byte payload is too large for the Event invocation type (limit %d bytes)", len(inv.Payload), n)
	}
	if err := c.begun(ctx); err != nil {
		return err
	}
	size := int64(len(inv.Payload))
	if !c.room.take(size) {
		return throttled()
	}
	defer c.room.release(size)
	// The context's error is the caller's business only when it is the
	// caller's context that ended.
	bounded, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	event := request{inv: *inv}
	event.inv.Type, event.inv.Fleet, event.inv.StartBy = thermocline.Event, r.Fleet, time.Time{}
	event.inv.Attempt = max(1, inv.Attempt)
	err := withFrame(len(inv.Payload), func(b []byte) []byte { return appendRequest(b, &event) }, func(b []byte) error {
		return c.mux.store(bounded, c.link.names.event(r.Fleet, r.Partition), inv.RequestID, b)
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, nats.ErrNoResponders) {
		c.restore(ctx)
	}
	return err
}

// restore makes the streams again when a server has forgotten them.
func (c *Client) restore(ctx context.Context) {
	if err := c.link.setup(ctx); err != nil && ctx.Err() == nil {
		c.link.opts.Logger.Warn("cannot set up streams", "error", err)
	}
}

// begun waits for Run to be ready.
func (c *Client) begun(ctx context.Context) error {
	select {
	case <-c.ready:
		select {
		case <-c.stopped:
			return stoppedError()
		default:
			return nil
		}
	case <-c.stopped:
		return stoppedError()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check refuses what cannot be carried.
func (c *Client) check(r dispatch.Route, inv *thermocline.Invocation) error {
	switch {
	case !token.MatchString(inv.RequestID):
		return thermocline.Errorf(thermocline.KindInvalidParameter, "malformed request id")
	case !token.MatchString(r.Fleet):
		return thermocline.Errorf(thermocline.KindInternal, "malformed fleet name %q", r.Fleet)
	case r.Partition < 0 || r.Partition >= dispatch.Partitions:
		return thermocline.Errorf(thermocline.KindInternal, "partition %d is out of range", r.Partition)
	case len(inv.ClientContext)+len(inv.ARN)+len(inv.TraceID)+len(inv.Function.Name)+len(inv.Function.Version)+len(inv.Function.Account) > maxHeader/2:
		return thermocline.Errorf(thermocline.KindInvalidParameter, "client context, trace id and name are too long")
	case inv.Program != nil && len(inv.Payload)+len(inv.Program.Code) > thermocline.MaxProgram:
		return thermocline.Errorf(thermocline.KindRequestTooLarge, "The code, %d bytes as a zip, and the payload of %d bytes are more than %d bytes together", len(inv.Program.Code), len(inv.Payload), thermocline.MaxProgram)
	case len(inv.Payload) > thermocline.MaxPayload:
		return thermocline.Errorf(thermocline.KindRequestTooLarge, "%d byte payload is too large for the RequestResponse invocation type (limit %d bytes)", len(inv.Payload), thermocline.MaxPayload)
	}
	return nil
}

func throttled() *thermocline.Error {
	return &thermocline.Error{Kind: thermocline.KindThrottled, Reason: thermocline.ReasonConcurrent, Message: "Rate Exceeded."}
}

func possiblyStarted(message string) *thermocline.Error {
	return thermocline.Errorf(thermocline.KindPossiblyStarted, "%s", message)
}

func stoppedError() *thermocline.Error {
	return thermocline.Errorf(thermocline.KindUnavailable, "the server is stopping")
}
