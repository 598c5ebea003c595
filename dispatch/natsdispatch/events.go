package natsdispatch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"thermocline"
	"thermocline/dispatch"
)

// events runs the events of one manager.
//
// Each partition has at most one event waiting here for room, and asks for the
// next only when that one runs. Room is what the manager has left; a partition
// (and so a function that floods it) gets at most half of the slots.
type events struct {
	v *service

	mu       sync.Mutex
	all      map[eventKey]*event // waiting and running
	waiting  []*event            // in order of arrival
	running  int
	starting int // running, but Handle has not said yet whether there is room
	stopped  bool
}

type eventKey struct {
	stream string
	seq    uint64
}

type event struct {
	key        eventKey
	partition  *partition
	subject    string // where it is stored
	ack        string // subject of the latest delivery's acknowledgement
	deliveries uint64
	req        *request
	running    bool
}

func newEvents(v *service) *events { return &events{v: v, all: map[eventKey]*event{}} }

// deliver takes an event from a partition.
func (s *events) deliver(p *partition, m *nats.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		p.events.resume()
		return
	}
	q, err := decodeRequest(m.Data)
	if err != nil {
		s.v.link.opts.Logger.Error("malformed event thrown away", "fleet", s.v.fleet, "stream", meta.Stream, "sequence", meta.Sequence.Stream, "bytes", len(m.Data))
		_ = s.v.link.nc.Publish(m.Reply, termWord)
		p.events.resume()
		return
	}
	if wait := q.notBefore.Sub(s.v.link.opts.Now()); !q.notBefore.IsZero() && wait > 0 {
		s.nak(m.Reply, wait)
		p.events.resume()
		return
	}
	e := &event{
		key: eventKey{meta.Stream, meta.Sequence.Stream}, partition: p,
		subject: m.Subject, ack: m.Reply, deliveries: meta.NumDelivered, req: q,
	}
	if !s.add(e) {
		p.events.resume()
		return
	}
	s.schedule()
}

// add notes an event. False when it is here already (its acknowledgement wait
// had run out; it is told now that work goes on), or when all is stopping.
func (s *events) add(e *event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.all[e.key]; old != nil {
		old.ack = e.ack
		return false
	}
	if s.stopped {
		s.nak(e.ack, 0)
		return false
	}
	s.all[e.key] = e
	s.waiting = append(s.waiting, e)
	return true
}

// schedule starts waiting events while there is room.
func (s *events) schedule() {
	info := s.v.h.Info()
	slots := min(max(info.Slots, 1), s.v.link.opts.MaxEvents)
	var started []*event
	s.mu.Lock()
	for !s.stopped {
		free := min(info.Slots-info.Outstanding-s.starting-len(started), slots-s.running)
		// One may always try: a manager that has no room now may make some.
		if free <= 0 && s.running > 0 {
			break
		}
		e := s.pick(max(1, slots/2))
		if e == nil {
			break
		}
		e.running = true
		e.partition.running++
		s.running++
		started = append(started, e)
	}
	s.starting += len(started)
	s.mu.Unlock()
	for _, e := range started {
		s.v.handlers.Go(func() { s.run(e) })
		e.partition.events.resume()
	}
}

