package frontend

import (
	"regexp"
	"strings"

	"thermocline"
)

// The constraints on names as AWS words them.
const (
	createNamePattern = `(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`
	namePattern       = `(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`
	qualifierPattern  = `\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`

	maxCreateName = 140
	maxName       = 256
	maxPlainName  = 64
	maxQualifier  = 128
)

var (
	createNameRE = regexp.MustCompile(`^(?:` + createNamePattern + `)$`)
	nameRE       = regexp.MustCompile(`^(?:` + namePattern + `)$`)
	qualifierRE  = regexp.MustCompile(`^(?:` + qualifierPattern + `)$`)
)

// The groups of both name patterns.
const (
	groupRegion  = 3
	groupAccount = 9
	groupName    = 11
	groupQual    = 13
)

// ref is a function as a caller names it.
type ref struct {
	name      string
	qualifier string // "" when none was given
	region    string // "" when not named
	account   string // "" when not named
}

// parseRef parses a name, a partial ARN or an ARN against a pattern of names.
func parseRef(s string, pattern *regexp.Regexp) (ref, bool) {
	if isPlainName(s) {
		return ref{name: s}, true
	}
	m := pattern.FindStringSubmatch(s)
	if m == nil {
		return ref{}, false
	}
	return ref{
		name:      m[groupName],
		qualifier: m[groupQual],
		region:    strings.TrimSuffix(m[groupRegion], ":"),
		account:   strings.TrimSuffix(m[groupAccount], ":"),
	}, true
}

// isPlainName spares nearly all requests the regular expression.
func isPlainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

// function reads the function that the request's path and query name, and
// checks that it is one of this region and of the caller's account.
func (q *request) function() (ref, error) {
	return q.functionNamed(q.path[0], q.query.Get("Qualifier"), q.query.Has("Qualifier"))
}

func (q *request) functionNamed(name, qualifier string, qualified bool) (ref, error) {
	var p problems
	if qualified {
		p.length("qualifier", qualifier, 1, maxQualifier)
		p.pattern("qualifier", qualifier, qualifierRE, qualifierPattern)
	}
	p.length("functionName", name, 1, maxName)
	r, ok := parseRef(name, nameRE)
	if !ok {
		p.add("functionName", name, patternConstraint(namePattern))
	}
	if err := p.err(); err != nil {
		return ref{}, err
	}
	if qualified {
		if r.qualifier != "" && r.qualifier != qualifier {
			return ref{}, invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		r.qualifier = qualifier
	}
	return r, q.mayName(r)
}

// unqualified is function for the operations on a whole function.
func (q *request) unqualified() (ref, error) {
	r, err := q.function()
	if err == nil && r.qualifier != "" {
		err = invalid("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.")
	}
	return r, err
}

func (q *request) mayName(r ref) error {
	if r.region != "" && r.region != q.region.name {
		return thermocline.Errorf(thermocline.KindNotFound, "Functions from '%s' are not reachable in this region ('%s')", r.region, q.region.name)
	}
	if r.account != "" && r.account != q.identity.Account {
		return q.denied("resource-based")
	}
	return nil
}

// arn is how q's answer names r: with a qualifier when the caller gave one.
func (q *request) arn(r ref) string {
	return q.region.arn(q.identity.Account, r.name, r.qualifier)
}

// region is a name in ARNs. There is one set of functions: the ARNs of an
// answer have the region that its request was signed for.
type region struct {
	name      string
	partition string
	prefix    string // "arn:aws:lambda:<region>:"
}

func newRegion(name string) region {
	partition := partitionOf(name)
	return region{name, partition, "arn:" + partition + ":lambda:" + name + ":"}
}

func (r region) arn(account, name, qualifier string) string {
	arn := r.prefix + account + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// partitionOf is AWS's partition of a region.
func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

func isVersion(qualifier string) bool {
	for i := range len(qualifier) {
		if qualifier[i] < '0' || qualifier[i] > '9' {
			return false
		}
	}
	return qualifier != ""
}
