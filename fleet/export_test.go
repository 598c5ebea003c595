package fleet

import "fmt"

// Disagreement evaluates every expression of s that has a tree by the tree and
// by cel-go, and returns what differs.
func Disagreement(s *Set, a, b float64) string {
	var v values
	for i := range v {
		v[i] = []float64{a, b, a * b, a - b, 0}[i%5]
	}
	for _, f := range s.fleets {
		for _, e := range []*expression{f.enter, f.stay} {
			if e == nil || e.tree == nil {
				continue
			}
			got := e.tree.truth(&v)
			want, err := e.run(&v)
			if err != nil || got != want {
				return fmt.Sprintf("%q with %v: the tree says %v, cel-go %v, %v", e.text, v, got, want, err)
			}
		}
	}
	return ""
}