// pick takes the waiting event of the partition that runs the fewest, the
// earliest of them. Needs s.mu.
func (s *events) pick(perPartition int) *event {
	best := -1
	for i, e := range s.waiting {
		if n := e.partition.running; n < perPartition && (best < 0 || n < s.waiting[best].partition.running) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	e := s.waiting[best]
	s.waiting = append(s.waiting[:best], s.waiting[best+1:]...)
	return e
}

// run runs one event and settles it.
func (s *events) run(e *event) {
	var once sync.Once
	decided := func() {
		once.Do(func() {
			s.mu.Lock()
			s.starting--
			s.mu.Unlock()
		})
	}
	inv := e.req.inv
	res, err := s.v.h.Handle(s.v.handling, &inv, func() error {
		decided()
		return s.v.handling.Err()
	})
	decided()
	s.settle(e, res, err)
	s.forget(e)
	s.mu.Lock()
	s.running--
	e.partition.running--
	s.mu.Unlock()
	s.schedule()
}

// settle acknowledges the event, stores its next attempt, or gives it back.
func (s *events) settle(e *event, res *thermocline.Result, err error) {
	o := s.v.link.opts
	if ended := s.v.handling.Err(); err != nil && ended != nil {
		err = ended
	}
	// The server's count of deliveries only stretches the back-off; the
	// attempts are in the event's own record.
	verdict, delay := o.Retry.Decide(e.req.inv.Attempt, int(e.deliveries)-1, res, err)
	log := o.Logger.With("request_id", e.req.inv.RequestID, "function", e.req.inv.Function.String(), "manager", s.v.id)
	switch verdict {
	case dispatch.EventBack:
		s.nak(s.forget(e), delay)
		return
	case dispatch.EventAgain:
		next := request{inv: e.req.inv, notBefore: o.Now().Add(delay)}
		next.inv.Attempt++
		if err := s.store(e.subject, &next); err != nil {
			// The queue is full, say: the event comes again as it is, which is
			// an attempt too many rather than one too few.
			log.Warn("cannot store the next attempt of an event", "error", err)
			s.nak(s.forget(e), delay)
			return
		}
	case dispatch.EventGivenUp:
		log.Warn("event given up after its last attempt", "attempt", e.req.inv.Attempt, "error", err)
	}
	for range 3 {
		if err = s.v.confirm(s.ackOf(e), ackWord); err == nil {
			return
		}
		if errors.Is(err, nats.ErrNoResponders) && s.remove(e.key) == nil {
			return // the consumer was lost with its server, the stream was not
		}
		s.v.wait(100 * time.Millisecond)
	}
	log.Warn("cannot acknowledge an event; it may run again", "error", err)
}

func (s *events) ackOf(e *event) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.ack
}

// forget ends the progress reports of an event and returns the subject of its
// acknowledgement. A report after a delayed give-back would undo the delay.
func (s *events) forget(e *event) (ack string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[e.key] == e {
		delete(s.all, e.key)
	}
	return e.ack
}

func (s *events) store(subject string, q *request) error {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	return withFrame(len(q.inv.Payload), func(b []byte) []byte { return appendRequest(b, q) }, func(b []byte) error {
		return s.v.mux.store(ctx, subject, q.inv.RequestID+"/"+strconv.Itoa(q.inv.Attempt), b)
	})
}

// remove takes an event out of its stream without its consumer.
func (s *events) remove(k eventKey) error {
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	stream, err := s.v.link.js.Stream(ctx, k.stream)
	if err != nil {
		return err
	}
	return stream.DeleteMsg(ctx, k.seq)
}

// nak gives an event back, to be delivered again after d.
func (s *events) nak(ack string, d time.Duration) {
	word := []byte("-NAK")
	if d > 0 {
		word = fmt.Appendf(word, ` {"delay": %d}`, int64(d))
	}
	_ = s.v.link.nc.Publish(ack, word)
}

// keepProgress tells the server, well within each acknowledgement wait, that
// what waits or runs here is alive.
func (s *events) keepProgress(ctx context.Context) {
	tick := time.NewTicker(s.v.link.opts.EventAckWait / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		for _, e := range s.all {
			_ = s.v.link.nc.Publish(e.ack, progressWord)
		}
		s.mu.Unlock()
	}
}

// giveBack returns the events of a partition that wait for room.
func (s *events) giveBack(p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := s.waiting[:0]
	for _, e := range s.waiting {
		if e.partition != p {
			keep = append(keep, e)
			continue
		}
		delete(s.all, e.key)
		s.nak(e.ack, 0)
	}
	clear(s.waiting[len(keep):])
	s.waiting = keep
}

// stop starts no more events and returns what waits.
func (s *events) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, e := range s.waiting {
		delete(s.all, e.key)
		s.nak(e.ack, 0)
	}
	s.waiting = nil
}
