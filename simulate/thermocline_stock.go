package simulate

import "slices"

// stock is the instances that no manager holds, and who may have them: the
// rule of manager.Ledger in whole instances. Half of them, divided among the
// managers, is what each is sure of, one at least; the rest goes to who asks
// first.
type stock struct {
	total int // that there are
	free  []int32
	held  []int // by manager
}

func (s *stock) fill(instances, managers int) {
	s.total = instances
	for at := instances - 1; at >= 0; at-- {
		s.free = append(s.free, int32(at))
	}
	s.held = make([]int, managers)
}

// available is how many instances a manager may take: not those that others
// are sure of and have not taken yet.
func (s *stock) available(manager int) int {
	sure := max(s.total/(2*len(s.held)), min(1, s.total/len(s.held)))
	n := len(s.free)
	for o, held := range s.held {
		if o != manager {
			n -= max(0, sure-held)
		}
	}
	return max(0, n)
}

// take gives a manager an instance; there must be one available.
func (s *stock) take(manager int) int32 {
	at := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.held[manager]++
	return at
}

// put takes one back.
func (s *stock) put(manager int, at int32) {
	s.free = append(s.free, at)
	s.held[manager]--
}

// bury takes an instance that is free out for good.
func (s *stock) bury(at int32) {
	s.free = slices.DeleteFunc(s.free, func(f int32) bool { return f == at })
	s.total--
}
