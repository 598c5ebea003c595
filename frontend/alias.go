package frontend

import (
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"thermocline"
)

const (
	aliasPattern    = `(?!^[0-9]+$)([a-zA-Z0-9-_]+)`
	weightKeys      = "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]"
	weightValues    = "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"
	targetPattern   = `(\$LATEST|[0-9]+)`
	maxAliasName    = 128
	maxTargetLength = 1024
)

var targetRE = regexp.MustCompile(`^(?:` + targetPattern + `)$`)

// alias is a name for a version of a function, or for two that share its
// invocations. Aliases are kept with the function's $LATEST: they change and
// go with it.
type alias struct {
	FunctionVersion string
	Description     string
	Revision        string
	Weights         map[string]float64 `json:",omitempty"` // one at most
}

// aliasesOf returns the aliases of a function, given its $LATEST.
func aliasesOf(latest *thermocline.Function) map[string]alias {
	var m map[string]alias
	getExtra(latest, extraAliases, &m)
	return m
}

// pick returns the version that an invocation of the alias runs; random is
// uniform in [0, 1).
func (a alias) pick(random float64) string {
	for version, weight := range a.Weights {
		if random < weight {
			return version
		}
	}
	return a.FunctionVersion
}

func (a alias) refersTo(version string) bool {
	_, also := a.Weights[version]
	return also || a.FunctionVersion == version
}

// aliasRequest is CreateAlias's and UpdateAlias's.
type aliasRequest struct {
	Name            string
	FunctionVersion *string
	Description     *string
	RevisionId      string
	RoutingConfig   *struct {
		AdditionalVersionWeights map[string]*float64
	}
}

type routingConfig struct {
	AdditionalVersionWeights map[string]float64
}

type aliasAnswer struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RoutingConfig   *routingConfig `json:",omitempty"`
	RevisionId      string
}

func (q *request) aliasAnswer(r ref, name string, a alias) aliasAnswer {
	answer := aliasAnswer{
		AliasArn: q.arn(ref{name: r.name, qualifier: name}), Name: name, FunctionVersion: a.FunctionVersion,
		Description: a.Description, RevisionId: a.Revision,
	}
	if len(a.Weights) > 0 {
		answer.RoutingConfig = &routingConfig{a.Weights}
	}
	return answer
}

// check adds the constraints that the request violates.
func (in *aliasRequest) check(p *problems) {
	if in.FunctionVersion != nil {
		p.length("functionVersion", *in.FunctionVersion, 1, maxTargetLength)
		p.pattern("functionVersion", *in.FunctionVersion, targetRE, targetPattern)
	}
	if in.Description != nil {
		p.length("description", *in.Description, 0, 256)
	}
	if in.RoutingConfig == nil {
		return
	}
	weights := in.RoutingConfig.AdditionalVersionWeights
	for _, version := range slices.Sorted(maps.Keys(weights)) {
		weight := weights[version]
		if !isVersion(version) {
			p.add("routingConfig.additionalVersionWeights", weightsText(weights), weightKeys)
		}
		if weight == nil || *weight < 0 || *weight > 1 {
			p.add("routingConfig.additionalVersionWeights", weightsText(weights), weightValues)
		}
	}
}

// weightsText is how AWS prints the map.
func weightsText(weights map[string]*float64) string {
	text := "{"
	for i, version := range slices.Sorted(maps.Keys(weights)) {
		if i > 0 {
			text += ", "
		}
		value := "null"
		if w := weights[version]; w != nil {
			value = strconv.FormatFloat(*w, 'f', -1, 64)
			if *w == float64(int64(*w)) {
				value += ".0"
			}
		}
		text += version + "=" + value
	}
	return text + "}"
}

// apply changes a to what was given and checks that its versions exist.
func (q *request) applyAlias(r ref, in *aliasRequest, a *alias) error {
	set(&a.FunctionVersion, in.FunctionVersion)
	set(&a.Description, in.Description)
	if in.RoutingConfig != nil {
		a.Weights = nil
		if len(in.RoutingConfig.AdditionalVersionWeights) > 1 {
			return invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
		}
		for version, weight := range in.RoutingConfig.AdditionalVersionWeights {
			a.Weights = map[string]float64{version: *weight}
		}
	}
	for version := range a.Weights {
		switch {
		case version == a.FunctionVersion:
			return invalid("Invalid function version %s. Function version %s is already included in routing configuration.", version, version)
		case a.FunctionVersion == thermocline.Latest:
			return &apiError{errorShape{http.StatusBadRequest, "InvalidParameterValueException", formMessage},
				"$LATEST is not supported for an alias pointing to more than 1 version"}
		}
		if _, err := q.find(ref{name: r.name, qualifier: version}); err != nil {
			return err
		}
	}
	if a.FunctionVersion == thermocline.Latest {
		return nil
	}
	_, err := q.find(ref{name: r.name, qualifier: a.FunctionVersion})
	return err
}

