package frontend

import (
	"context"
	"errors"
	"math/rand/v2"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/fleet"
)

// run carries a synchronous invocation all the way: it counts the start,
// lets the usage decide the fleet and the managers, dispatches, and counts the
// end. The caller's going away does not end it: the function finishes, and
// only then its place is free.
func (q *request) run(f *thermocline.Function, inv *thermocline.Invocation) (*thermocline.Result, error) {
	s := q.server
	start := q.now
	inv.StartBy = start.Add(s.opts.Limits.StartWithin)
	ctx, cancel := context.WithDeadline(context.WithoutCancel(q.r.Context()), inv.StartBy.Add(f.Timeout+platformTimeout))
	defer cancel()

	s.opts.History.Started(inv.Function, start)
	route := s.route(inv)
	result, err := s.opts.Dispatch.Invoke(ctx, route, inv)
	if err != nil && !mayHaveRun(err) {
		s.opts.History.Cancelled(inv.Function)
		return nil, err
	}
	end := s.opts.Now()
	duration := end.Sub(start)
	if err == nil {
		duration = result.Report.Duration + result.Report.Init
	}
	s.opts.History.Finished(inv.Function, duration, end)
	return result, err
}

// enqueue stores an event. Its end is not seen here, so that it counts towards
// the rates and not towards the durations.
func (q *request) enqueue(inv *thermocline.Invocation) error {
	s := q.server
	if err := s.opts.Writable(); err != nil {
		return err
	}
	s.opts.History.Started(inv.Function, q.now)
	s.opts.History.Cancelled(inv.Function)
	ctx, cancel := context.WithTimeout(q.r.Context(), storeTimeout)
	defer cancel()
	return s.opts.Dispatch.Enqueue(ctx, s.route(inv), inv)
}

// route decides the fleet and the managers, and notes the fleet.
func (s *Server) route(inv *thermocline.Invocation) dispatch.Route {
	usage := s.opts.History.Usage(inv.Function, inv.Received)
	decision := s.opts.Fleets.Classify(inv.Function, usage, s.opts.Pace.Policy(inv.Received))
	inv.Fleet = decision.Fleet
	config := s.opts.Fleets.Fleet(decision.Fleet)
	known := s.opts.Dispatch.Managers()
	managers := fleet.Choose(make([]string, 0, config.Alternatives+2), config, inv.Function, usage, known, rand.Uint64())
	return dispatch.Route{
		Fleet:     decision.Fleet,
		Mode:      dispatch.Mode(config.Dispatch),
		Partition: dispatch.PartitionOf(inv.Function.Account, inv.Function.Name),
		Managers:  fleet.Overflow(managers, config, known),
	}
}

// mayHaveRun tells the errors after which nothing ran from the others.
func mayHaveRun(err error) bool {
	var e *thermocline.Error
	if !errors.As(err, &e) {
		return true
	}
	switch e.Kind {
	case thermocline.KindThrottled, thermocline.KindUnavailable, thermocline.KindRefused, thermocline.KindExpired:
		return false
	}
	return true
}
