package natsstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"thermocline"
	"thermocline/store"
)

const (
	logStream  = "THERMOCLINE_LOGS"
	logSubject = "thermocline.logs."

	// logBatch bounds the text of one message, logText that of one line, in
	// bytes; JSON may make six of one.
	logBatch = 512 << 10
	logText  = 256 << 10
)

// logRecord is the layout of one message.
type logRecord struct {
	Version int                   `json:"v"`
	Lines   []thermocline.LogLine `json:"lines"`
}

func (s *Store) openLogs(ctx context.Context) (err error) {
	s.logs, err = s.ensureStream(ctx, jetstream.StreamConfig{
		Name:              logStream,
		Subjects:          []string{logSubject + ">"},
		MaxBytes:          s.opts.LogMaxBytes,
		MaxAge:            s.opts.LogMaxAge,
		MaxMsgsPerSubject: s.opts.LogMaxPerFunction, // one function cannot crowd out all others
		Discard:           jetstream.DiscardOld,
		AllowDirect:       true,
		PersistMode:       s.async(),
	})
	if err != nil {
		return fmt.Errorf("%w (the logs' limit of %d bytes has to fit JetStream's storage)", err, s.opts.LogMaxBytes)
	}
	return nil
}

func logSubjectOf(account, function string) string {
	return logSubject + join(account, function)
}

// Append implements store.Logs. Lines of one function that follow one another
// are one message.
func (s *Store) Append(ctx context.Context, lines []thermocline.LogLine) error {
	if s.closing.Err() != nil {
		return errClosed()
	}
	if len(lines) == 0 {
		return nil
	}
	if err := s.opts.Writable(); err != nil {
		return err
	}
	for len(lines) > 0 {
		n := batchLength(lines)
		if err := s.appendBatch(ctx, lines[:n]); err != nil {
			return wrap(err)
		}
		lines = lines[n:]
	}
	return nil
}

// batchLength is how many of the first lines go into one message.
func batchLength(lines []thermocline.LogLine) int {
	size := 0
	for i := range lines {
		if lines[i].Account != lines[0].Account || lines[i].Function != lines[0].Function {
			return i
		}
		size += len(lines[i].Text) + 256
		if i > 0 && size > logBatch {
			return i
		}
	}
	return len(lines)
}

func (s *Store) appendBatch(ctx context.Context, lines []thermocline.LogLine) error {
	m, err := logMessage(lines)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if _, err := s.js.PublishMsg(ctx, m); err != nil {
		return fmt.Errorf("store log lines: %w", err)
	}
	return nil
}

// logMessage encodes lines of one function.
func logMessage(lines []thermocline.LogLine) (*nats.Msg, error) {
	if id := lines[0]; len(id.Account) > maxToken || len(id.Function) > maxToken {
		return nil, thermocline.Errorf(thermocline.KindInvalidParameter, "The name of the function of a log line is too long.")
	}
	r := logRecord{Version: recordVersion, Lines: make([]thermocline.LogLine, len(lines))}
	for i, l := range lines {
		l.Time = l.Time.Round(0).UTC()
		l.Text = cut(l.Text, logText)
		r.Lines[i] = l
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode log lines: %w", err)
	}
	return &nats.Msg{Subject: logSubjectOf(lines[0].Account, lines[0].Function), Data: data}, nil
}

// cut shortens a text to at most n bytes, not within a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// DeleteLogs implements store.Logs.
func (s *Store) DeleteLogs(ctx context.Context, account, function string) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if len(account) > maxToken || len(function) > maxToken {
		return nil
	}
	subject := logSubjectOf(account, function)
	if function == "" {
		subject = logSubject + join(account) + ".*"
	}
	return wrap(s.logs.Purge(ctx, jetstream.WithPurgeSubject(subject)))
}

var _ store.Logs = (*Store)(nil)

// logSlack is by how much clocks of nodes may differ where lines are looked up
// by their time.
const logSlack = time.Minute

// settleTime is well beyond the time for which the server gathers the writes of
// a stream with PersistMode async before it hands them to the kernel: up to 15
// ms, in steps of 1, 2, 4 and 8 (nats-server, filestore.go, flushLoop). It has
// no request that flushes, and syncing every line would cost each invocation a
// write to the disk.
const settleTime = 60 * time.Millisecond

// Settle implements store.Logs.
func (s *Store) Settle(ctx context.Context) error {
	t := time.NewTimer(settleTime)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing.Done():
		return errClosed()
	}
}
