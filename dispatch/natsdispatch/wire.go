package natsdispatch

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"thermocline"
)

// A frame is
//
//	'T' version kind length header payload
//
// where length is the header's in bytes (uvarint), header is the kind's fields
// in a fixed order, and payload the rest of the message, as it is. Strings and
// byte slices in a header carry their length (uvarint), numbers are varints,
// times are nanoseconds since 1970 (0: no time).
const (
	frameMagic   = 'T'
	frameVersion = 1
	// maxHeader bounds a header: the longest legal field is the client context
	// (3,583 bytes), the log tail has 4 KB.
	maxHeader = 64 << 10
	// maxParked bounds the payloads that are kept for a receiver: a result, the
	// larger of the two, with room.
	maxParked = 8 << 20
)

// frameKind says what a frame is.
type frameKind byte

const (
	frameRequest frameKind = 'Q' // client → manager: run this
	frameAsk     frameKind = 'A' // manager → client: there is room, may I start?
	frameGrant   frameKind = 'G' // client → manager: start
	frameDeny    frameKind = 'D' // client → manager: do not; the result is not wanted
	frameFetch   frameKind = 'F' // either way: send me the payload that you keep
	frameCancel  frameKind = 'C' // client → manager: end the program that you run
	frameRefused frameKind = 'R' // manager → client: not started, never will be
	frameResult  frameKind = 'S' // manager → client: it ran
	frameError   frameKind = 'X' // manager → client: the platform failed
)

var errFrame = errors.New("malformed frame")

// request is a synchronous invocation or an event on its way.
type request struct {
	inv thermocline.Invocation
	// reply is the subject for the answers; "" for events.
	reply string
	// parked is the size of the payload when it does not come along but is
	// kept by the client; 0: it is here.
	parked int
	// code is how many bytes at the payload's end are the program's code, while
	// they are not taken out of it.
	code int
	// notBefore is when the next attempt of an event may run; zero: now.
	notBefore time.Time
}

// load is what every answer of a manager says of it.
type load struct {
	manager     string
	incarnation string // new with every start of the manager
	outstanding int
	slots       int
	draining    bool
}

// answer is a frame from a manager.
type answer struct {
	kind   frameKind
	load   load
	result *thermocline.Result // frameResult
	err    *thermocline.Error  // frameRefused and frameError
	// accepted tells for frameError whether the invocation had been accepted.
	accepted bool
	// parked is the size of the result's payload when the manager keeps it; 0:
	// it is here.
	parked int
	// output is how many bytes at the payload's end are a program's output,
	// while they are not taken out of it.
	output int
}

// appendFrame puts header and payload together. body appends the fields.
func appendFrame(b []byte, kind frameKind, payload []byte, body func([]byte) []byte) []byte {
	b = append(b, frameMagic, frameVersion, byte(kind))
	// The length is written into three bytes once it is known: a padded
	// uvarint, enough for maxHeader.
	at := len(b)
	b = append(b, 0, 0, 0)
	b = body(b)
	n := len(b) - at - 3
	b[at], b[at+1], b[at+2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)&0x7f
	return append(b, payload...)
}

func appendRequest(b []byte, r *request) []byte {
	var payload []byte
	if r.parked == 0 {
		payload = bundled(&r.inv)
	}
	return appendFrame(b, frameRequest, payload, func(b []byte) []byte {
		v := &r.inv
		b = appendString(b, v.RequestID)
		b = appendString(b, v.Function.Account)
		b = appendString(b, v.Function.Name)
		b = appendString(b, v.Function.Version)
		b = binary.AppendVarint(b, v.Generation)
		b = appendString(b, v.ARN)
		b = appendString(b, string(v.Type))
		b = appendString(b, v.ClientContext)
		b = appendString(b, v.TraceID)
		b = appendBool(b, v.LogTail)
		b = appendString(b, v.Fleet)
		b = appendTime(b, v.Received)
		b = appendTime(b, v.StartBy)
		b = binary.AppendVarint(b, int64(v.Attempt))
		b = appendString(b, r.reply)
		b = binary.AppendVarint(b, int64(r.parked))
		b = appendTime(b, r.notBefore)
		return appendProgram(b, v.Program)
	})
}

// bundled returns what travels as the payload of an invocation: its own, and
// behind it the code of a program.
func bundled(v *thermocline.Invocation) []byte {
	if v.Program == nil || len(v.Program.Code) == 0 {
		return v.Payload
	}
	return slices.Concat(v.Payload, v.Program.Code)
}

// unbundle takes the code out of the payload that came, which is as long as it
// was announced.
func (r *request) unbundle(payload []byte) error {
	if len(payload) < r.code {
		return errFrame
	}
	n := len(payload) - r.code
	if r.code > 0 {
		r.inv.Program.Code = payload[n:]
	}
	r.inv.Payload = payload[:n:n]
	if n == 0 {
		r.inv.Payload = nil
	}
	r.code = 0
	return nil
}

