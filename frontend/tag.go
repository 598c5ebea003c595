package frontend

import (
	"maps"
	"net/http"
	"regexp"
	"strings"

	"thermocline"
)

const resourcePattern = `arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`

var resourceRE = regexp.MustCompile(`^(?:` + resourcePattern + `)$`)

// resources that can have tags on AWS and do not exist here, as AWS says it.
var noSuchResource = map[string]string{
	"layer":                "Layer not found: ",
	"code-signing-config":  "Code signing config not found: ",
	"event-source-mapping": "Event source mapping not found: ",
	"capacity-provider":    "Capacity provider not found: ",
}

// tagged reads the function that a request on tags names. write is whether it
// is to be changed.
func (q *request) tagged() (ref, error) {
	arn := q.path[0]
	var p problems
	p.pattern("resource", arn, resourceRE, resourcePattern)
	if err := p.err(); err != nil {
		return ref{}, err
	}
	kind := strings.SplitN(arn, ":", 7)[5]
	if text, ok := noSuchResource[kind]; ok {
		return ref{}, thermocline.Errorf(thermocline.KindNotFound, "%s%s", text, arn)
	}
	r, ok := parseRef(arn, createNameRE)
	if !ok {
		return ref{}, notFound(arn)
	}
	if err := q.mayName(r); err != nil {
		return ref{}, err
	}
	if r.qualifier != "" {
		return ref{}, invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return r, nil
}

// listTags is ListTags.
func (q *request) listTags() error {
	r, err := q.tagged()
	if err != nil {
		return err
	}
	f, err := q.latest(r)
	if err != nil {
		return err
	}
	answer := struct{ Tags map[string]string }{map[string]string{}}
	getExtra(f, extraTags, &answer.Tags)
	return q.reply(http.StatusOK, answer)
}

// tagResource is TagResource.
func (q *request) tagResource() error {
	r, err := q.tagged()
	if err != nil {
		return err
	}
	var in struct{ Tags map[string]string }
	if err := q.decode(&in); err != nil {
		return err
	}
	if in.Tags == nil {
		var p problems
		p.null("tags")
		return p.err()
	}
	return q.changeTags(r, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

// untagResource is UntagResource.
func (q *request) untagResource() error {
	r, err := q.tagged()
	if err != nil {
		return err
	}
	keys := q.query["tagKeys"]
	if len(keys) == 0 {
		var p problems
		p.null("tagKeys")
		return p.err()
	}
	return q.changeTags(r, func(tags map[string]string) {
		for _, k := range keys {
			delete(tags, k)
		}
	})
}

func (q *request) changeTags(r ref, change func(tags map[string]string)) error {
	_, err := q.updateLatest(r, func(f *thermocline.Function) error {
		tags := make(map[string]string)
		getExtra(f, extraTags, &tags)
		change(tags)
		if len(tags) > maxTags {
			return invalid("The number of tags exceeds the limit of %d.", maxTags)
		}
		if len(tags) == 0 {
			return setExtra(f, extraTags, nil)
		}
		return setExtra(f, extraTags, tags)
	})
	if err != nil {
		return err
	}
	return q.replyEmpty(http.StatusNoContent)
}
