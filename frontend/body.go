package frontend

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"thermocline"
)

const (
	// maxInvokeBody lets through a little more than the largest payload, so
	// that the answer to a payload that is too large can tell its size.
	maxInvokeBody = thermocline.MaxPayload + 64<<10
	// smallBody is the size up to which a body is not counted in the budget.
	smallBody = 64 << 10
	// maxDrain is how much of a body that is too large is read and thrown
	// away: most clients read the answer only after they have sent everything.
	maxDrain = 128 << 20
)

// budget bounds the bytes of large bodies.
type budget struct {
	mu    sync.Mutex
	used  int64
	limit int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.used -= n
	b.mu.Unlock()
}

// readBody reads the body within the operation's limit. release gives its
// share of the budget back; it is never nil.
func (q *request) readBody(op *operation) (release func(), err error) {
	release = func() {}
	limit, name := int64(maxBody), "requested"
	if op != nil {
		name = op.name
		if op.maxBody > 0 {
			limit = op.maxBody
		}
	}
	length := q.r.ContentLength
	if length == 0 {
		return release, nil
	}
	control := http.NewResponseController(q.w)
	_ = control.SetReadDeadline(time.Now().Add(q.server.opts.Limits.BodyTimeout)) // not every writer can
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()

	if length > limit {
		_, _ = io.CopyN(io.Discard, q.r.Body, maxDrain)
		return release, errTooLarge(name, limit, length)
	}
	if length > smallBody || length < 0 {
		// A create's body is decoded too, which takes 3/4 as much again; an
		// unknown length may be the largest.
		n := limit
		if length > 0 {
			n = length
		}
		n += n * 3 / 4
		if !q.server.bodies.take(n) {
			return release, &thermocline.Error{Kind: thermocline.KindThrottled, Reason: thermocline.ReasonCallerRate, Message: "Rate Exceeded."}
		}
		release = func() { q.server.bodies.give(n) }
	}
	if length > 0 {
		q.body = make([]byte, length)
		_, err = io.ReadFull(q.r.Body, q.body)
	} else {
		q.body, err = io.ReadAll(io.LimitReader(q.r.Body, limit+1))
		if int64(len(q.body)) > limit {
			q.body = nil
			_, _ = io.CopyN(io.Discard, q.r.Body, maxDrain)
			return release, errTooLarge(name, limit, -1)
		}
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return release, thermocline.Errorf(thermocline.KindInvalidContent, "The request body ended before its Content-Length.")
		}
		return release, thermocline.WithCause(thermocline.KindInvalidContent, err, "The request body could not be read.")
	}
	return release, nil
}

func errTooLarge(operation string, limit, length int64) error {
	if operation == "InvokeFunction" {
		if length > 0 {
			return errPayloadTooLarge(length, thermocline.RequestResponse)
		}
		limit = thermocline.MaxPayload
	}
	return thermocline.Errorf(thermocline.KindTooLarge, "Request must be smaller than %d bytes for the %s operation", limit, operation)
}

func errPayloadTooLarge(n int64, kind thermocline.InvocationType) error {
	limit := thermocline.MaxPayload
	if kind == thermocline.Event {
		limit = thermocline.MaxEventPayload
	}
	return thermocline.Errorf(thermocline.KindRequestTooLarge, "%d byte payload is too large for the %s invocation type (limit %d bytes)", n, kind, limit)
}
