package frontend

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"thermocline"
)

// problems collects the constraints that a request violates; AWS reports all
// of them at once, in these words.
type problems []string

func (p *problems) add(field, value, constraint string) {
	*p = append(*p, "Value '"+value+"' at '"+field+"' failed to satisfy constraint: "+constraint)
}

func (p *problems) null(field string) {
	*p = append(*p, "Value null at '"+field+"' failed to satisfy constraint: Member must not be null")
}

func (p *problems) length(field, value string, least, most int) {
	switch n := utf8.RuneCountInString(value); {
	case n < least:
		p.add(field, value, "Member must have length greater than or equal to "+strconv.Itoa(least))
	case n > most:
		p.add(field, value, "Member must have length less than or equal to "+strconv.Itoa(most))
	}
}

func (p *problems) pattern(field, value string, re *regexp.Regexp, pattern string) {
	if !re.MatchString(value) {
		p.add(field, value, patternConstraint(pattern))
	}
}

func (p *problems) between(field string, value, least, most int) {
	switch {
	case value < least:
		p.add(field, strconv.Itoa(value), "Member must have value greater than or equal to "+strconv.Itoa(least))
	case value > most:
		p.add(field, strconv.Itoa(value), "Member must have value less than or equal to "+strconv.Itoa(most))
	}
}

func (p *problems) oneOf(field, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	p.add(field, value, "Member must satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

func (p problems) err() error {
	switch len(p) {
	case 0:
		return nil
	case 1:
		return thermocline.Errorf(thermocline.KindValidation, "1 validation error detected: %s", p[0])
	}
	return thermocline.Errorf(thermocline.KindValidation, "%d validation errors detected: %s", len(p), strings.Join(p, "; "))
}

func patternConstraint(pattern string) string {
	return "Member must satisfy regular expression pattern: " + pattern
}

// maxItems reads the parameter that bounds a list.
func (q *request) maxItems(most int) (int, error) {
	s := q.query.Get("MaxItems")
	if s == "" {
		return most, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, thermocline.Errorf(thermocline.KindInvalidContent, "MaxItems must be a number, not %q", s)
	}
	var p problems
	p.between("maxItems", n, 1, 10_000)
	return min(n, most), p.err()
}

// listText renders a list as AWS's messages do.
func listText[T any](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
