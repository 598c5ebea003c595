package frontend

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"thermocline"
)

const maxPage = 50 // functions or versions in one answer

// find reads the version that r means.
func (q *request) find(r ref) (*thermocline.Function, error) {
	id := thermocline.FunctionID{Account: q.identity.Account, Name: r.name, Version: thermocline.Latest}
	switch {
	case r.qualifier == "" || r.qualifier == thermocline.Latest:
	case isVersion(r.qualifier):
		id.Version = r.qualifier
	default:
		latest, err := q.get(id, r)
		if err != nil {
			return nil, err
		}
		a, ok := aliasesOf(latest)[r.qualifier]
		if !ok {
			return nil, notFound(q.arn(r))
		}
		id.Version = a.FunctionVersion
	}
	return q.get(id, r)
}

func (q *request) get(id thermocline.FunctionID, r ref) (*thermocline.Function, error) {
	f, err := q.server.opts.Store.Get(q.r.Context(), id)
	if isKind(err, thermocline.KindNotFound) {
		return nil, notFound(q.arn(r))
	}
	return f, err
}

// latest reads the function r as a whole.
func (q *request) latest(r ref) (*thermocline.Function, error) {
	return q.find(ref{name: r.name})
}

// getFunction is GetFunction.
func (q *request) getFunction() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	f, err := q.find(r)
	if err != nil {
		return err
	}
	latest := f
	if f.Version != thermocline.Latest {
		if latest, err = q.latest(r); err != nil {
			return err
		}
	}
	type code struct{ RepositoryType, Location string }
	type concurrency struct{ ReservedConcurrentExecutions int }
	var answer struct {
		Code          code
		Configuration *configuration
		Tags          map[string]string `json:",omitempty"`
		Concurrency   *concurrency      `json:",omitempty"`
	}
	answer.Code = code{"S3", q.location(f)}
	answer.Configuration = q.shown(f, r.qualifier)
	getExtra(latest, extraTags, &answer.Tags)
	if n := 0; getExtra(latest, extraConcurrency, &n) {
		answer.Concurrency = &concurrency{n}
	}
	return q.reply(http.StatusOK, answer)
}

// getFunctionConfiguration is GetFunctionConfiguration.
func (q *request) getFunctionConfiguration() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	f, err := q.find(r)
	if err != nil {
		return err
	}
	return q.reply(http.StatusOK, q.shown(f, r.qualifier))
}

// listFunctions is ListFunctions.
func (q *request) listFunctions() error {
	all := q.query.Has("FunctionVersion")
	if all {
		var p problems
		p.oneOf("functionVersion", q.query.Get("FunctionVersion"), "ALL")
		if err := p.err(); err != nil {
			return err
		}
	}
	most, err := q.maxItems(maxPage)
	if err != nil {
		return err
	}
	name, after, err := readMarker(q.query.Get("Marker"))
	if err != nil {
		return err
	}
	answer := struct {
		Functions  []*configuration
		NextMarker string `json:",omitempty"`
	}{Functions: []*configuration{}}
	if !all {
		page, next, err := q.server.opts.Store.List(q.r.Context(), q.identity.Account, name, most)
		if err != nil {
			return err
		}
		for _, f := range page {
			answer.Functions = append(answer.Functions, q.listed(f, ""))
		}
		if next != "" {
			answer.NextMarker = makeMarker(next, 0)
		}
		return q.reply(http.StatusOK, answer)
	}
	found, more, err := q.server.allVersions(q.r.Context(), q.identity.Account, name, after, most)
	if err != nil {
		return err
	}
	for _, f := range found {
		answer.Functions = append(answer.Functions, q.listed(f, f.Version))
	}
	if more {
		last := found[len(found)-1]
		answer.NextMarker = makeMarker(last.Name, versionNumber(last)+1)
	}
	return q.reply(http.StatusOK, answer)
}

var errEnough = errors.New("enough")

