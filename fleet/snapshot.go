package fleet

import (
	"encoding/binary"
	"time"

	"thermocline"
)

// The encoding of a snapshot; integers are (u)varints, strings are preceded by
// their length:
//
//	"TCF" version(1) fleets: n, n × name
//	members: 1 account name version fleet since, each; 0 ends them
const (
	snapshotMagic   = "TCF"
	snapshotVersion = 1
	maxPart         = 256
)

// Snapshot returns who is in which fleet since when, for Restore after a
// restart. About 50 bytes a function.
func (s *Set) Snapshot() []byte {
	b := append([]byte(snapshotMagic), snapshotVersion)
	str := func(x string) {
		b = binary.AppendUvarint(b, uint64(len(x)))
		b = append(b, x...)
	}
	b = binary.AppendUvarint(b, uint64(len(s.fleets)))
	for i := range s.fleets {
		str(s.fleets[i].Name)
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for id, m := range sh.members {
			if len(id.Account) > maxPart || len(id.Name) > maxPart || len(id.Version) > maxPart {
				continue
			}
			b = append(b, 1)
			str(id.Account)
			str(id.Name)
			str(id.Version)
			b = binary.AppendUvarint(b, uint64(m.fleet))
			b = binary.AppendVarint(b, m.since)
		}
		sh.mu.Unlock()
	}
	return append(b, 0)
}

// Restore takes in a Snapshot, also one of another configuration: members of
// fleets that are no more are left out, and so are functions that are known
// already. A since after now counts as now. Damaged bytes are an error of
// KindValidation, and nothing of them is taken.
func (s *Set) Restore(snapshot []byte, now time.Time) error {
	if err := s.restore(snapshot, now, false); err != nil {
		return err
	}
	return s.restore(snapshot, now, true)
}

func (s *Set) restore(snapshot []byte, now time.Time, apply bool) error {
	damaged := invalid("fleet snapshot refused: it is damaged")
	if len(snapshot) < 4 || string(snapshot[:3]) != snapshotMagic || snapshot[3] != snapshotVersion {
		return invalid("fleet snapshot refused: it is not one, or of another version")
	}
	r := reader{b: snapshot[4:]}
	n := r.uvarint()
	if n > maxFleets {
		return damaged
	}
	index := make([]int, n) // theirs to ours, -1 for none
	for i := range index {
		index[i] = -1
		name := r.string()
		for j := range s.fleets {
			if s.fleets[j].Name == name {
				index[i] = j
			}
		}
	}
	for !r.bad {
		tag := r.byte()
		if tag == 0 {
			break
		}
		id := thermocline.FunctionID{Account: r.string(), Name: r.string(), Version: r.string()}
		at := r.uvarint()
		since := r.varint()
		if r.bad || tag != 1 || at >= n || since < 0 {
			return damaged
		}
		if apply && index[at] >= 0 {
			s.put(id, index[at], min(since, now.UnixNano()))
		}
	}
	if r.bad || len(r.b) > 0 {
		return damaged
	}
	return nil
}

func (s *Set) put(id thermocline.FunctionID, at int, since int64) {
	sh := &s.shards[hashFunction(id)%shardCount]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.members[id] != nil {
		return
	}
	sh.add(id, &member{fleet: at, since: since}, len(s.fleets)-1)
}

// reader takes values off the front; after a fault bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > maxPart || n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