// size is the length of the payload and of the code that are here.
func (r *request) size() int {
	n := len(r.inv.Payload)
	if r.inv.Program != nil {
		n += len(r.inv.Program.Code)
	}
	return n
}

// appendProgram appends what is to be known of a program but its code: first
// whether there is one.
func appendProgram(b []byte, p *thermocline.Program) []byte {
	b = appendBool(b, p != nil)
	if p == nil {
		return b
	}
	b = appendString(b, p.Runtime)
	b = appendString(b, p.Handler)
	b = appendString(b, p.Region)
	b = binary.AppendVarint(b, int64(p.MemoryMB))
	b = binary.AppendVarint(b, int64(p.TmpMB))
	b = binary.AppendVarint(b, int64(p.Timeout))
	b = binary.AppendVarint(b, int64(len(p.Environment)))
	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		b = appendString(b, name)
		b = appendString(b, p.Environment[name])
	}
	return binary.AppendVarint(b, int64(len(p.Code)))
}

// program reads a program and the length of its code.
func (d *decoder) program() (p *thermocline.Program, code int) {
	if !d.bool() {
		return nil, 0
	}
	p = &thermocline.Program{
		Runtime: d.string(), Handler: d.string(), Region: d.string(),
		MemoryMB: int(d.varint()), TmpMB: int(d.varint()), Timeout: time.Duration(d.varint()),
	}
	for n := d.varint(); n > 0 && !d.bad; n-- {
		if p.Environment == nil {
			p.Environment = map[string]string{}
		}
		name := d.string()
		p.Environment[name] = d.string()
	}
	return p, d.size()
}

// cancelFrame asks a manager to end a program.
func cancelFrame(requestID string) []byte {
	return appendFrame(nil, frameCancel, nil, func(b []byte) []byte { return appendString(b, requestID) })
}

// cancelled returns the request id of a cancelFrame, "" when m is none.
func cancelled(m []byte) string {
	kind, d, _, err := openFrame(m)
	if err != nil || kind != frameCancel {
		return ""
	}
	return d.string()
}

// decodeRequest reads a request. Its payload shares m's memory.
func decodeRequest(m []byte) (*request, error) {
	kind, d, payload, err := openFrame(m)
	if err != nil || kind != frameRequest {
		return nil, errFrame
	}
	r := &request{}
	v := &r.inv
	v.RequestID = d.string()
	v.Function.Account = d.string()
	v.Function.Name = d.string()
	v.Function.Version = d.string()
	v.Generation = d.varint()
	v.ARN = d.string()
	v.Type = thermocline.InvocationType(d.string())
	v.ClientContext = d.string()
	v.TraceID = d.string()
	v.LogTail = d.bool()
	v.Fleet = d.string()
	v.Received = d.time()
	v.StartBy = d.time()
	v.Attempt = int(d.varint())
	r.reply = d.string()
	r.parked = d.size()
	r.notBefore = d.time()
	v.Program, r.code = d.program()
	if d.bad || v.RequestID == "" || r.parked > 0 && (len(payload) > 0 || r.reply == "") {
		return nil, errFrame
	}
	if r.parked > 0 {
		return r, nil
	}
	return r, r.unbundle(payload)
}

func appendAnswer(b []byte, a *answer) []byte {
	var payload []byte
	if a.result != nil && a.parked == 0 {
		payload = resultBundle(a.result)
	}
	return appendFrame(b, a.kind, payload, func(b []byte) []byte {
		b = appendString(b, a.load.manager)
		b = appendString(b, a.load.incarnation)
		b = binary.AppendVarint(b, int64(a.load.outstanding))
		b = binary.AppendVarint(b, int64(a.load.slots))
		b = appendBool(b, a.load.draining)
		switch a.kind {
		case frameResult:
			b = binary.AppendVarint(b, int64(a.parked))
			b = appendResult(b, a.result)
		case frameRefused, frameError:
			b = binary.AppendVarint(b, int64(a.err.Kind))
			b = appendString(b, a.err.Message)
			b = appendString(b, a.err.Reason)
			b = appendBool(b, a.accepted)
		}
		return b
	})
}

func appendResult(b []byte, r *thermocline.Result) []byte {
	b = appendString(b, r.RequestID)
	b = appendString(b, r.FunctionError)
	b = appendString(b, r.ExecutedVersion)
	b = appendString(b, string(r.LogTail))
	b = binary.AppendVarint(b, int64(len(r.Output)))
	b = binary.AppendVarint(b, r.OutputDropped)
	p := &r.Report
	b = appendString(b, string(p.Start))
	b = binary.AppendVarint(b, int64(p.Duration))
	b = binary.AppendVarint(b, int64(p.Billed))
	b = binary.AppendVarint(b, int64(p.Init))
	b = binary.AppendVarint(b, int64(p.Setup))
	b = binary.AppendVarint(b, int64(p.MemoryMB))
	b = binary.AppendVarint(b, int64(p.MaxMemoryMB))
	b = appendString(b, p.Status)
	b = appendString(b, p.Fleet)
	b = appendString(b, p.Manager)
	b = appendString(b, p.Instance)
	return appendString(b, p.Sandbox)
}

