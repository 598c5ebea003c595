package natsstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a key-value bucket, laid out as the nats tools know it.
const (
	headerOperation = "KV-Operation"
	operationDelete = "DEL"
)

// markerTTL is how long the mark of a deleted entry stays. Whoever follows the
// bucket sees it at once or reads everything again.
const markerTTL = time.Hour

// bucket is a key-value bucket with compare-and-set. It is used below
// jetstream.KeyValue because a change has to tell its revision, also a
// deletion, so that the memory of this process is never behind its own writes.
type bucket struct {
	js       jetstream.JetStream
	stream   jetstream.Stream
	prefix   string // of the subjects, with the dot
	writable func() error
}

// item is one entry or the mark of its deletion.
type item struct {
	key     string
	value   []byte
	rev     uint64 // its sequence in the stream; 0: never seen
	deleted bool   // also when it was never there
}

func (s *Store) openBucket(ctx context.Context, name string) (*bucket, error) {
	prefix := "$KV." + name + "."
	st, err := s.ensureStream(ctx, jetstream.StreamConfig{
		Name:              "KV_" + name,
		Subjects:          []string{prefix + ">"},
		MaxMsgsPerSubject: 1,
		MaxBytes:          -1,
		Discard:           jetstream.DiscardNew,
		AllowRollup:       true,
		AllowMsgTTL:       true,
		// Reads go to the leader: Fresh means fresh, also in a cluster.
		AllowDirect: false,
	})
	if err != nil {
		return nil, err
	}
	return &bucket{js: s.js, stream: st, prefix: prefix, writable: s.opts.Writable}, nil
}

// get reads an entry from the store. An entry that is not there is no error.
func (b *bucket) get(ctx context.Context, key string) (item, error) {
	m, err := b.stream.GetLastMsgForSubject(ctx, b.prefix+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return item{key: key, deleted: true}, nil
	}
	if err != nil {
		return item{}, fmt.Errorf("read %s: %w", key, err)
	}
	return item{key: key, value: m.Data, rev: m.Sequence, deleted: m.Header.Get(headerOperation) != ""}, nil
}

// put writes an entry if its revision is still expect (0: it was never there)
// and returns the new one, or errConflict.
func (b *bucket) put(ctx context.Context, key string, value []byte, expect uint64) (uint64, error) {
	if err := b.writable(); err != nil {
		return 0, err
	}
	return b.publish(ctx, &nats.Msg{Subject: b.prefix + key, Data: value}, jetstream.WithExpectLastSequencePerSubject(expect))
}

// remove marks an entry as deleted if its revision is still expect. It is done
// on a full disk too: it makes room.
func (b *bucket) remove(ctx context.Context, key string, expect uint64) (uint64, error) {
	m := &nats.Msg{Subject: b.prefix + key, Header: nats.Header{headerOperation: {operationDelete}}}
	return b.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(expect), jetstream.WithMsgTTL(markerTTL))
}

func (b *bucket) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (uint64, error) {
	ack, err := b.js.PublishMsg(ctx, m, opts...)
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return 0, errConflict
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", m.Subject, err)
	}
	return ack.Sequence, nil
}

// keys lists the keys that match a filter such as "a.b.*", deletion marks
// included.
func (b *bucket) keys(ctx context.Context, filter string) ([]string, error) {
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(b.prefix+filter))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", filter, err)
	}
	keys := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(subject, b.prefix))
	}
	return keys, nil
}

// follow calls apply for every entry and deletion in the order of their
// revisions, and again from the beginning whenever the line to the server broke,
// until ctx ends. begin is called before each beginning, synced once all is
// read that was there before: with the last revision of that moment. The first
// time closes first.
func (s *Store) follow(ctx context.Context, b *bucket, apply func(item), begin func(), synced func(floor uint64), first chan struct{}) error {
	pause := followPauseMin
	for {
		complete := false
		err := s.followOnce(ctx, b, apply, begin, func(floor uint64) {
			synced(floor)
			complete = true
			if first != nil {
				close(first)
				first = nil
			}
		})
		if ctx.Err() != nil {
			return nil
		}
		if complete {
			pause = followPauseMin
		}
		s.log.Warn("the store's changes are followed from the beginning again", "error", err)
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, followPauseMax)
	}
}

const (
	followPauseMin = 50 * time.Millisecond
	followPauseMax = 5 * time.Second
)

func (s *Store) followOnce(ctx context.Context, b *bucket, apply func(item), begin func(), synced func(floor uint64)) error {
	octx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	begin()
	info, err := b.stream.Info(octx)
	if err != nil {
		return err
	}
	floor := info.State.LastSeq
	r, err := s.openReader(octx, b.stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
		FilterSubject: b.prefix + ">",
	})
	if err != nil {
		return err
	}
	defer r.close()
	if r.pending == 0 {
		synced(floor)
	}
	initial := r.pending > 0
	for {
		m, meta, err := r.next(ctx)
		if err != nil {
			return err
		}
		apply(item{
			key:     strings.TrimPrefix(m.Subject(), b.prefix),
			value:   m.Data(),
			rev:     meta.Sequence.Stream,
			deleted: m.Headers().Get(headerOperation) != "",
		})
		if initial && (meta.NumPending == 0 || meta.Sequence.Consumer >= r.pending) {
			initial = false
			synced(floor)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
