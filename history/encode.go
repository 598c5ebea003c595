package history

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"thermocline"
)

// The encoding of a slot, or of a part of it. All integers are (u)varints,
// strings are preceded by their length, floats are 8 bytes, little endian.
//
//	"TCH" version(1) flags(1) slot at
//	[flagFull: n, n × name of a slot that this one took over]
//	entries: tag [account] name [version] epochs minute hour ended duration started running age
//	tagEnd
//	CRC-32C of all before (4)
//
// epochs is how many epochs the entry's lies before that of at; age is the
// time in ns from the latest start to at; running is started − finished.
const (
	encodingMagic   = "TCH"
	encodingVersion = 1

	flagFull = 1

	tagEnd     = 0
	tagEntry   = 1
	tagVersion = 2 // a version follows; without it the version is Latest
	tagAccount = 4 // an account follows; without it the entry before has the same

	maxSlotName = 128
	maxIDPart   = 256
	maxSnapshot = 1 << 30

	// maxPast is how many own tombstones a snapshot carries.
	maxPast = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encoder writes one slot's entries.
type encoder struct {
	buf     []byte
	at      int64
	account string
	n       int
}

func newEncoder(slot string, at int64, full bool, past []string) *encoder {
	e := &encoder{at: at, buf: make([]byte, 0, 256)}
	e.buf = append(e.buf, encodingMagic...)
	if full {
		e.buf = append(e.buf, encodingVersion, flagFull)
	} else {
		e.buf = append(e.buf, encodingVersion, 0)
	}
	e.string(slot)
	e.buf = binary.AppendVarint(e.buf, at)
	if full {
		e.buf = binary.AppendUvarint(e.buf, uint64(len(past)))
		for _, name := range past {
			e.string(name)
		}
	}
	return e
}

func (e *encoder) string(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) float(f float64) {
	e.buf = binary.LittleEndian.AppendUint64(e.buf, math.Float64bits(f))
}

func (e *encoder) entry(id thermocline.FunctionID, c *counters) {
	tag := byte(tagEntry)
	if id.Version != thermocline.Latest {
		tag |= tagVersion
	}
	if id.Account != e.account || e.n == 0 {
		tag |= tagAccount
		e.account = id.Account
	}
	e.n++
	e.buf = append(e.buf, tag)
	if tag&tagAccount != 0 {
		e.string(id.Account)
	}
	e.string(id.Name)
	if tag&tagVersion != 0 {
		e.string(id.Version)
	}
	e.buf = binary.AppendVarint(e.buf, epochOf(e.at)-c.epoch)
	e.float(c.minute)
	e.float(c.hour)
	e.float(c.ended)
	e.float(c.duration)
	e.buf = binary.AppendUvarint(e.buf, uint64(c.started))
	e.buf = binary.AppendUvarint(e.buf, uint64(c.running()))
	e.buf = binary.AppendVarint(e.buf, e.at-c.last)
}

func (e *encoder) bytes() []byte {
	e.buf = append(e.buf, tagEnd)
	return binary.LittleEndian.AppendUint32(e.buf, crc32.Checksum(e.buf, castagnoli))
}

// encodable reports whether an entry has something to tell of its own slot
// that a reader accepts.
func (e *entry) encodable() bool {
	return e.own.started > 0 && len(e.id.Account) <= maxIDPart &&
		len(e.id.Name) <= maxIDPart && len(e.id.Version) <= maxIDPart
}

// Snapshot returns the whole own slot. It is what to save, and what to publish
// now and then so that lost gossip is made good; others read it with Load or
// Merge. About 75 bytes a function.
func (h *History) Snapshot(now time.Time) []byte {
	h.mu.Lock()
	var past []string
	for _, name := range h.gone.names {
		if h.predecessor(name) {
			past = append(past, name)
		}
	}
	h.mu.Unlock()
	past = past[max(0, len(past)-maxPast):]

	enc := newEncoder(h.opts.Slot, now.UnixNano(), true, past)
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for _, e := range s.list {
			if e.encodable() {
				enc.entry(e.id, &e.own)
			}
		}
		s.mu.Unlock()
	}
	return enc.bytes()
}

// Changed returns the functions of the own slot that the others should hear
// of, and their number: those that grew by more than Options.Threshold since
// they were told of, those whose running invocations changed, and those marked.
// It stops after about limit bytes; what is left comes at the next call. The
// result without functions is a heartbeat and is worth sending too.
func (h *History) Changed(now time.Time, limit int) (delta []byte, functions int) {
	enc := newEncoder(h.opts.Slot, now.UnixNano(), false, nil)
	for i := range h.shards {
		if len(enc.buf) >= limit {
			break
		}
		s := &h.shards[i]
		s.mu.Lock()
		s.gossip = drain(s.gossip, func(e *entry) bool {
			switch {
			case e.pos < 0 || !e.encodable():
			case len(enc.buf) >= limit || !e.worth(h.opts.Threshold):
				return true
			default:
				enc.entry(e.id, &e.own)
				e.tell()
			}
			e.inGossip = false
			return false
		})
		s.mu.Unlock()
	}
	return enc.bytes(), enc.n
}

// Unsaved returns the functions of the own slot that changed in any way since
// the last call, and their number; nil when there are none. Saved beside the
// last Snapshot (as Load takes them in any order and more than once) it keeps
// what is lost in a crash down to one interval.
func (h *History) Unsaved(now time.Time) (delta []byte, functions int) {
	enc := newEncoder(h.opts.Slot, now.UnixNano(), false, nil)
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		s.unsaved = drain(s.unsaved, func(e *entry) bool {
			if e.pos >= 0 && e.encodable() {
				enc.entry(e.id, &e.own)
			}
			e.inUnsaved = false
			return false
		})
		s.mu.Unlock()
	}
	if enc.n == 0 {
		return nil, 0
	}
	return enc.bytes(), enc.n
}

// drain keeps, in place, the entries for which keep returns true.
func drain(list []*entry, keep func(*entry) bool) []*entry {
	kept := list[:0]
	for _, e := range list {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	clear(list[len(kept):])
	return kept
}
