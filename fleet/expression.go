package fleet

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// costLimit bounds what evaluating an expression may cost, in CEL's units
// (about one per operation). The default's costs are below 30.
const costLimit = 10_000

// expression is a compiled criterion. Most are arithmetic and comparisons and
// run as a tree of our own in some tens of nanoseconds; what else CEL allows
// runs in cel-go.
type expression struct {
	where   string // "fleet high-volume: enter"
	text    string
	tree    *node // nil when the expression needs cel-go
	program cel.Program
}

// newEnv declares the variables. Macros (all, exists, map…) are not there, so
// that the cost of an expression is linear in its length.
func newEnv() (*cel.Env, error) {
	opts := []cel.EnvOption{
		cel.ClearMacros(),
		cel.CrossTypeNumericComparisons(true), // rate_minute > 1
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ParserRecursionLimit(50),
		cel.ParserErrorRecoveryLimit(4),
	}
	for _, v := range variables {
		opts = append(opts, cel.VariableWithDoc(v.Name, cel.DoubleType, v.Doc))
	}
	return cel.NewCustomEnv(append([]cel.EnvOption{cel.StdLib()}, opts...)...)
}

// compile returns an expression, or all that is wrong with it with positions.
func compile(env *cel.Env, where, text string) (*expression, error) {
	if len(text) > maxExpression {
		return nil, invalid("%s: the expression is longer than %d bytes", where, maxExpression)
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, invalid("%s", position(where, text, issues))
	}
	if !ast.OutputType().IsExactType(types.BoolType) {
		return nil, invalid("%s:1:1: the expression is of type %s, it must be bool", where, ast.OutputType())
	}
	program, err := env.Program(ast, cel.CostLimit(costLimit))
	if err != nil {
		return nil, invalid("%s: %v", where, err)
	}
	e := &expression{where: where, text: text, program: program, tree: newTree(ast)}
	// Faults that do not depend on the usage (1/0, a bad pattern, the cost) show
	// at the first run.
	if _, err := e.run(&values{}); err != nil && e.tree == nil {
		return nil, invalid("%s: evaluated without usage: %v", where, err)
	}
	return e, nil
}

// position renders cel-go's findings as fleet, expression, line:column, and
// the line with a caret.
func position(where, text string, issues *cel.Issues) string {
	lines := strings.Split(text, "\n")
	var b strings.Builder
	for i, e := range issues.Errors() {
		if i > 0 {
			b.WriteByte('\n')
		}
		line, column := e.Location.Line(), e.Location.Column()
		if line < 1 || line > len(lines) {
			fmt.Fprintf(&b, "%s: %s", where, e.Message)
			continue
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s", where, line, column+1, e.Message)
		source := strings.ReplaceAll(lines[line-1], "\t", " ")
		if column >= 0 && column <= len([]rune(source)) {
			fmt.Fprintf(&b, "\n  | %s\n  | %s^", source, strings.Repeat(" ", column))
		}
	}
	return b.String()
}

// holds evaluates the expression. One that fails holds not: its function goes
// on to the next fleet.
func (e *expression) holds(v *values) bool {
	if e == nil {
		return false
	}
	ok, _ := e.evaluate(v)
	return ok
}

func (e *expression) evaluate(v *values) (bool, error) {
	if e.tree != nil {
		return e.tree.truth(v), nil
	}
	return e.run(v)
}

// run evaluates by cel-go.
func (e *expression) run(v *values) (bool, error) {
	out, _, err := e.program.Eval(activation{v})
	if err != nil {
		return false, err
	}
	ok, isBool := out.Value().(bool)
	if !isBool {
		return false, errors.New("the value is not a bool")
	}
	return ok, nil
}

// activation gives the variables to cel-go.
type activation struct{ v *values }

func (a activation) ResolveName(name string) (any, bool) {
	if i := variableIndex(name); i >= 0 {
		return types.Double(a.v[i]), true
	}
	return nil, false
}

func (a activation) Parent() cel.Activation { return nil }
