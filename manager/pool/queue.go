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

func lessDue(a, b *function) bool {
	if a.due != b.due {
		return a.due < b.due
	}
	return a.number < b.number
}

// queue is a binary heap whose elements know their place: place returns where
// an element keeps its index, which is -1 when it is in no heap. (container/heap
// does the same through an interface, at twice the time.)
type queue[T any] struct {
	items []*T
	less  func(a, b *T) bool
	place func(*T) *int
}

func (q *queue[T]) len() int { return len(q.items) }
func (q *queue[T]) top() *T  { return q.items[0] }

func (q *queue[T]) push(x *T) {
	q.items = append(q.items, x)
	*q.place(x) = len(q.items) - 1
	q.up(len(q.items) - 1)
}

func (q *queue[T]) remove(x *T) {
	i, n := *q.place(x), len(q.items)-1
	if i < 0 {
		return
	}
	last := q.items[n]
	q.items[n] = nil
	q.items = q.items[:n]
	*q.place(x) = -1
	if i == n {
		return
	}
	q.items[i] = last
	*q.place(last) = i
	q.fix(i)
}

// fix puts the element at i, whose key has changed, where it belongs.
func (q *queue[T]) fix(i int) {
	if !q.down(i) {
		q.up(i)
	}
}

func (q *queue[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(q.items[i], q.items[parent]) {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q *queue[T]) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(q.items) {
			return moved
		}
		if r := child + 1; r < len(q.items) && q.less(q.items[r], q.items[child]) {
			child = r
		}
		if !q.less(q.items[child], q.items[i]) {
			return moved
		}
		q.swap(i, child)
		i, moved = child, true
	}
}

func (q *queue[T]) swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	*q.place(q.items[i]), *q.place(q.items[j]) = i, j
}
