package pool

// The queues that a sandbox can be in, as indices of box.heap.
const (
	byPriority = iota
	byExpiry
)

func lessPriority(a, b *box) bool {
	if a.priority != b.priority {
		return a.priority < b.priority
	}
	return lessUsed(a, b)
}

func lessExpiry(a, b *box) bool {
	if a.expires != b.expires {
		return a.expires < b.expires
	}
	return lessUsed(a, b)
}

// lessUsed makes the order total, so that equal calls give equal answers.
func lessUsed(a, b *box) bool {
	if a.lastUsed != b.lastUsed {
		return a.lastUsed < b.lastUsed
	}
	return a.id < b.id
}

// queue is a binary heap whose elements know their place. (container/heap does
// the same through an interface, at twice the time.)
type queue struct {
	boxes []*box
	slot  int
	less  func(a, b *box) bool
}

func (q *queue) len() int  { return len(q.boxes) }
func (q *queue) top() *box { return q.boxes[0] }

func (q *queue) push(b *box) {
	q.boxes = append(q.boxes, b)
	b.heap[q.slot] = len(q.boxes) - 1
	q.up(len(q.boxes) - 1)
}

func (q *queue) remove(b *box) {
	i, n := b.heap[q.slot], len(q.boxes)-1
	if i < 0 {
		return
	}
	last := q.boxes[n]
	q.boxes[n] = nil
	q.boxes = q.boxes[:n]
	b.heap[q.slot] = -1
	if i == n {
		return
	}
	q.boxes[i], last.heap[q.slot] = last, i
	if !q.down(i) {
		q.up(i)
	}
}

func (q *queue) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(q.boxes[i], q.boxes[parent]) {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q *queue) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(q.boxes) {
			return moved
		}
		if r := child + 1; r < len(q.boxes) && q.less(q.boxes[r], q.boxes[child]) {
			child = r
		}
		if !q.less(q.boxes[child], q.boxes[i]) {
			return moved
		}
		q.swap(i, child)
		i, moved = child, true
	}
}

func (q *queue) swap(i, j int) {
	q.boxes[i], q.boxes[j] = q.boxes[j], q.boxes[i]
	q.boxes[i].heap[q.slot], q.boxes[j].heap[q.slot] = i, j
}
