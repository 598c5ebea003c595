package natsstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureStream returns the stream of the name, made or with its limits adjusted
// where it has to be. What cannot be changed later (storage, persist mode) stays
// as it was made.
func (s *Store) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Replicas = s.opts.Replicas
	cfg.Storage = jetstream.FileStorage
	st, err := s.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		st, err = s.js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
			st, err = s.js.Stream(ctx, cfg.Name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("natsstore: open the stream %s: %w", cfg.Name, err)
	}
	have := st.CachedInfo().Config
	if have.MaxBytes == cfg.MaxBytes && have.MaxAge == cfg.MaxAge &&
		have.MaxMsgsPerSubject == cfg.MaxMsgsPerSubject && have.Replicas == cfg.Replicas {
		return st, nil
	}
	have.MaxBytes, have.MaxAge = cfg.MaxBytes, cfg.MaxAge
	have.MaxMsgsPerSubject, have.Replicas = cfg.MaxMsgsPerSubject, cfg.Replicas
	if have.Duplicates > have.MaxAge && have.MaxAge > 0 {
		have.Duplicates = have.MaxAge
	}
	st, err = s.js.UpdateStream(ctx, have)
	if err != nil {
		return nil, fmt.Errorf("natsstore: change the limits of the stream %s: %w", cfg.Name, err)
	}
	return st, nil
}
