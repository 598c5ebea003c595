package host

import (
	"context"
	"errors"
	"path"

	"thermocline"
)

// Recover removes the sandboxes and slices of a dead predecessor: what is on
// record in the state directory, and nothing else. Errors: KindConflict when
// the predecessor lives, and then nothing was touched; KindInternal when
// something could not be removed, after the rest was.
func (p *Provider) Recover(ctx context.Context) error {
	records, readErr := p.readRecords()
	for _, r := range records {
		if r.Maker.PID != p.self.PID && r.Maker.lives() {
			return thermocline.Errorf(thermocline.KindConflict,
				"Another Thermocline with the node id %s runs on this machine (process %d); stop it, or give this one another node id.",
				p.node, r.Maker.PID)
		}
	}
	errs := []error{readErr, p.removeUnfinished(), p.starter.Recover(ctx)}
	for _, r := range records {
		if err := p.reap(ctx, r); err != nil {
			errs = append(errs, err)
			continue
		}
		p.log.Info("removed an instance of a dead process", "instance", r.ID, "manager", r.Owner)
	}
	if err := errors.Join(errs...); err != nil {
		return thermocline.WithCause(thermocline.KindInternal, err, "What an earlier process left could not be removed entirely")
	}
	return nil
}

// holds reports whether the instance is a living one of ours.
func (p *Provider) holds(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.slices[id]
	return ok
}

func (p *Provider) reap(ctx context.Context, r record) error {
	if err := p.tree.Remove(ctx, r.Cgroup); err != nil {
		return err
	}
	if err := p.removeRecord(r.ID); err != nil {
		return err
	}
	// The predecessor may have been configured with another parent, which was
	// its own as ours is ours.
	if parent := path.Dir(r.Cgroup); parent != p.parent {
		return p.tree.RemoveEmpty(parent)
	}
	return nil
}
