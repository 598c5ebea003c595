package history

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"thermocline"
)

func invalid(what string) error {
	return thermocline.Errorf(thermocline.KindValidation, "history snapshot refused: %s", what)
}

// header is a snapshot whose checksum is right and whose entries are yet to be
// read.
type header struct {
	slot    string
	at      int64
	past    []string
	entries string
}

// reader takes values off the front of a string; after a fault bad is set and
// everything reads as zero.
type reader struct {
	s   string
	bad bool
}

func (r *reader) fail() { r.s, r.bad = "", true }

func (r *reader) byte() byte {
	if len(r.s) == 0 {
		r.fail()
		return 0
	}
	b := r.s[0]
	r.s = r.s[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	var x uint64
	for i := 0; i < len(r.s) && i < binary.MaxVarintLen64; i++ {
		b := r.s[i]
		if i == binary.MaxVarintLen64-1 && b > 1 {
			break
		}
		x |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.s = r.s[i+1:]
			return x
		}
	}
	r.fail()
	return 0
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	x := int64(u >> 1)
	if u&1 != 0 {
		x = ^x
	}
	return x
}

// count is a uvarint that fits an int64.
func (r *reader) count() int64 {
	u := r.uvarint()
	if u > math.MaxInt64/4 {
		r.fail()
		return 0
	}
	return int64(u)
}

func (r *reader) string(limit int) string {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

// sum is a float that a decayed sum can be: finite, and from 0 to limit.
func (r *reader) sum(limit float64) float64 {
	if len(r.s) < 8 {
		r.fail()
		return 0
	}
	var bits uint64
	for i := range 8 {
		bits |= uint64(r.s[i]) << (8 * i)
	}
	r.s = r.s[8:]
	f := math.Float64frombits(bits)
	if !(f >= 0 && f <= limit) {
		r.fail()
		return 0
	}
	return f
}

func readHeader(snapshot []byte) (header, error) {
	const least = len(encodingMagic) + 2 + 1 + 4
	if len(snapshot) < least || len(snapshot) > maxSnapshot || string(snapshot[:len(encodingMagic)]) != encodingMagic {
		return header{}, invalid("it is not one")
	}
	if v := snapshot[len(encodingMagic)]; v != encodingVersion {
		return header{}, invalid("its version is not known here")
	}
	body := snapshot[:len(snapshot)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(snapshot[len(body):]) {
		return header{}, invalid("its checksum is wrong")
	}
	r := reader{s: string(body[len(encodingMagic)+1:])}
	flags := r.byte()
	head := header{slot: r.string(maxSlotName), at: r.varint()}
	if flags&flagFull != 0 {
		n := r.uvarint()
		if n > maxPast {
			r.fail()
		}
		for i := uint64(0); i < n && !r.bad; i++ {
			head.past = append(head.past, r.string(maxSlotName))
		}
	}
	// Times from 1970 to 2200 keep every difference inside an int64.
	if r.bad || flags&^flagFull != 0 || head.slot == "" || !plausible(head.at) {
		return header{}, invalid("its head is damaged")
	}
	head.entries = r.s
	return head, nil
}

func plausible(ns int64) bool { return ns >= 0 && ns < 230*365*24*int64(3600)*1e9 }

// each calls f for every entry. The strings of the ids are parts of the
// snapshot.
func (head *header) each(f func(thermocline.FunctionID, counters)) error {
	r := reader{s: head.entries}
	account, first := "", true
	for {
		tag := r.byte()
		if tag == tagEnd && !r.bad {
			break
		}
		id, c, ok := head.entry(&r, tag, account)
		if !ok || (first && tag&tagAccount == 0) {
			return invalid("one of its functions is damaged")
		}
		account, first = id.Account, false
		f(id, c)
	}
	if r.s != "" {
		return invalid("there is more after its end")
	}
	return nil
}

// entry reads one entry and holds it against what is possible: a start weighs
// at most 2^60 in the sum of the minute and 2 in that of the hour.
func (head *header) entry(r *reader, tag byte, account string) (thermocline.FunctionID, counters, bool) {
	id := thermocline.FunctionID{Account: account, Version: thermocline.Latest}
	var c counters
	if tag&tagEntry == 0 || tag&^(tagEntry|tagVersion|tagAccount) != 0 {
		return id, c, false
	}
	if tag&tagAccount != 0 {
		id.Account = r.string(maxIDPart)
	}
	id.Name = r.string(maxIDPart)
	if tag&tagVersion != 0 {
		id.Version = r.string(maxIDPart)
	}
	back := r.varint()
	c.epoch = epochOf(head.at) - back
	c.minute = r.sum(math.MaxFloat64)
	c.hour = r.sum(math.MaxFloat64)
	c.ended = r.sum(math.MaxFloat64)
	c.duration = r.sum(math.MaxFloat64)
	c.started = r.count()
	running := r.count()
	age := r.varint()
	c.finished = c.started - running
	c.last = head.at - age

	const slack = 1.000001
	starts := float64(c.started) * slack
	// An entry's epoch may be ahead of the snapshot's by one, when a clock went
	// back; it is never before 1970.
	ok := !r.bad && back >= -1 && c.epoch >= 0 && c.epoch <= epochOf(head.at)+1 &&
		c.finished >= 0 && age >= -int64(skew) && plausible(c.last) &&
		c.minute <= starts*math.Exp2(float64(minutesPerEpoch)) && c.hour <= starts*2 &&
		c.ended <= starts*2 && c.duration <= starts*2*maxDuration.Seconds()
	return id, c, ok
}
