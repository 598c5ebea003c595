package natsdispatch

import (
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

// Options are the settings of both sides. The zero value of a field takes the
// default in its comment. Clients and servers of one installation must agree
// on Prefix, Replicas and the bounds of the streams.
type Options struct {
	// Prefix starts the name of every subject, stream and bucket
	// ("thermocline").
	Prefix string
	// Replicas of the streams in a cluster (1).
	Replicas int
	// Logger (discards).
	Logger *slog.Logger
	// Now is the clock that start-by times and retries are held against
	// (time.Now).
	Now func() time.Time

	// Heartbeat is the time between two announcements of a manager (1 s).
	Heartbeat time.Duration
	// Lease is how long an announcement is valid (3 s; at least 1 s, NATS
	// takes no shorter one).
	Lease time.Duration

	// MaxInFlightBytes bounds the bytes that one client, and one manager, has
	// in flight: payloads, results, and ResultReserve for each result that is
	// still to come (512 MB). What exceeds it is throttled by the client and
	// refused by the manager, at once.
	MaxInFlightBytes int64
	// ResultReserve is what is set aside for a result of unknown size (256 KB).
	ResultReserve int64
	// MaxInFlight bounds the synchronous invocations of one client, and of one
	// manager (10,000).
	MaxInFlight int
	// StartWithin is how long one choice may take to accept while there is
	// another to turn to (2 s).
	StartWithin time.Duration
	// StartBy is the start-by time, from now, of invocations that have none
	// (10 s). No start-by time is honoured beyond 50 s.
	StartBy time.Duration
	// MaxRun bounds the time from acceptance to result when the caller's
	// context has no end (16 min).
	MaxRun time.Duration
	// DrainTimeout is how long a stopping server lets handlers run before it
	// ends their context (30 s).
	DrainTimeout time.Duration

	// QueueMaxBytes and QueueMaxMessages bound the stream of waiting
	// synchronous requests of all fleets (512 MB, 65,536).
	QueueMaxBytes    int64
	QueueMaxMessages int64

	// EventMaxBytes bounds each of the 4 streams of events (256 MB),
	// EventMaxMessages its messages (1,000,000) and those of one partition of
	// one fleet to a quarter of it.
	EventMaxBytes    int64
	EventMaxMessages int64
	// EventMaxPayload is the largest payload of an event in bytes
	// (thermocline.MaxEventPayload).
	EventMaxPayload int
	// MaxEvents bounds the events that one manager runs at once, whatever its
	// slots (256).
	MaxEvents int
	// EventAckWait is the time after which an event whose manager is gone is
	// delivered again (5 s).
	EventAckWait time.Duration
	// Retry says when a failed event runs again.
	Retry dispatch.Retry
}

const (
	// queueMaxAge is how long the server keeps a synchronous request that
	// nobody took; longer than any start-by time, so that nothing that may
	// still start is thrown away.
	queueMaxAge = time.Minute
	maxStartBy  = 50 * time.Second
	// apiTimeout bounds every request to JetStream.
	apiTimeout = 5 * time.Second
	// confirmTimeout bounds the manager's wait for the client's grant and for
	// the confirmation of an acknowledgement.
	confirmTimeout = 2 * time.Second
	// lossGrace is the time between a manager's going and the failure of what
	// it had accepted: its last answers may still be on their way.
	lossGrace = 250 * time.Millisecond
	// movedGrace is how long a request still waits for its manager once that
	// one leaves, or the partition moves.
	movedGrace = 200 * time.Millisecond
	// comebackPause is the time between two rounds of tries when nobody was
	// there.
	comebackPause = 250 * time.Millisecond
	// eventStreams is the number of streams that events are spread over.
	eventStreams = 4
)

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// complete returns o with defaults, or an error that names every fault.
func (o Options) complete() (Options, error) {
	if o.Prefix == "" {
		o.Prefix = "thermocline"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	orDefault(&o.Replicas, 1)
	orDefault(&o.Heartbeat, time.Second)
	orDefault(&o.Lease, 3*time.Second)
	orDefault(&o.MaxInFlightBytes, 512<<20)
	orDefault(&o.ResultReserve, 256<<10)
	orDefault(&o.MaxInFlight, 10_000)
	orDefault(&o.StartWithin, 2*time.Second)
	orDefault(&o.StartBy, 10*time.Second)
	orDefault(&o.MaxRun, 16*time.Minute)
	orDefault(&o.DrainTimeout, 30*time.Second)
	orDefault(&o.QueueMaxBytes, 512<<20)
	orDefault(&o.QueueMaxMessages, 1<<16)
	orDefault(&o.EventMaxBytes, 256<<20)
	orDefault(&o.EventMaxMessages, 1_000_000)
	orDefault(&o.EventMaxPayload, thermocline.MaxEventPayload)
	orDefault(&o.MaxEvents, 256)
	orDefault(&o.EventAckWait, 5*time.Second)
	o.Retry = o.Retry.Complete()
	var faults []string
	if !token.MatchString(o.Prefix) {
		faults = append(faults, "Prefix may have letters, digits, - and _ only")
	}
	if o.Lease < time.Second {
		faults = append(faults, "Lease is below 1 s")
	}
	if o.Heartbeat <= 0 || o.Heartbeat > o.Lease/2 {
		faults = append(faults, "Heartbeat is more than half of Lease")
	}
	if o.MaxInFlightBytes < 0 || o.MaxInFlight < 0 || o.ResultReserve < 0 || o.StartWithin < 0 || o.StartBy < 0 || o.EventAckWait < 0 {
		faults = append(faults, "a bound is negative")
	}
	if len(faults) > 0 {
		return o, fmt.Errorf("natsdispatch: options: %q", faults)
	}
	return o, nil
}

// token is what may stand between the dots of a subject here: fleets and
// managers are named so.
var token = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// names builds the names of subjects, streams and buckets.
type names struct{ prefix string }

func (n names) direct(manager string) string { return n.prefix + ".direct." + manager }
func (n names) probe(manager, incarnation string) string {
	return n.prefix + ".probe." + manager + "." + incarnation
}
func (n names) queue(fleet string, p int) string {
	return fmt.Sprintf("%s.queue.%s.%d", n.prefix, fleet, p)
}
func (n names) event(fleet string, p int) string {
	return fmt.Sprintf("%s.event%d.%s.%d", n.prefix, p%eventStreams, fleet, p)
}
func (n names) reply(id string) string { return n.prefix + ".reply." + id + "." }
func (n names) queueStream() string    { return n.prefix + "-queue" }
func (n names) eventStream(p int) string {
	return fmt.Sprintf("%s-events-%d", n.prefix, p%eventStreams)
}
func (n names) bucket() string              { return n.prefix + "-managers" }
func (n names) key(fleet, id string) string { return fleet + "." + id }
func (n names) consumer(fleet string, p int) string {
	return fmt.Sprintf("%s-%d", fleet, p)
}
