package natsstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
)

// How a reader asks for messages.
const (
	readerHeartbeat = 5 * time.Second // twice without one: the reader is dead
	readerIdle      = time.Minute     // after which the server forgets a consumer that we lost
	readerMessages  = 512
	readerBytes     = 16 << 20
)

var (
	errGap       = errors.New("a message is missing")
	errLinkBroke = errors.New("the connection to the store broke")
)

// reader reads a stream in order over a consumer of its own. It does not heal:
// after any error the owner closes it and opens another one where it left off.
// (jetstream.OrderedConsumer heals by goroutines that nobody can wait for.)
type reader struct {
	stream  jetstream.Stream
	name    string
	it      jetstream.MessagesContext
	last    uint64 // delivered
	pending uint64 // messages that were there at the beginning
	unlink  func() bool
	broke   context.Context
}

func (s *Store) openReader(ctx context.Context, st jetstream.Stream, cfg jetstream.ConsumerConfig) (*reader, error) {
	cfg.AckPolicy = jetstream.AckNonePolicy
	cfg.MemoryStorage = true
	cfg.Replicas = 1
	cfg.InactiveThreshold = readerIdle
	broke := s.link.context() // before the consumer: a break in between is noticed
	c, err := st.CreateConsumer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	info := c.CachedInfo()
	r := &reader{stream: st, name: info.Name, pending: info.NumPending, broke: broke}
	it, err := c.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(readerMessages, readerBytes),
		jetstream.PullHeartbeat(readerHeartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		r.forget()
		return nil, err
	}
	r.it = it
	r.unlink = context.AfterFunc(broke, it.Stop)
	return r, nil
}

// next returns the next message; any error but that of ctx is final.
func (r *reader) next(ctx context.Context) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	m, err := r.it.Next(jetstream.NextContext(ctx))
	if err != nil {
		if r.broke.Err() != nil {
			return nil, nil, errLinkBroke
		}
		return nil, nil, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, nil, err
	}
	if meta.Sequence.Consumer != r.last+1 {
		return nil, nil, errGap
	}
	r.last++
	return m, meta, nil
}

func (r *reader) close() {
	r.unlink()
	r.it.Stop()
	if r.broke.Err() == nil {
		r.forget()
	}
}

// forget removes the consumer. If that fails the server does it by itself later.
func (r *reader) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = r.stream.DeleteConsumer(ctx, r.name)
}

// watchLink notices when the connection breaks: messages that were under way
// are lost then, and nothing else would tell a reader that has no more to come.
func (s *Store) watchLink(ctx context.Context) error {
	changes := s.nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED, nats.CLOSED)
	defer s.nc.RemoveStatusListener(changes)
	for {
		select {
		case <-ctx.Done():
			return nil
		case st, ok := <-changes:
			s.link.cut()
			if !ok || st == nats.CLOSED {
				return thermocline.Errorf(thermocline.KindUnavailable, "The connection to the store was closed.")
			}
		}
	}
}
