package natsstore

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
)

// errConflict says that somebody else changed an entry first.
var errConflict = errors.New("the entry was changed meanwhile")

// Codes of JetStream's API for a store without room.
const (
	codeAccountResources   = 10002
	codeInsufficient       = 10023
	codeStorageResources   = 10047
	codeStreamStoreFailed  = 10077
	codeTempStorageFailure = 10072
)

// wrap makes err an error of the platform. An error that is one already stays
// as it is.
func wrap(err error) error {
	var own *thermocline.Error
	var api *jetstream.APIError
	switch {
	case err == nil, errors.As(err, &own):
		return err
	case errors.As(err, &api):
		switch api.ErrorCode {
		case codeAccountResources, codeInsufficient, codeStorageResources, codeStreamStoreFailed, codeTempStorageFailure:
			return thermocline.WithCause(thermocline.KindUnavailable, err, "The store has no room. Free some space or raise its limits, then try again.")
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting),
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected),
		errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrNoHeartbeat):
		return unavailable(err)
	}
	return thermocline.WithCause(thermocline.KindInternal, err, "The store failed.")
}

func unavailable(cause error) error {
	return thermocline.WithCause(thermocline.KindUnavailable, cause, "The store does not answer. Try again later.")
}

func errClosed() error {
	return thermocline.Errorf(thermocline.KindUnavailable, "The store is closed.")
}
