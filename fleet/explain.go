package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"thermocline"
)

// Explanation is why a function is where it is, for people and programs. The
// caller adds the managers.
type Explanation struct {
	Function string    `json:"function"` // account/name/version
	Account  string    `json:"account"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Fleet    string    `json:"fleet"`
	Dispatch string    `json:"dispatch"`
	Since    time.Time `json:"since"`
	// MayLeave is when the dwell ends, if it has not.
	MayLeave *time.Time `json:"may_leave,omitempty"`
	// Manager is the function's home; Managers are the choices in order.
	Manager  string   `json:"manager"`
	Managers []string `json:"managers,omitempty"`

	// Usage holds every variable (see Variables for the units).
	Usage map[string]float64 `json:"usage"`
	Last  *time.Time         `json:"last,omitempty"` // the latest start

	Expressions []ExpressionState `json:"expressions"`
	Criteria    []Criterion       `json:"criteria"`
	// Changes are sentences: what would move the function.
	Changes []string `json:"changes"`
}

// ExpressionState is an expression and its value now.
type ExpressionState struct {
	Fleet      string `json:"fleet"`
	Expression string `json:"expression"` // "enter" or "stay"
	Text       string `json:"text"`
	Holds      bool   `json:"holds"`
	Error      string `json:"error,omitempty"`
}

// Criterion is one comparison with a constant.
type Criterion struct {
	Fleet      string  `json:"fleet"`
	Expression string  `json:"expression"` // "enter" or "stay"
	Variable   string  `json:"variable"`   // or a term over variables
	Unit       string  `json:"unit,omitempty"`
	Operator   string  `json:"operator"`
	Threshold  float64 `json:"threshold"`
	Value      float64 `json:"value"`
	// Distance is threshold − value: what the value would have to gain to reach
	// the threshold.
	Distance float64 `json:"distance"`
	Holds    bool    `json:"holds"`
}

// Explain says what Classify would decide now, and why. It changes nothing.
func (s *Set) Explain(id thermocline.FunctionID, u thermocline.Usage, now time.Time) Explanation {
	v, ns := valuesOf(&u, now), now.UnixNano()
	current, since := -1, ns
	sh := &s.shards[hashFunction(id)%shardCount]
	sh.mu.Lock()
	if m := sh.members[id]; m != nil {
		current, since = m.fleet, m.since
	}
	sh.mu.Unlock()
	if to := s.decide(current, since, &v, ns); to != current {
		current, since = to, ns
	}

	f := &s.fleets[current]
	x := Explanation{
		Function: id.String(), Account: id.Account, Name: id.Name, Version: id.Version,
		Fleet: f.Name, Dispatch: f.Dispatch, Since: time.Unix(0, since).UTC(),
		Usage:       make(map[string]float64, varCount),
		Expressions: []ExpressionState{}, Criteria: []Criterion{}, Changes: []string{},
	}
	for i := range variables {
		x.Usage[variables[i].Name] = v[i]
	}
	if !u.Last.IsZero() {
		last := u.Last.UTC()
		x.Last = &last
	}
	if until := since + int64(f.Dwell); current < len(s.fleets)-1 && until > ns {
		t := time.Unix(0, until).UTC()
		x.MayLeave = &t
	}
	for i := range s.fleets {
		x.expression(s.fleets[i].Name, "enter", s.fleets[i].enter, &v)
		x.expression(s.fleets[i].Name, "stay", s.fleets[i].stay, &v)
	}
	s.changes(&x, current, &v)
	return x
}

// expression adds an expression and its criteria.
func (x *Explanation) expression(fleet, name string, e *expression, v *values) {
	if e == nil {
		return
	}
	state := ExpressionState{Fleet: fleet, Expression: name, Text: e.text}
	holds, err := e.evaluate(v)
	state.Holds = holds
	if err != nil {
		state.Error = err.Error()
	}
	x.Expressions = append(x.Expressions, state)
	if e.tree != nil {
		e.tree.eachComparison(func(n *node) {
			if c, ok := n.criterion(v); ok {
				c.Fleet, c.Expression = fleet, name
				x.Criteria = append(x.Criteria, c)
			}
		})
	}
}

// changes adds what would move the function: what brings it into an earlier
// fleet, and what makes it leave its own.
func (s *Set) changes(x *Explanation, current int, v *values) {
	for i := range current {
		f := &s.fleets[i]
		if f.enter.tree == nil {
			x.Changes = append(x.Changes, fmt.Sprintf("enters %s when %s", f.Name, oneLine(f.enter.text)))
			continue
		}
		for _, w := range f.enter.tree.ways(v, true) {
			x.Changes = append(x.Changes, fmt.Sprintf("enters %s when %s", f.Name, w.sentence(v)))
		}
	}
	if current == len(s.fleets)-1 {
		return
	}
	f := &s.fleets[current]
	var parts []*node
	for _, e := range []*expression{f.enter, f.stay} {
		if e == nil {
			continue
		}
		if e.tree == nil {
			x.Changes = append(x.Changes, fmt.Sprintf("leaves %s when neither enter nor stay holds", f.Name))
			return
		}
		parts = append(parts, e.tree)
	}
	after := ""
	if x.MayLeave != nil {
		after = ", not before " + x.MayLeave.Format(time.RFC3339)
	}
	for _, w := range (&node{op: opOr, args: parts}).ways(v, false) {
		if len(w) == 0 { // only the dwell keeps it
			x.Changes = append(x.Changes, fmt.Sprintf("leaves %s when the dwell ends%s", f.Name, after))
			continue
		}
		x.Changes = append(x.Changes, fmt.Sprintf("leaves %s when %s%s", f.Name, w.sentence(v), after))
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func number(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
