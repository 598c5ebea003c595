package frontend

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"thermocline"
)

var emptyEvent = []byte("{}")

// invoke is Invoke.
func (q *request) invoke() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	inv, err := q.invocation()
	if err != nil {
		return err
	}
	f, err := q.target(r)
	if err != nil {
		return err
	}
	inv.Function, inv.Generation = f.FunctionID, f.Generation
	inv.ARN = q.arn(r)
	if err := q.checkPayload(inv); err != nil {
		return err
	}
	switch inv.Type {
	case thermocline.DryRun:
		return q.replyEmpty(http.StatusNoContent)
	case thermocline.Event:
		inv.Generation = 0 // whatever is newest when it runs
		if err := q.enqueue(inv); err != nil {
			return err
		}
		q.w.Header()["X-Amzn-Trace-Id"] = []string{inv.TraceID}
		q.w.Header().Set("Content-Length", "0")
		return q.replyEmpty(http.StatusAccepted)
	}
	latest := f
	if f.Version != thermocline.Latest {
		if latest, err = q.latest(ref{name: f.Name}); err != nil {
			return err
		}
	}
	place, err := q.server.concurrency.enter(q.r.Context(), latest)
	if err != nil {
		return err
	}
	defer place.leave()
	result, err := q.run(f, inv)
	if err != nil {
		return err
	}
	return q.replyResult(inv, result)
}

// invocation reads what the headers say.
func (q *request) invocation() (*thermocline.Invocation, error) {
	h := q.r.Header
	inv := &thermocline.Invocation{
		RequestID:     q.id,
		Type:          thermocline.InvocationType(h.Get("X-Amz-Invocation-Type")),
		Payload:       q.body,
		ClientContext: h.Get("X-Amz-Client-Context"),
		TraceID:       h.Get("X-Amzn-Trace-Id"),
		Received:      q.now,
		Attempt:       1,
	}
	var p problems
	if inv.Type == "" {
		inv.Type = thermocline.RequestResponse
	}
	p.oneOf("invocationType", string(inv.Type), "Event", "RequestResponse", "DryRun")
	if tail := h.Get("X-Amz-Log-Type"); tail != "" {
		p.oneOf("logType", tail, "None", "Tail")
		inv.LogTail = tail == "Tail" && inv.Type == thermocline.RequestResponse
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if inv.TraceID == "" {
		inv.TraceID = newTraceID(q.now)
	}
	if len(inv.Payload) == 0 {
		inv.Payload = emptyEvent
	}
	return inv, checkClientContext(inv.ClientContext)
}

// newTraceID makes the id of a trace that nobody samples.
func newTraceID(now time.Time) string {
	b := make([]byte, 0, 80)
	b = append(b, "Root=1-"...)
	b = strconv.AppendInt(b, now.Unix()&0xffffffff|1<<32, 16)
	b = append(b[:7], b[8:]...) // eight digits, leading zeros kept
	b = append(b, '-')
	var id [12]byte
	for i := range id {
		id[i] = byte(rand.Uint32())
	}
	b = hex.AppendEncode(b, id[:])
	return string(append(b, ";Sampled=0"...))
}

func checkClientContext(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxClientCtx {
		return thermocline.Errorf(thermocline.KindInvalidContent, "Client context must be no more than %d bytes of base64.", maxClientCtx)
	}
	decoded, err := base64.StdEncoding.DecodeString(s)
	var object map[string]json.RawMessage
	if err != nil || json.Unmarshal(decoded, &object) != nil {
		return thermocline.Errorf(thermocline.KindInvalidContent, "Client context must be a valid Base64-encoded JSON object.")
	}
	return nil
}

func (q *request) checkPayload(inv *thermocline.Invocation) error {
	limit := thermocline.MaxPayload
	if inv.Type == thermocline.Event {
		limit = thermocline.MaxEventPayload
	}
	if len(inv.Payload) > limit {
		return errPayloadTooLarge(int64(len(inv.Payload)), inv.Type)
	}
	if !json.Valid(inv.Payload) {
		return thermocline.Errorf(thermocline.KindInvalidContent, "Could not parse request body into json: Could not parse payload into json: %s", payloadProblem(inv.Payload))
	}
	return nil
}

// target finds the version to run and waits for it where it is being created:
// nothing of that is left to wait for here but the change of state.
func (q *request) target(r ref) (*thermocline.Function, error) {
	named := r
	if named.qualifier == "" {
		named.qualifier = thermocline.Latest // as AWS's message names it
	}
	f, err := q.aim(named)
	if err != nil {
		return nil, err
	}
	if f.State == thermocline.StatePending {
		settled, err := q.server.settle(q.r.Context(), f.FunctionID, f.Revision)
		if err != nil {
			return nil, err
		}
		if settled == nil {
			return nil, notFound(q.arn(named))
		}
		f = settled
	}
	if f.State != thermocline.StateActive {
		return nil, errState(f.State)
	}
	return f, nil
}

// aim is find with the weights of aliases.
func (q *request) aim(r ref) (*thermocline.Function, error) {
	if r.qualifier == thermocline.Latest || isVersion(r.qualifier) {
		return q.find(r)
	}
	latest, err := q.get(thermocline.FunctionID{Account: q.identity.Account, Name: r.name, Version: thermocline.Latest}, r)
	if err != nil {
		return nil, err
	}
	a, ok := aliasesOf(latest)[r.qualifier]
	if !ok {
		return nil, notFound(q.arn(r))
	}
	return q.get(thermocline.FunctionID{Account: q.identity.Account, Name: r.name, Version: a.pick(rand.Float64())}, r)
}

func (q *request) replyResult(inv *thermocline.Invocation, result *thermocline.Result) error {
	h := q.w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(result.Payload))}
	h["X-Amz-Executed-Version"] = []string{result.ExecutedVersion}
	h["X-Amzn-Trace-Id"] = []string{inv.TraceID}
	if result.FunctionError != "" {
		h["X-Amz-Function-Error"] = []string{result.FunctionError}
	}
	if inv.LogTail {
		h["X-Amz-Log-Result"] = []string{base64.StdEncoding.EncodeToString(result.LogTail)}
	}
	q.w.WriteHeader(http.StatusOK)
	q.send(result.Payload)
	return nil
}