// decodeAnswer reads an answer. A result's payload shares m's memory.
func decodeAnswer(m []byte) (*answer, error) {
	kind, d, payload, err := openFrame(m)
	if err != nil {
		return nil, err
	}
	a := &answer{kind: kind}
	a.load.manager = d.string()
	a.load.incarnation = d.string()
	a.load.outstanding = int(d.varint())
	a.load.slots = int(d.varint())
	a.load.draining = d.bool()
	switch kind {
	case frameAsk:
	case frameResult:
		a.parked = d.size()
		a.result, a.output = d.result()
		if a.parked == 0 && !a.unbundle(payload) {
			return nil, errFrame
		}
	case frameRefused, frameError:
		a.err = &thermocline.Error{Kind: thermocline.Kind(d.varint()), Message: d.string(), Reason: d.string()}
		a.accepted = d.bool()
	default:
		return nil, errFrame
	}
	if d.bad {
		return nil, errFrame
	}
	return a, nil
}

// resultBundle is what travels as the payload of a result: its own, and behind
// it the output of a program.
func resultBundle(r *thermocline.Result) []byte {
	if r == nil || len(r.Output) == 0 {
		return resultPayload(r)
	}
	return slices.Concat(r.Payload, r.Output)
}

// unbundle takes the output out of the payload that came; false when it is not
// there.
func (a *answer) unbundle(payload []byte) bool {
	n := a.output
	a.output = 0
	return splitOutput(a.result, payload, n)
}

func splitOutput(r *thermocline.Result, payload []byte, output int) bool {
	n := len(payload) - output
	if n < 0 {
		return false
	}
	r.Payload = payload[:n:n]
	if output > 0 {
		r.Output = payload[n:]
	}
	if n == 0 {
		r.Payload = nil
	}
	return true
}

// result reads a result and the length of its output.
func (d *decoder) result() (r *thermocline.Result, output int) {
	r = &thermocline.Result{
		RequestID:       d.string(),
		FunctionError:   d.string(),
		ExecutedVersion: d.string(),
	}
	if tail := d.string(); tail != "" {
		r.LogTail = []byte(tail)
	}
	output = d.size()
	r.OutputDropped = d.varint()
	r.Report = thermocline.Report{
		Start:       thermocline.StartKind(d.string()),
		Duration:    time.Duration(d.varint()),
		Billed:      time.Duration(d.varint()),
		Init:        time.Duration(d.varint()),
		Setup:       time.Duration(d.varint()),
		MemoryMB:    int(d.varint()),
		MaxMemoryMB: int(d.varint()),
		Status:      d.string(),
		Fleet:       d.string(),
		Manager:     d.string(),
		Instance:    d.string(),
		Sandbox:     d.string(),
	}
	return r, output
}

// openFrame checks the frame and returns its kind, its header and its payload
// (nil when empty).
func openFrame(m []byte) (frameKind, *decoder, []byte, error) {
	if len(m) < 4 || m[0] != frameMagic || m[1] != frameVersion {
		return 0, nil, nil, errFrame
	}
	n, used := binary.Uvarint(m[3:])
	rest := m[3+max(used, 0):]
	if used <= 0 || n > maxHeader || n > uint64(len(rest)) {
		return 0, nil, nil, errFrame
	}
	d := &decoder{b: rest[:n]}
	if payload := rest[n:]; len(payload) > 0 {
		return frameKind(m[2]), d, payload[:len(payload):len(payload)], nil
	}
	return frameKind(m[2]), d, nil, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

// decoder reads fields; after the first fault all are zero and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) string() string {
	n, used := binary.Uvarint(d.b)
	if used <= 0 || n > uint64(len(d.b)-used) {
		d.b, d.bad = nil, true
		return ""
	}
	s := string(d.b[used : used+int(n)])
	d.b = d.b[used+int(n):]
	return s
}

func (d *decoder) varint() int64 {
	v, used := binary.Varint(d.b)
	if used <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[used:]
	return v
}

// size is the size of a payload that is kept.
func (d *decoder) size() int {
	n := d.varint()
	if n < 0 || n > maxParked {
		d.b, d.bad = nil, true
		return 0
	}
	return int(n)
}

func (d *decoder) bool() bool {
	if len(d.b) == 0 || d.b[0] > 1 {
		d.b, d.bad = nil, true
		return false
	}
	v := d.b[0] == 1
	d.b = d.b[1:]
	return v
}

func (d *decoder) time() time.Time {
	if n := d.varint(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}