// createAlias is CreateAlias.
func (q *request) createAlias() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	var in aliasRequest
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	p.aliasName(in.Name)
	if in.FunctionVersion == nil {
		p.null("functionVersion")
	}
	in.check(&p)
	if err := p.err(); err != nil {
		return err
	}
	if _, err := q.latest(r); isKind(err, thermocline.KindNotFound) {
		return notFound(q.arn(ref{name: r.name, qualifier: *in.FunctionVersion}))
	} else if err != nil {
		return err
	}
	a := alias{Revision: uuid.NewString()}
	if err := q.applyAlias(r, &in, &a); err != nil {
		return err
	}
	err = q.changeAliases(r, func(all map[string]alias) error {
		if _, ok := all[in.Name]; ok {
			return thermocline.Errorf(thermocline.KindConflict, "Alias already exists: %s", q.arn(ref{name: r.name, qualifier: in.Name}))
		}
		if len(all) >= maxAliases {
			return invalid("A function can have no more than %d aliases here.", maxAliases)
		}
		all[in.Name] = a
		return nil
	})
	if err != nil {
		return err
	}
	return q.reply(http.StatusCreated, q.aliasAnswer(r, in.Name, a))
}

func (p *problems) aliasName(name string) {
	p.length("name", name, 1, maxAliasName)
	if isVersion(name) || !isPlainName(name) {
		p.add("name", name, patternConstraint(aliasPattern))
	}
}

// changeAliases changes the aliases of a function; they are no part of its
// configuration and change no revision of it.
func (q *request) changeAliases(r ref, change func(all map[string]alias) error) error {
	_, err := q.updateLatest(r, func(f *thermocline.Function) error {
		all := aliasesOf(f)
		if all == nil {
			all = make(map[string]alias)
		}
		if err := change(all); err != nil {
			return err
		}
		return setExtra(f, extraAliases, all)
	})
	return err
}

// getAlias is GetAlias.
func (q *request) getAlias() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	latest, err := q.latest(r)
	if err != nil {
		return err
	}
	name := q.path[1]
	a, ok := aliasesOf(latest)[name]
	if !ok {
		return thermocline.Errorf(thermocline.KindNotFound, "Cannot find alias arn: %s", q.arn(ref{name: r.name, qualifier: name}))
	}
	return q.reply(http.StatusOK, q.aliasAnswer(r, name, a))
}

// updateAlias is UpdateAlias.
func (q *request) updateAlias() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	name := q.path[1]
	var in aliasRequest
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	in.check(&p)
	if err := p.err(); err != nil {
		return err
	}
	for {
		a, err := q.changeAlias(r, name, &in)
		if errors.Is(err, errChanged) {
			continue // somebody else was faster
		}
		if err != nil {
			return err
		}
		return q.reply(http.StatusOK, q.aliasAnswer(r, name, a))
	}
}

var errChanged = errors.New("the alias was changed meanwhile")

// changeAlias reads the alias, checks the change, and stores it if the alias
// is still the same.
func (q *request) changeAlias(r ref, name string, in *aliasRequest) (alias, error) {
	latest, err := q.latest(r)
	if err != nil {
		return alias{}, err
	}
	a, ok := aliasesOf(latest)[name]
	if !ok {
		return alias{}, q.errNoAlias(r, name)
	}
	if in.RevisionId != "" && in.RevisionId != a.Revision {
		return alias{}, errRevision()
	}
	before := a.Revision
	if err := q.applyAlias(r, in, &a); err != nil {
		return alias{}, err
	}
	a.Revision = uuid.NewString()
	return a, q.changeAliases(r, func(all map[string]alias) error {
		switch now, ok := all[name]; {
		case !ok:
			return q.errNoAlias(r, name)
		case now.Revision != before:
			return errChanged
		}
		all[name] = a
		return nil
	})
}

func (q *request) errNoAlias(r ref, name string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "Alias not found: %s", q.arn(ref{name: r.name, qualifier: name}))
}

// deleteAlias is DeleteAlias; AWS answers 204 for one that is not there.
func (q *request) deleteAlias() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	err = q.changeAliases(r, func(all map[string]alias) error {
		if _, ok := all[q.path[1]]; !ok {
			return errSettled
		}
		delete(all, q.path[1])
		return nil
	})
	if err != nil && !errors.Is(err, errSettled) {
		return err
	}
	return q.replyEmpty(http.StatusNoContent)
}

// listAliases is ListAliases.
func (q *request) listAliases() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	most, err := q.maxItems(maxPage)
	if err != nil {
		return err
	}
	after, _, err := readMarker(q.query.Get("Marker"))
	if err != nil {
		return err
	}
	latest, err := q.latest(r)
	if err != nil {
		return err
	}
	answer := struct {
		Aliases    []aliasAnswer
		NextMarker string `json:",omitempty"`
	}{Aliases: []aliasAnswer{}}
	version := q.query.Get("FunctionVersion")
	all := aliasesOf(latest)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name <= after || version != "" && !all[name].refersTo(version) {
			continue
		}
		if len(answer.Aliases) == most {
			answer.NextMarker = makeMarker(answer.Aliases[most-1].Name, 0)
			break
		}
		answer.Aliases = append(answer.Aliases, q.aliasAnswer(r, name, all[name]))
	}
	return q.reply(http.StatusOK, answer)
}
