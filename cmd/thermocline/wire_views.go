package main

import (
	"context"

	"thermocline"
	"thermocline/frontend"
)

// runtimes shows the interpreters to the frontend.
type runtimes struct{ n *node }

var _ frontend.Runtimes = (*runtimes)(nil)

func (r *runtimes) Check(ctx context.Context, runtime string) error {
	return r.n.finder.Check(ctx, runtime)
}

func (r *runtimes) List(ctx context.Context) ([]frontend.Runtime, error) {
	set, err := r.n.finder.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	var list []frontend.Runtime
	for _, l := range set.List() {
		list = append(list, frontend.Runtime{
			Name: l.Runtime, Available: l.Available, Version: l.Version,
			Path: l.Path, Source: string(l.Source), Missing: l.Missing,
		})
	}
	return list, nil
}

// statuses shows the managers: this node's with their insides, the others as
// they announce themselves.
type statuses struct{ n *node }

var _ frontend.Managers = (*statuses)(nil)

func (s *statuses) Status(context.Context) ([]thermocline.ManagerStatus, error) {
	inside := map[string]thermocline.ManagerStatus{}
	for _, m := range s.n.managers {
		st := m.Status()
		inside[st.ID] = st
	}
	var list []thermocline.ManagerStatus
	for _, info := range s.n.client.Managers() {
		st := inside[info.ID]
		partitions := info.Partitions
		if st.ID == "" {
			st.ManagerInfo = info
		}
		st.Partitions = partitions
		list = append(list, st)
	}
	return list, nil
}