// allVersions lists all versions of all functions: first those of the function
// name from the version after on (none if after is 0), then of those behind it.
func (s *Server) allVersions(ctx context.Context, account, name string, after, most int) (found []*thermocline.Function, more bool, err error) {
	add := func(versions []*thermocline.Function, after int) error {
		for _, v := range versions {
			if versionNumber(v) < after {
				continue
			}
			if len(found) == most {
				more = true
				return errEnough
			}
			found = append(found, v)
		}
		return nil
	}
	if after > 0 {
		versions, err := s.opts.Store.Versions(ctx, account, name)
		if err != nil && !isKind(err, thermocline.KindNotFound) {
			return nil, false, err
		}
		if add(versions, after) != nil {
			return found, more, nil
		}
	}
	for {
		page, next, err := s.opts.Store.List(ctx, account, name, maxPage)
		if err != nil {
			return nil, false, err
		}
		for _, f := range page {
			versions, err := s.opts.Store.Versions(ctx, account, f.Name)
			if isKind(err, thermocline.KindNotFound) {
				continue
			}
			if err != nil {
				return nil, false, err
			}
			if add(versions, 0) != nil {
				return found, more, nil
			}
		}
		if next == "" {
			return found, false, nil
		}
		name = next
	}
}

// versionNumber orders versions: $LATEST is 0.
func versionNumber(f *thermocline.Function) int {
	n, _ := strconv.Atoi(f.Version)
	return n
}

// makeMarker makes an opaque marker of the last function listed and, where its
// versions are listed too, the first version that is not; 0 means none left.
func makeMarker(name string, version int) string {
	return base64.URLEncoding.EncodeToString([]byte(name + " " + strconv.Itoa(version)))
}

func readMarker(marker string) (name string, version int, err error) {
	if marker == "" {
		return "", 0, nil
	}
	raw, err := base64.URLEncoding.DecodeString(marker)
	name, number, ok := strings.Cut(string(raw), " ")
	version, numberErr := strconv.Atoi(number)
	if err != nil || !ok || numberErr != nil || version < 0 || !isPlainName(name) && !isVersion(name) {
		return "", 0, invalid("Invalid Marker: %s", marker)
	}
	return name, version, nil
}

// deleteFunction is DeleteFunction.
func (q *request) deleteFunction() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	id := thermocline.FunctionID{Account: q.identity.Account, Name: r.name}
	switch {
	case r.qualifier == "":
	case r.qualifier == thermocline.Latest:
		return invalid("$LATEST version cannot be deleted without deleting the function.")
	case !isVersion(r.qualifier):
		return invalid("Deletion of aliases is not currently supported.")
	default:
		id.Version = r.qualifier
		if err := q.mayDeleteVersion(r); err != nil {
			return err
		}
	}
	versions, err := q.server.opts.Store.Versions(q.r.Context(), id.Account, id.Name)
	if err != nil && !isKind(err, thermocline.KindNotFound) {
		return err
	}
	if err := q.server.opts.Store.Delete(q.r.Context(), id); err != nil {
		// AWS answers 204 for a version that is not there.
		if isKind(err, thermocline.KindNotFound) && id.Version == "" {
			return notFound(q.arn(r))
		}
		if !isKind(err, thermocline.KindNotFound) {
			return err
		}
	}
	for _, v := range versions {
		if id.Version == "" || id.Version == v.Version {
			q.server.opts.History.Forget(v.FunctionID)
			q.server.opts.Fleets.Forget(v.FunctionID)
		}
		if n := 0; id.Version == "" && getExtra(v, extraConcurrency, &n) {
			// What it had reserved is free again; if that cannot be summed up now,
			// the next scan does it.
			if sum, err := q.server.reservedBut(q.r.Context(), id.Account, id.Name); err == nil {
				q.server.concurrency.setReserved(id.Account, sum)
			}
		}
	}
	return q.replyEmpty(http.StatusNoContent)
}

// mayDeleteVersion refuses to delete a version that an alias points to.
func (q *request) mayDeleteVersion(r ref) error {
	latest, err := q.find(ref{name: r.name})
	if err != nil {
		return err
	}
	for name, a := range aliasesOf(latest) {
		if a.refersTo(r.qualifier) {
			return thermocline.Errorf(thermocline.KindConflict, "Version %s is referenced by the alias %s. Delete or update the alias first.", r.qualifier, name)
		}
	}
	return nil
}
