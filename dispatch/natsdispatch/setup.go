package natsdispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
)

// link is what both sides need of NATS.
type link struct {
	opts  Options
	names names
	nc    *nats.Conn
	js    jetstream.JetStream
	kv    jetstream.KeyValue
	bulk  chan struct{} // a place for each fetch of a large payload
}

// newLink checks the server's limits and makes the streams and the bucket.
func newLink(ctx context.Context, nc *nats.Conn, o Options) (*link, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if need := int64(thermocline.MaxPayload + maxHeader); nc.MaxPayload() < need {
		return nil, fmt.Errorf("natsdispatch: the server's max_payload is %d bytes; set it to 8MB", nc.MaxPayload())
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("natsdispatch: %w", err)
	}
	l := &link{opts: o, names: names{o.Prefix}, nc: nc, js: js, bulk: make(chan struct{}, bulkAtOnce)}
	if err := l.setup(ctx); err != nil {
		return nil, fmt.Errorf("natsdispatch: %w", err)
	}
	return l, nil
}

// epoch counts the connection's reconnections: what a server did for us before
// one (watches, standing pulls) may be forgotten.
func (l *link) epoch() uint64 { return l.nc.Stats().Reconnects }

// setup makes what is missing. Idempotent; called again when a server that
// kept its streams in memory has forgotten them.
func (l *link) setup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*apiTimeout)
	defer cancel()
	o := l.opts
	// Requests wait here in memory: a request does not outlive the caller that
	// waits for it, so there is nothing to recover.
	err := l.stream(ctx, jetstream.StreamConfig{
		Name:      l.names.queueStream(),
		Subjects:  []string{o.Prefix + ".queue.>"},
		Retention: jetstream.WorkQueuePolicy,
		Storage:   jetstream.MemoryStorage,
		Discard:   jetstream.DiscardNew,
		MaxBytes:  o.QueueMaxBytes,
		MaxMsgs:   o.QueueMaxMessages,
		MaxAge:    queueMaxAge,
		Replicas:  o.Replicas,
	})
	if err != nil {
		return fmt.Errorf("stream of requests: %w", err)
	}
	for i := range eventStreams {
		err := l.stream(ctx, jetstream.StreamConfig{
			Name:                 l.names.eventStream(i),
			Subjects:             []string{fmt.Sprintf("%s.event%d.>", o.Prefix, i)},
			Retention:            jetstream.WorkQueuePolicy,
			Storage:              jetstream.FileStorage,
			Discard:              jetstream.DiscardNew,
			DiscardNewPerSubject: true,
			MaxBytes:             o.EventMaxBytes,
			MaxMsgs:              o.EventMaxMessages,
			MaxMsgsPerSubject:    max(1, o.EventMaxMessages/4),
			Duplicates:           2 * time.Minute,
			Replicas:             o.Replicas,
		})
		if err != nil {
			return fmt.Errorf("stream of events: %w", err)
		}
	}
	kv, err := l.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:         l.names.bucket(),
		Storage:        jetstream.MemoryStorage,
		History:        1,
		LimitMarkerTTL: time.Minute,
		Replicas:       o.Replicas,
	})
	if err != nil {
		return fmt.Errorf("bucket of managers: %w", err)
	}
	if l.kv == nil { // in the constructor: the handle outlives the bucket
		l.kv = kv
	}
	return nil
}

// stream makes a stream, or changes it when it is there and different. Changing
// it first, as CreateOrUpdateStream does, costs two synced writes each time.
func (l *link) stream(ctx context.Context, c jetstream.StreamConfig) error {
	_, err := l.js.CreateStream(ctx, c)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		_, err = l.js.UpdateStream(ctx, c)
	}
	return err
}

// consumer makes the pull consumer of one partition.
//
// There is one consumer per fleet and partition, made by whoever leases the
// partition and kept in the server's memory, also for events: what such a
// consumer forgets in a restart is only which events were under way, and those
// must be delivered again anyway. Measured (nats-server 2.15 in process, two
// cores, a sync per write): 0.2 ms to make one in memory, 1.6 ms to make one on
// disk; the 128 of a fleet with their standing pulls take 30 ms, 50 KB each,
// and 3 ms of processor time a second when idle. A consumer per manager with
// filters that follow its leases would be fewer, but a work-queue stream
// refuses the overlap while a partition changes hands.
func (l *link) consumer(ctx context.Context, fleet string, p int, events bool) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	c := jetstream.ConsumerConfig{
		Durable:       l.names.consumer(fleet, p),
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		MaxAckPending: -1,
		MemoryStorage: true,
		Replicas:      l.opts.Replicas,
	}
	stream := l.names.queueStream()
	if events {
		stream = l.names.eventStream(p)
		c.FilterSubject = l.names.event(fleet, p)
		c.AckWait = l.opts.EventAckWait
		c.MaxDeliver = -1
	} else {
		// A request is delivered once, because the wait for its acknowledgement
		// is as long as its life. MaxDeliver 1 would say so more plainly, but
		// nats-server counts as a delivery what found that its receiver had just
		// unsubscribed: with 1, a request that meets a partition's change of
		// hands is never delivered at all (seen with 2.15 about once in a
		// thousand changes under load). Were one delivered twice, the client
		// would grant one start.
		c.FilterSubject = l.names.queue(fleet, p)
		c.AckWait = queueMaxAge
		c.MaxDeliver = -1
	}
	_, err := l.js.CreateOrUpdateConsumer(ctx, stream, c)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := l.setup(ctx); err != nil {
			return err
		}
		_, err = l.js.CreateOrUpdateConsumer(ctx, stream, c)
	}
	if err != nil {
		return fmt.Errorf("consumer of a partition: %w", err)
	}
	return nil
}
