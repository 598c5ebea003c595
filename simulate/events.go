package simulate

// kind is what an event is for.
type kind uint8

const (
	evEnd   kind = iota // an invocation ends; arg: request
	evReady             // a sandbox is up; arg: sandbox
	evTimer             // a sandbox's keep-alive may be over; arg: sandbox
	evWarm              // a sandbox is started ahead; arg: function
	evTick              // the policy's own clock; arg: the policy's
	evLoss              // an instance dies
)

// event is something that happens at a time. Events of the same time happen in
// the order in which they were made.
type event struct {
	at   int64 // virtual time, ns
	seq  uint64
	arg  int32
	gen  uint16 // must still be what it was made for
	kind kind
}

// events is a 4-ary heap: half as deep as a binary one, and what is compared
// lies together in memory.
type events struct {
	heap []event
	seq  uint64
}

func (q *events) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	h := q.heap
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !before(&e, &h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (q *events) pop() event {
	h := q.heap
	top, e := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if before(&h[c], &h[least]) {
				least = c
			}
		}
		if !before(&h[least], &e) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
	return top
}

func before(a, b *event) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}
