package natsstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// objectChunk is the size of a message of an object, in bytes. Larger than the
// default of 128 KB: each is a sync.
const objectChunk = 1 << 20

// objects is an object store: chunks, and one entry per object that names them.
// Beyond jetstream.ObjectStore it changes the entry by compare-and-set, so that
// an object which is used again at the moment of its removal stays.
type objects struct {
	store  *Store
	name   string
	stream jetstream.Stream
	obs    jetstream.ObjectStore
}

func (s *Store) openObjects(ctx context.Context, name string, mode jetstream.PersistModeType) (*objects, error) {
	st, err := s.ensureStream(ctx, jetstream.StreamConfig{
		Name:        "OBJ_" + name,
		Subjects:    []string{"$O." + name + ".C.>", "$O." + name + ".M.>"},
		MaxBytes:    -1,
		Discard:     jetstream.DiscardNew,
		AllowRollup: true,
		AllowDirect: true,
		PersistMode: mode,
	})
	if err != nil {
		return nil, err
	}
	obs, err := s.js.ObjectStore(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("natsstore: open the object store %s: %w", name, err)
	}
	return &objects{store: s, name: name, stream: st, obs: obs}, nil
}

// entry is what is known of an object.
type entry struct {
	info     jetstream.ObjectInfo
	modified time.Time
	rev      uint64 // 0: there was never one
}

func (e *entry) there() bool { return e.rev > 0 && !e.info.Deleted }

func (o *objects) subject(name string) string {
	return "$O." + o.name + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// stat returns an object's entry, also when it is not there.
func (o *objects) stat(ctx context.Context, name string) (*entry, error) {
	return o.entry(ctx, o.subject(name))
}

func (o *objects) entry(ctx context.Context, subject string) (*entry, error) {
	m, err := o.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return &entry{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the entry of an object: %w", err)
	}
	e := &entry{modified: m.Time, rev: m.Sequence}
	if err := json.Unmarshal(m.Data, &e.info); err != nil {
		return nil, fmt.Errorf("decode the entry of an object: %w", err)
	}
	return e, nil
}

// put stores an object in the place of old, which may not be there; errConflict
// when somebody else did meanwhile. (jetstream.ObjectStore's Put leaves a
// goroutine behind now and then, and does not compare.)
func (o *objects) put(ctx context.Context, name string, data []byte, old *entry) error {
	if err := o.store.opts.Writable(); err != nil {
		return err
	}
	upload := uuid.NewString()
	e := &entry{rev: old.rev, info: jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: objectChunk}},
		Bucket:     o.name, NUID: upload, Size: uint64(len(data)),
	}}
	digest := sha256.New()
	digest.Write(data)
	e.info.Digest = jetstream.GetObjectDigestValue(digest)
	var err error
	for chunk := range slices.Chunk(data, objectChunk) {
		if _, err = o.store.js.Publish(ctx, o.chunks(upload), chunk); err != nil {
			err = fmt.Errorf("store a part of an object: %w", err)
			break
		}
		e.info.Chunks++
	}
	if err == nil {
		err = o.writeEntry(ctx, e)
	}
	useless := upload
	if err == nil {
		useless = old.info.NUID
	}
	if useless != "" {
		// If this fails too, a sweep does it.
		_ = o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.chunks(useless)))
	}
	return err
}

// touch makes an object young again; errConflict when it changed meanwhile.
func (o *objects) touch(ctx context.Context, e *entry) error {
	if err := o.store.opts.Writable(); err != nil {
		return err
	}
	return o.writeEntry(ctx, e)
}

// remove takes an object away; errConflict when it changed meanwhile.
func (o *objects) remove(ctx context.Context, e *entry) error {
	upload := e.info.NUID
	e.info.Deleted = true
	e.info.Size, e.info.Chunks, e.info.Digest = 0, 0, ""
	if err := o.writeEntry(ctx, e); err != nil {
		return err
	}
	if err := o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.chunks(upload))); err != nil {
		return fmt.Errorf("remove the chunks of an object: %w", err)
	}
	// The mark is not needed any more; if somebody has made the object anew,
	// only what is older than that goes.
	err := o.stream.Purge(ctx, jetstream.WithPurgeSubject(o.subject(e.info.Name)), jetstream.WithPurgeSequence(e.rev+1))
	if err != nil {
		return fmt.Errorf("remove the entry of an object: %w", err)
	}
	return nil
}

// chunks is the subject of the parts of one upload.
func (o *objects) chunks(upload string) string { return "$O." + o.name + ".C." + upload }

// writeEntry replaces an entry, and advances its revision.
func (o *objects) writeEntry(ctx context.Context, e *entry) error {
	data, err := json.Marshal(e.info)
	if err != nil {
		return fmt.Errorf("encode the entry of an object: %w", err)
	}
	m := nats.NewMsg(o.subject(e.info.Name))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = data
	ack, err := o.store.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(e.rev))
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return errConflict
	}
	if err != nil {
		return fmt.Errorf("write the entry of an object: %w", err)
	}
	e.rev = ack.Sequence
	return nil
}

// list returns the entries of all objects.
func (o *objects) list(ctx context.Context) ([]*entry, error) {
	info, err := o.stream.Info(ctx, jetstream.WithSubjectFilter("$O."+o.name+".M.>"))
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	es := make([]*entry, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		e, err := o.entry(ctx, subject)
		if err != nil {
			return nil, err
		}
		if e.there() {
			es = append(es, e)
		}
	}
	return es, nil
}

// sweep removes chunks older than before that no object names: an upload that
// was cut off left them.
func (o *objects) sweep(ctx context.Context, before time.Time) error {
	prefix := "$O." + o.name + ".C."
	info, err := o.stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return fmt.Errorf("list chunks: %w", err)
	}
	entries, err := o.list(ctx) // after the chunks: a newer object's are not listed
	if err != nil {
		return err
	}
	named := make(map[string]bool, len(entries))
	for _, e := range entries {
		named[e.info.NUID] = true
	}
	for subject := range info.State.Subjects {
		if named[strings.TrimPrefix(subject, prefix)] {
			continue
		}
		last, err := o.stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && last.Time.After(before) {
			continue
		}
		if err == nil {
			err = o.stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return fmt.Errorf("remove chunks: %w", err)
		}
	}
	return nil
}
