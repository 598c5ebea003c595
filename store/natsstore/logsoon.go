package natsstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
)

const (
	// maxUnconfirmed is how many messages of log lines may be on their way;
	// who has more waits for each.
	maxUnconfirmed = 256
	// settleLogs is how long Close waits for those that are on their way.
	settleLogs = 2 * time.Second
)

// openSoon makes the publisher of AppendSoon.
func (s *Store) openSoon() (err error) {
	s.soon, err = jetstream.New(s.nc,
		jetstream.WithPublishAsyncMaxPending(2*maxUnconfirmed), // we keep to half of it
		jetstream.WithPublishAsyncTimeout(opTimeout),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			s.log.Warn("log lines were not stored", "error", err)
		}))
	return err
}

// AppendSoon is Append without the wait: it returns when the lines are on their
// way to the stream, ahead of all that is sent on the connection later. That
// they could not be stored after all is logged. Lines of one caller keep their
// order.
func (s *Store) AppendSoon(ctx context.Context, lines []thermocline.LogLine) error {
	if s.closing.Err() != nil {
		return errClosed()
	}
	if s.soon.PublishAsyncPending() >= maxUnconfirmed {
		return s.Append(ctx, lines)
	}
	if err := s.opts.Writable(); err != nil {
		return err
	}
	for len(lines) > 0 {
		n := batchLength(lines)
		m, err := logMessage(lines[:n])
		if err != nil {
			return wrap(err)
		}
		if _, err := s.soon.PublishMsgAsync(m); err != nil {
			if errors.Is(err, jetstream.ErrTooManyStalledMsgs) {
				return s.Append(ctx, lines)
			}
			return wrap(err)
		}
		lines = lines[n:]
	}
	return nil
}

// closeSoon waits for what is on its way.
func (s *Store) closeSoon() {
	t := time.NewTimer(settleLogs)
	defer t.Stop()
	select {
	case <-s.soon.PublishAsyncComplete():
	case <-t.C:
		s.log.Warn("log lines were not confirmed in time", "messages", s.soon.PublishAsyncPending())
	}
	s.soon.CleanupPublisher()
}
