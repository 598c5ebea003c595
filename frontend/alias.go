package frontend

import (
	"thermocline"
)

// alias is a name for a version of a function, or for two that share its
// invocations. Aliases are kept with the function's $LATEST: they change and
// go with it.
type alias struct {
	FunctionVersion string
	Description     string
	Revision        string
	Weights         map[string]float64 `json:",omitempty"`
}

func (a alias) weights() map[string]float64 { return a.Weights }

// aliasesOf returns the aliases of a function, given its $LATEST.
func aliasesOf(latest *thermocline.Function) map[string]alias {
	var m map[string]alias
	getExtra(latest, extraAliases, &m)
	return m
}

// pick returns the version that an invocation of the alias runs; random is
// uniform in [0, 1).
func (a alias) pick(random float64) string {
	for version, weight := range a.Weights { // one at most
		if random < weight {
			return version
		}
	}
	return a.FunctionVersion
}
