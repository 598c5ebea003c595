package natsdispatch

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Large payloads do not travel with their messages: whoever receives one
// fetches it, a few at a time. Otherwise a burst of them would exceed what a
// NATS server holds for one connection (64 MB unless configured), and the
// server would cut the connection, with everything on it: measured, 64
// requests of 6 MB to one manager do. It also keeps large payloads out of the
// memory of the queue, and away from managers that refuse.
const (
	// inlineLimit is the largest payload that travels with its message.
	inlineLimit = 64 << 10
	// bulkAtOnce is how many large payloads one link fetches at the same time.
	bulkAtOnce = 2
	// bulkTimeout bounds one fetch, once it is its turn.
	bulkTimeout = 20 * time.Second
	// parkTimeout is how long a manager keeps a large result for its client.
	parkTimeout = time.Minute
)

// bulkHeader marks a message that is nothing but a payload.
const bulkHeader = "Thermocline-Payload"

// fetch gets the n bytes that are kept for us behind subject.
func (l *link) fetch(ctx context.Context, m *mux, subject string, n int) ([]byte, error) {
	select {
	case l.bulk <- struct{}{}:
		defer func() { <-l.bulk }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	got, err := m.request(ctx, subject, nil, bareFrame(frameFetch))
	if err != nil {
		return nil, err
	}
	if got.Header.Get(bulkHeader) == "" || len(got.Data) != n {
		return nil, errors.New("the payload is no longer kept")
	}
	return got.Data, nil
}

// deliver sends the payload that somebody has asked for.
func (l *link) deliver(subject string, payload []byte) error {
	return l.nc.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{bulkHeader: {"1"}}, Data: payload})
}

// isFetch tells a fetch from a denial.
func isFetch(m *nats.Msg) bool {
	kind, _, _, err := openFrame(m.Data)
	return err == nil && kind == frameFetch
}

// bareFrame is a frame with neither header nor payload.
func bareFrame(k frameKind) []byte { return []byte{frameMagic, frameVersion, byte(k), 0} }
