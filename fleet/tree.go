package fleet

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

type op int

const (
	opConstant op = iota
	opVariable
	opBool // constant 0 or 1
	opAdd
	opSubtract
	opMultiply
	opDivide
	opNegate
	opChoose // a ? b : c
	opNot
	opAnd
	opOr
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opEqual
	opNotEqual
)

// node is a part of an expression: a number, or a bool for the operators from
// opNot on and opBool. Every number is a float64.
type node struct {
	op       op
	args     []*node
	constant float64
	variable int
	text     string // of numbers that are not constants
}

var booleans = map[string]op{
	operators.LogicalNot: opNot,
	operators.LogicalAnd: opAnd,
	operators.LogicalOr:  opOr,
}

var comparisons = map[string]op{
	operators.Less:          opLess,
	operators.LessEquals:    opLessEqual,
	operators.Greater:       opGreater,
	operators.GreaterEquals: opGreaterEqual,
	operators.Equals:        opEqual,
	operators.NotEquals:     opNotEqual,
}

var arithmetic = map[string]op{
	operators.Add:      opAdd,
	operators.Subtract: opSubtract,
	operators.Multiply: opMultiply,
	operators.Divide:   opDivide,
	operators.Negate:   opNegate,
}

// newTree translates a checked expression, or returns nil when it has anything
// that is not logic, comparisons and arithmetic on doubles.
func newTree(a *cel.Ast) *node {
	b := builder{ast: a.NativeRep()}
	return b.boolean(b.ast.Expr())
}

type builder struct{ ast *ast.AST }

func (b builder) boolean(e ast.Expr) *node {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := e.AsLiteral().(types.Bool); ok {
			n := &node{op: opBool}
			if v {
				n.constant = 1
			}
			return n
		}
	case ast.CallKind:
		call := e.AsCall()
		if o, ok := booleans[call.FunctionName()]; ok {
			return b.with(o, call.Args(), b.boolean)
		}
		if o, ok := comparisons[call.FunctionName()]; ok {
			return b.with(o, call.Args(), b.comparable)
		}
	}
	return nil
}

// comparable is a number beside a comparison, where an integer literal stands
// for the double of its value.
func (b builder) comparable(e ast.Expr) *node {
	if e.Kind() == ast.LiteralKind {
		if v, ok := e.AsLiteral().(types.Int); ok && v > -1<<53 && v < 1<<53 {
			return &node{op: opConstant, constant: float64(v)}
		}
	}
	return b.number(e)
}

func (b builder) number(e ast.Expr) *node {
	if t := b.ast.GetType(e.ID()); t == nil || !t.IsExactType(types.DoubleType) {
		return nil
	}
	var n *node
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := e.AsLiteral().(types.Double); ok {
			return &node{op: opConstant, constant: float64(v)}
		}
		return nil
	case ast.IdentKind:
		if i := variableIndex(e.AsIdent()); i >= 0 {
			return &node{op: opVariable, variable: i, text: e.AsIdent()}
		}
		return nil
	case ast.CallKind:
		call := e.AsCall()
		if o, ok := arithmetic[call.FunctionName()]; ok {
			n = b.with(o, call.Args(), b.number)
		} else if call.FunctionName() == operators.Conditional {
			n = b.choose(call.Args())
		}
	}
	if n == nil {
		return nil
	}
	text, err := cel.ExprToString(e, b.ast.SourceInfo())
	if err != nil {
		return nil
	}
	n.text = text
	return n
}

func (b builder) choose(args []ast.Expr) *node {
	n := &node{op: opChoose, args: []*node{b.boolean(args[0]), b.number(args[1]), b.number(args[2])}}
	for _, a := range n.args {
		if a == nil {
			return nil
		}
	}
	return n
}

func (b builder) with(o op, args []ast.Expr, build func(ast.Expr) *node) *node {
	n := &node{op: o}
	for _, a := range args {
		child := build(a)
		if child == nil {
			return nil
		}
		n.args = append(n.args, child)
	}
	return n
}

// number evaluates a numeric node.
func (n *node) number(v *values) float64 {
	switch n.op {
	case opConstant:
		return n.constant
	case opVariable:
		return v[n.variable]
	case opNegate:
		return -n.args[0].number(v)
	case opChoose:
		if n.args[0].truth(v) {
			return n.args[1].number(v)
		}
		return n.args[2].number(v)
	}
	x, y := n.args[0].number(v), n.args[1].number(v)
	switch n.op {
	case opAdd:
		return x + y
	case opSubtract:
		return x - y
	case opMultiply:
		return x * y
	default:
		return x / y
	}
}

// truth evaluates a bool node. Doubles compare in CEL as they do in Go, also
// what is no number.
func (n *node) truth(v *values) bool {
	switch n.op {
	case opBool:
		return n.constant != 0
	case opNot:
		return !n.args[0].truth(v)
	case opAnd:
		return n.args[0].truth(v) && n.args[1].truth(v)
	case opOr:
		return n.args[0].truth(v) || n.args[1].truth(v)
	}
	return compare(n.op, n.args[0].number(v), n.args[1].number(v))
}

func compare(o op, x, y float64) bool {
	switch o {
	case opLess:
		return x < y
	case opLessEqual:
		return x <= y
	case opGreater:
		return x > y
	case opGreaterEqual:
		return x >= y
	case opEqual:
		return x == y
	default:
		return x != y
	}
}
