package frontend

import (
	"net/http"

	"github.com/google/uuid"

	"thermocline"
)

func errRevision() error {
	return thermocline.Errorf(thermocline.KindPrecondition, "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
}

// mayUpdate checks a function's state and the revision that the caller knows.
func (q *request) mayUpdate(f *thermocline.Function, revision string) error {
	if err := q.mayChange(f); err != nil {
		return err
	}
	if revision != "" && revision != f.Revision {
		return errRevision()
	}
	return nil
}

// changed marks f as being updated.
func (q *request) changed(f *thermocline.Function) {
	f.LastUpdate = thermocline.UpdateInProgress
	f.Revision = uuid.NewString()
	f.LastModified = q.now
	f.Generation++
}

// updateLatest applies change to $LATEST.
func (q *request) updateLatest(r ref, change func(f *thermocline.Function) error) (*thermocline.Function, error) {
	id := thermocline.FunctionID{Account: q.identity.Account, Name: r.name, Version: thermocline.Latest}
	f, err := q.server.opts.Store.Update(q.r.Context(), id, change)
	if isKind(err, thermocline.KindNotFound) {
		return nil, notFound(q.arn(ref{name: r.name}))
	}
	return f, err
}

// updateFunctionConfiguration is UpdateFunctionConfiguration.
func (q *request) updateFunctionConfiguration() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	var in struct {
		settings
		RevisionId string
	}
	if err := q.decode(&in); err != nil {
		return err
	}
	var p problems
	in.settings.check(&p)
	if err := p.err(); err != nil {
		return err
	}
	if err := q.onlyLatest(r); err != nil {
		return err
	}
	if _, err := q.latest(r); err != nil {
		return err
	}
	if err := q.server.checkSettings(q.r.Context(), &in.settings); err != nil {
		return err
	}
	f, err := q.updateLatest(r, func(f *thermocline.Function) error {
		if err := q.mayUpdate(f, in.RevisionId); err != nil {
			return err
		}
		if err := in.settings.apply(f); err != nil {
			return err
		}
		q.changed(f)
		return nil
	})
	if err != nil {
		return err
	}
	q.server.schedule(f)
	return q.reply(http.StatusOK, q.shown(f, ""))
}

// onlyLatest refuses a qualifier: versions cannot be changed.
func (q *request) onlyLatest(r ref) error {
	if r.qualifier != "" && r.qualifier != thermocline.Latest {
		return invalid("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.")
	}
	return nil
}

// updateFunctionCode is UpdateFunctionCode.
func (q *request) updateFunctionCode() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	var in struct {
		functionCode
		Architectures []string
		DryRun        bool
		Publish       bool
		RevisionId    string
	}
	if err := q.decode(&in); err != nil {
		return err
	}
	q.body = nil
	var p problems
	p.architectures(in.Architectures)
	if err := p.err(); err != nil {
		return err
	}
	if err := q.onlyLatest(r); err != nil {
		return err
	}
	latest, err := q.latest(r)
	if err != nil {
		return err
	}
	if err := q.server.checkArchitecture(in.Architectures); err != nil {
		return err
	}
	if err := q.mayUpdate(latest, in.RevisionId); err != nil {
		return err
	}
	code, err := in.functionCode.packaged()
	if err != nil {
		return err
	}
	change := func(f *thermocline.Function) error {
		if err := q.mayUpdate(f, in.RevisionId); err != nil {
			return err
		}
		f.CodeSHA256, f.CodeSize = code.sha256, int64(len(code.zip))
		if len(in.Architectures) == 1 {
			f.Architecture = in.Architectures[0]
		}
		if !in.DryRun {
			q.changed(f)
		}
		return nil
	}
	if in.DryRun {
		f := latest.Clone()
		if err := change(f); err != nil {
			return err
		}
		return q.reply(http.StatusOK, q.shown(f, ""))
	}
	if err := q.server.opts.Store.Put(q.r.Context(), code.sha256, code.zip); err != nil {
		return err
	}
	f, err := q.updateLatest(r, change)
	if err != nil {
		return err
	}
	q.server.schedule(f)
	if !in.Publish {
		return q.reply(http.StatusOK, q.shown(f, ""))
	}
	version, err := q.publish(f.FunctionID, publishRequest{})
	if err != nil {
		return err
	}
	return q.reply(http.StatusOK, q.shown(version, version.Version))
}
