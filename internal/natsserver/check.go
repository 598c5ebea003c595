package natsserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a server must offer.
const (
	minMajor, minMinor = 2, 12 // streams with a persist mode of their own
	checkTimeout       = 5 * time.Second
)

// Check looks at the server behind a connection: its version, its max_payload
// and its JetStream. The error lists every setting that must change.
func Check(ctx context.Context, nc *nats.Conn) error {
	var faults []error
	if v := nc.ConnectedServerVersion(); !atLeast(v, minMajor, minMinor) {
		faults = append(faults, fmt.Errorf("nats-server %s is too old: install %d.%d or newer", v, minMajor, minMinor))
	}
	if p := nc.MaxPayload(); p < DefaultMaxPayload {
		faults = append(faults, fmt.Errorf("max_payload is %d bytes: set max_payload: 8MB in the server's configuration", p))
	}
	if err := checkJetStream(ctx, nc); err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("the NATS server at %s cannot be used: %w", nc.ConnectedUrlRedacted(), err)
	}
	return nil
}

func checkJetStream(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	_, err = js.AccountInfo(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return errors.New("JetStream is off: add jetstream { store_dir: … } to the server's configuration")
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errors.New("JetStream is off for this account: add jetstream: enabled to the account in the server's configuration")
	}
	return fmt.Errorf("JetStream does not answer: check the jetstream block and the account's permissions for $JS.API.>: %w", err)
}

// atLeast compares the first two numbers of a version such as 2.12.1-beta.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	ma, err1 := strconv.Atoi(parts[0])
	mi, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return ma > major || ma == major && mi >= minor
}
