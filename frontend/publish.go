package frontend

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"thermocline"
)

type publishRequest struct {
	CodeSha256  string
	Description *string
	RevisionId  string
}

// publishVersion is PublishVersion.
func (q *request) publishVersion() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	var in publishRequest
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	if in.Description != nil {
		p.length("description", *in.Description, 0, 256)
	}
	if err := p.err(); err != nil {
		return err
	}
	latest, err := q.latest(r)
	if err != nil {
		return err
	}
	if err := q.mayUpdate(latest, in.RevisionId); err != nil {
		return err
	}
	if in.CodeSha256 != "" && in.CodeSha256 != latest.CodeSHA256 {
		return invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", in.CodeSha256, latest.CodeSHA256)
	}
	v, err := q.publish(latest.FunctionID, in)
	if err != nil {
		return err
	}
	return q.reply(http.StatusCreated, q.shown(v, v.Version))
}

var errUnchanged = errors.New("unchanged since the last publish")

// publish makes a version of $LATEST, or returns the last one when nothing has
// changed since.
func (q *request) publish(id thermocline.FunctionID, in publishRequest) (*thermocline.Function, error) {
	for {
		v, err := q.tryPublish(id, in)
		// Whoever took a larger number may have been faster to store it.
		if !isKind(err, thermocline.KindConflict) {
			return v, err
		}
	}
}

func (q *request) tryPublish(id thermocline.FunctionID, in publishRequest) (*thermocline.Function, error) {
	ctx, s := q.r.Context(), q.server
	var last publication
	var version *thermocline.Function
	// The number is taken first. Should the version then not be stored, the
	// number is lost and nothing else.
	latest, err := s.opts.Store.Update(ctx, id, func(f *thermocline.Function) error {
		if in.RevisionId != "" && in.RevisionId != f.Revision {
			return errRevision()
		}
		last = publication{}
		now := digest(f)
		if getExtra(f, extraPublished, &last) && last.Digest == now {
			return errUnchanged
		}
		description := ""
		if in.Description != nil {
			description = *in.Description
		}
		version = s.newVersion(f, last.Last+1, description)
		f.Revision = uuid.NewString()
		return setExtra(f, extraPublished, publication{Last: last.Last + 1, Digest: now})
	})
	if errors.Is(err, errUnchanged) {
		id.Version = strconv.Itoa(last.Last)
		v, err := s.opts.Store.Fresh(ctx, id)
		if !isKind(err, thermocline.KindNotFound) {
			return v, err
		}
		return q.republish(id, in) // the version was deleted
	}
	if err != nil {
		return nil, err
	}
	if unsettled(latest) {
		s.schedule(latest) // its revision is another one than was scheduled
	}
	return version, q.storeVersion(version)
}

// republish publishes although nothing has changed.
func (q *request) republish(id thermocline.FunctionID, in publishRequest) (*thermocline.Function, error) {
	id.Version = thermocline.Latest
	_, err := q.server.opts.Store.Update(q.r.Context(), id, func(f *thermocline.Function) error {
		var p publication
		getExtra(f, extraPublished, &p)
		p.Digest = ""
		return setExtra(f, extraPublished, p)
	})
	if err != nil {
		return nil, err
	}
	return q.publish(id, in)
}

func (q *request) storeVersion(v *thermocline.Function) error {
	if err := q.server.opts.Store.Publish(q.r.Context(), v); err != nil {
		return err
	}
	if unsettled(v) {
		q.server.schedule(v)
	}
	return nil
}

// listVersions is ListVersionsByFunction.
func (q *request) listVersions() error {
	r, err := q.unqualified()
	if err != nil {
		return err
	}
	most, err := q.maxItems(maxPage)
	if err != nil {
		return err
	}
	_, after, err := readMarker(q.query.Get("Marker"))
	if err != nil {
		return err
	}
	versions, err := q.server.opts.Store.Versions(q.r.Context(), q.identity.Account, r.name)
	if isKind(err, thermocline.KindNotFound) || err == nil && len(versions) == 0 {
		return notFound(q.arn(r))
	}
	if err != nil {
		return err
	}
	answer := struct {
		Versions   []*configuration
		NextMarker string `json:",omitempty"`
	}{Versions: []*configuration{}}
	for _, v := range versions {
		if versionNumber(v) < after {
			continue
		}
		if len(answer.Versions) == most {
			answer.NextMarker = makeMarker(r.name, versionNumber(v))
			break
		}
		answer.Versions = append(answer.Versions, q.listed(v, v.Version))
	}
	return q.reply(http.StatusOK, answer)
}
