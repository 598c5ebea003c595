package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/store"
)

// How a reading of logs goes on after the line to the server broke.
const (
	logRetries    = 10
	logRetryPause = 500 * time.Millisecond
)

// Read implements store.Logs.
func (s *Store) Read(ctx context.Context, q store.LogQuery, each func(thermocline.LogLine) error) error {
	if len(q.Account) > maxToken || len(q.Function) > maxToken || q.Limit < 0 {
		return thermocline.Errorf(thermocline.KindInvalidParameter, "Not a query for log lines.")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()

	r := &logReading{store: s, q: q, each: each, subject: logSubjectOf(q.Account, q.Function), backlog: true}
	err := r.run(ctx)
	var user *eachError
	switch {
	case errors.As(err, &user):
		return user.err
	case s.closing.Err() != nil:
		return errClosed()
	case q.Follow && ctx.Err() != nil:
		return nil
	}
	return wrap(err)
}

// eachError is the caller's own.
type eachError struct{ err error }

func (e *eachError) Error() string { return e.err.Error() }

// logReading is one Read.
type logReading struct {
	store   *Store
	q       store.LogQuery
	each    func(thermocline.LogLine) error
	subject string

	backlog bool                  // still reading what was there at the beginning
	tail    []thermocline.LogLine // with a Limit: the last lines of the backlog
	last    uint64                // sequence of the last message read
}

// run reads, and goes on where it was when the line to the server broke.
func (r *logReading) run(ctx context.Context) error {
	for failures := 0; ; {
		before := r.last
		err := r.read(ctx)
		var user *eachError
		if err == nil || ctx.Err() != nil || errors.As(err, &user) {
			return err
		}
		if r.last > before {
			failures = 0
		}
		if failures++; failures > logRetries {
			return err
		}
		if !sleep(ctx, logRetryPause) {
			return ctx.Err()
		}
	}
}

func (r *logReading) read(ctx context.Context) error {
	octx, cancel := context.WithTimeout(ctx, opTimeout)
	cfg, err := r.start(octx)
	if err != nil {
		cancel()
		return err
	}
	rd, err := r.store.openReader(octx, r.store.logs, cfg)
	cancel()
	if err != nil {
		return err
	}
	defer rd.close()
	if rd.pending == 0 {
		if done, err := r.endBacklog(); done || err != nil {
			return err
		}
	}
	for {
		m, meta, err := rd.next(ctx)
		if err != nil {
			return err
		}
		if err := r.take(m.Data()); err != nil {
			return err
		}
		r.last = meta.Sequence.Stream
		if r.backlog && (meta.NumPending == 0 || meta.Sequence.Consumer >= rd.pending) {
			if done, err := r.endBacklog(); done || err != nil {
				return err
			}
		}
	}
}

// start says where to begin reading.
func (r *logReading) start(ctx context.Context) (jetstream.ConsumerConfig, error) {
	cfg := jetstream.ConsumerConfig{FilterSubject: r.subject, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case r.last > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.last+1
	case r.q.Limit > 0:
		seq, err := r.tailStart(ctx)
		if err != nil {
			return cfg, err
		}
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, seq
	case !r.q.Since.IsZero():
		// A message is stored after the lines in it were written.
		t := r.q.Since.Add(-logSlack)
		if limit := r.store.now().Add(-logSlack); t.After(limit) {
			t = limit
		}
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &t
	}
	return cfg, nil
}

// tailStart finds a sequence from which on there are at least Limit messages of
// the function, and not many more; a message has at least one line. The stream
// may hold far more lines than anybody wants to read through.
func (r *logReading) tailStart(ctx context.Context) (uint64, error) {
	info, err := r.store.logs.Info(ctx)
	if err != nil {
		return 0, err
	}
	lo, hi := max(info.State.FirstSeq, 1), info.State.LastSeq+1
	want := uint64(r.q.Limit)
	for hi-lo > want {
		mid := lo + (hi-lo)/2
		n, err := r.pending(ctx, mid)
		if err != nil {
			return 0, err
		}
		if n >= want {
			lo = mid
			if n <= want+want/4 {
				break
			}
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// pending is how many messages of the function there are from a sequence on.
func (r *logReading) pending(ctx context.Context, seq uint64) (uint64, error) {
	c, err := r.store.logs.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: r.subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: seq,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: readerIdle,
	})
	if err != nil {
		return 0, err
	}
	info := c.CachedInfo()
	return info.NumPending, r.store.logs.DeleteConsumer(ctx, info.Name)
}

// take handles one message.
func (r *logReading) take(data []byte) error {
	var rec logRecord
	if err := json.Unmarshal(data, &rec); err != nil || rec.Version != recordVersion {
		r.store.log.Warn("stored log lines cannot be read", "error", fmt.Sprint(err), "layout", rec.Version)
		return nil
	}
	for _, l := range rec.Lines {
		if l.Time.Before(r.q.Since) {
			continue
		}
		if r.backlog && r.q.Limit > 0 {
			r.tail = append(r.tail, l)
			if len(r.tail) >= 2*r.q.Limit {
				r.tail = append(r.tail[:0], r.tail[len(r.tail)-r.q.Limit:]...)
			}
			continue
		}
		if err := r.each(l); err != nil {
			return &eachError{err}
		}
	}
	return nil
}

// endBacklog hands out what was kept; done says that the reading is over.
func (r *logReading) endBacklog() (done bool, err error) {
	r.backlog = false
	tail := r.tail
	r.tail = nil
	if n := len(tail) - r.q.Limit; n > 0 {
		tail = tail[n:]
	}
	for _, l := range tail {
		if err := r.each(l); err != nil {
			return true, &eachError{err}
		}
	}
	return !r.q.Follow, nil
}
