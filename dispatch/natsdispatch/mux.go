package natsdispatch

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"thermocline"
)

// receiver gets the messages that come for one token. It must not block.
type receiver interface{ receive(m *nats.Msg) }

// mux hands the replies that come in on one wildcard subscription to those who
// wait for them.
type mux struct {
	nc     *nats.Conn
	prefix string // of the reply subjects, with the last dot
	stray  func(*nats.Msg)
	sub    *nats.Subscription
	closed chan struct{} // the subscription's goroutine has ended
	next   atomic.Uint64
	shards [16]shard
}

type shard struct {
	mu    sync.Mutex
	calls map[uint64]receiver
}

// newMux returns a mux that is not subscribed yet. stray gets what nobody
// waits for (any more).
func newMux(l *link, stray func(*nats.Msg)) *mux {
	m := &mux{nc: l.nc, prefix: l.names.reply(nuid.Next()), stray: stray, closed: make(chan struct{})}
	for i := range m.shards {
		m.shards[i].calls = map[uint64]receiver{}
	}
	return m
}

func (m *mux) start() error {
	sub, err := m.nc.Subscribe(m.prefix+"*", m.deliver)
	if err != nil {
		return err
	}
	m.sub = sub
	sub.SetClosedHandler(func(string) { close(m.closed) })
	return unlimited(sub)
}

// stop ends the subscription and waits for its goroutine.
func (m *mux) stop() {
	_ = m.sub.Unsubscribe()
	<-m.closed
}

// open returns a new reply subject, whose messages r gets until close(token).
func (m *mux) open(r receiver) (token uint64, subject string) {
	token = m.next.Add(1)
	s := &m.shards[token%uint64(len(m.shards))]
	s.mu.Lock()
	s.calls[token] = r
	s.mu.Unlock()
	b := make([]byte, 0, len(m.prefix)+13)
	return token, string(strconv.AppendUint(append(b, m.prefix...), token, 36))
}

func (m *mux) close(token uint64) {
	s := &m.shards[token%uint64(len(m.shards))]
	s.mu.Lock()
	delete(s.calls, token)
	s.mu.Unlock()
}

func (m *mux) deliver(msg *nats.Msg) {
	token, err := strconv.ParseUint(msg.Subject[len(m.prefix):], 36, 64)
	if err != nil {
		return
	}
	s := &m.shards[token%uint64(len(m.shards))]
	s.mu.Lock()
	r := s.calls[token]
	s.mu.Unlock()
	if r != nil {
		r.receive(msg)
	} else if m.stray != nil {
		m.stray(msg)
	}
}

// each calls f for every receiver that waits.
func (m *mux) each(f func(receiver)) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		waiting := make([]receiver, 0, len(s.calls))
		for _, r := range s.calls {
			waiting = append(waiting, r)
		}
		s.mu.Unlock()
		for _, r := range waiting {
			f(r)
		}
	}
}

// unheard returns a reply subject that nobody waits on: JetStream wants one.
func (m *mux) unheard() (subject string) { return m.prefix + "0" }

// single is a receiver of one message.
type single chan *nats.Msg

func (s single) receive(m *nats.Msg) {
	select {
	case s <- m:
	default:
	}
}

// request publishes and waits for one reply. A nobody-there reply is
// nats.ErrNoResponders.
func (m *mux) request(ctx context.Context, subject string, header nats.Header, data []byte) (*nats.Msg, error) {
	s := make(single, 1)
	t, reply := m.open(s)
	defer m.close(t)
	msg := &nats.Msg{Subject: subject, Reply: reply, Header: header, Data: data}
	if err := m.nc.PublishMsg(msg); err != nil {
		return nil, err
	}
	select {
	case got := <-s:
		if nobodyThere(got) {
			return nil, nats.ErrNoResponders
		}
		return got, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// store publishes onto a stream and returns when the stream has it.
func (m *mux) store(ctx context.Context, subject, id string, data []byte) error {
	got, err := m.request(ctx, subject, nats.Header{nats.MsgIdHdr: {id}}, data)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return thermocline.WithCause(thermocline.KindUnavailable, err, "the event could not be stored; try again")
	}
	_, err = storedAt(got.Data)
	return err
}

// storedAt reads a stream's acknowledgement of a publication: its sequence, or
// why it was not stored.
func storedAt(data []byte) (seq uint64, err error) {
	var ack struct {
		Stream string `json:"stream"`
		Seq    uint64 `json:"seq"`
		Error  *struct {
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	err = json.Unmarshal(data, &ack)
	switch {
	case err != nil:
		return 0, thermocline.WithCause(thermocline.KindUnavailable, err, "the request could not be stored; try again")
	case ack.Error != nil && isFull(ack.Error.Description):
		return 0, &thermocline.Error{
			Kind: thermocline.KindThrottled, Reason: thermocline.ReasonConcurrent,
			Message: "Rate Exceeded.", Cause: errors.New(ack.Error.Description),
		}
	case ack.Error != nil:
		return 0, thermocline.WithCause(thermocline.KindUnavailable, errors.New(ack.Error.Description), "the request could not be stored; try again")
	case ack.Stream == "":
		return 0, thermocline.Errorf(thermocline.KindUnavailable, "the request could not be stored; try again")
	}
	return ack.Seq, nil
}

// isFull tells a stream that refuses because of its bounds from one that
// fails. JetStream has one code for both; the description tells.
func isFull(description string) bool {
	switch description {
	case "maximum messages exceeded", "maximum bytes exceeded", "maximum messages per subject exceeded":
		return true
	}
	return false
}

// status returns the code of a message that the server made itself, "" for
// any other.
func status(m *nats.Msg) string {
	if len(m.Data) > 0 || len(m.Header) == 0 {
		return ""
	}
	return m.Header.Get("Status")
}

func nobodyThere(m *nats.Msg) bool { return status(m) == "503" }

// unlimited lifts a subscription's own bound: beyond it messages are dropped
// in silence. What is in flight is bounded by admission instead.
func unlimited(sub *nats.Subscription) error { return sub.SetPendingLimits(-1, -1) }

// buffers are for frames that are copied by Publish and then free again.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const maxPooled = 64 << 10

// withFrame calls f with the frame that build appends; size is a hint.
func withFrame(size int, build func([]byte) []byte, f func([]byte) error) error {
	if size > maxPooled {
		return f(build(make([]byte, 0, size+2<<10)))
	}
	p := buffers.Get().(*[]byte)
	b := build((*p)[:0])
	err := f(b)
	if cap(b) <= maxPooled {
		*p = b
		buffers.Put(p)
	}
	return err
}
