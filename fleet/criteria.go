package fleet

import (
	"math"
	"slices"
	"strings"
)

var symbols = map[op]string{
	opLess: "<", opLessEqual: "<=", opGreater: ">", opGreaterEqual: ">=", opEqual: "==", opNotEqual: "!=",
}

// mirrored is the operator with its sides exchanged; negated is what holds
// when it does not.
var (
	mirrored = map[op]op{
		opLess: opGreater, opLessEqual: opGreaterEqual, opGreater: opLess,
		opGreaterEqual: opLessEqual, opEqual: opEqual, opNotEqual: opNotEqual,
	}
	negated = map[op]op{
		opLess: opGreaterEqual, opLessEqual: opGreater, opGreater: opLessEqual,
		opGreaterEqual: opLess, opEqual: opNotEqual, opNotEqual: opEqual,
	}
)

// eachComparison visits the comparisons from left to right.
func (n *node) eachComparison(visit func(*node)) {
	if symbols[n.op] != "" {
		visit(n)
	}
	for _, a := range n.args {
		a.eachComparison(visit)
	}
}

// sides returns a comparison's term, operator and constant; ok is false when
// there is no constant, or nothing else.
func (n *node) sides() (term *node, o op, constant float64, ok bool) {
	x, y := n.args[0], n.args[1]
	switch {
	case x.op != opConstant && y.op == opConstant:
		return x, n.op, y.constant, true
	case x.op == opConstant && y.op != opConstant:
		return y, mirrored[n.op], x.constant, true
	}
	return nil, 0, 0, false
}

func (n *node) criterion(v *values) (Criterion, bool) {
	term, o, threshold, ok := n.sides()
	if !ok {
		return Criterion{}, false
	}
	value := term.number(v)
	c := Criterion{
		Variable: term.text, Operator: symbols[o],
		Threshold: finite(threshold), Value: finite(value), Distance: finite(threshold - value),
		Holds: compare(o, value, threshold),
	}
	if term.op == opVariable {
		c.Unit = variables[term.variable].Unit
	}
	return c, true
}

// finite keeps what JSON cannot say out of an explanation.
func finite(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return min(max(f, -math.MaxFloat64), math.MaxFloat64)
}

// change is a comparison that would have to come out as want.
type change struct {
	n    *node
	want bool
}

// way is a set of comparisons that together bring about a value.
type way []change

// maxWays bounds the alternatives that are looked for.
const maxWays = 8

// ways returns alternatives that give a bool node the value want, each with
// only what would have to change; an empty way when it has that value already,
// nothing when it cannot have it.
func (n *node) ways(v *values, want bool) []way {
	if n.truth(v) == want {
		return []way{{}}
	}
	switch n.op {
	case opBool:
		return nil
	case opNot:
		return n.args[0].ways(v, !want)
	case opAnd, opOr:
		if (n.op == opAnd) == want {
			return n.together(v, want)
		}
		var all []way
		for _, a := range n.args {
			all = append(all, a.ways(v, want)...)
		}
		return all[:min(len(all), maxWays)]
	}
	return []way{{{n, want}}}
}

// together needs all arguments to come out as want.
func (n *node) together(v *values, want bool) []way {
	all := []way{{}}
	for _, a := range n.args {
		var next []way
		for _, w := range a.ways(v, want) {
			for _, sofar := range all {
				if len(next) < maxWays {
					next = append(next, slices.Concat(sofar, w))
				}
			}
		}
		all = next
	}
	return all
}

// sentence is "rate_minute > 0.2 (now 0.05) and …".
func (w way) sentence(v *values) string {
	var parts []string
	for _, c := range w {
		if s := c.sentence(v); !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " and ")
}

func (c change) sentence(v *values) string {
	if term, o, constant, ok := c.n.sides(); ok {
		if !c.want {
			o = negated[o]
		}
		return term.text + " " + symbols[o] + " " + number(constant) + " (now " + number(term.number(v)) + ")"
	}
	o := c.n.op
	if !c.want {
		o = negated[o]
	}
	side := func(n *node) string {
		if n.op == opConstant {
			return number(n.constant)
		}
		return n.text + " (now " + number(n.number(v)) + ")"
	}
	return side(c.n.args[0]) + " " + symbols[o] + " " + side(c.n.args[1])
}
