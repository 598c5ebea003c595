package main

import (
	"context"
	"log/slog"

	"thermocline"
	"thermocline/frontend"
	"thermocline/manager"
	"thermocline/store"
)

// bounded is a manager whose events count towards the concurrency of their
// account and function, as synchronous invocations do where they come in. One
// that finds no place goes back to its queue, which brings it again after a
// back-off.
type bounded struct {
	*manager.Manager
	concurrency *frontend.Concurrency
	functions   store.Functions
	log         *slog.Logger
}

// Handle is Manager's with a place taken around it.
func (b *bounded) Handle(ctx context.Context, inv *thermocline.Invocation, accepted func() error) (*thermocline.Result, error) {
	if inv.Type != thermocline.Event {
		return b.Manager.Handle(ctx, inv, accepted)
	}
	leave, err := b.concurrency.Enter(ctx, inv.Function)
	if thermocline.KindOf(err) == thermocline.KindNotFound && err != nil {
		// The memory may be behind the store; the store is not.
		latest := inv.Function
		latest.Version = thermocline.Latest
		if _, err = b.functions.Fresh(ctx, latest); err == nil {
			leave, err = b.concurrency.Enter(ctx, inv.Function)
		} else if thermocline.KindOf(err) == thermocline.KindNotFound {
			// Nothing could ever run it: the function was deleted.
			b.log.Warn("event of a function that is gone thrown away", "function", inv.Function.String(), "request_id", inv.RequestID)
			return &thermocline.Result{RequestID: inv.RequestID}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	defer leave()
	return b.Manager.Handle(ctx, inv, accepted)
}
