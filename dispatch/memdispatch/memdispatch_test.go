package memdispatch_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"thermocline/dispatch"
	"thermocline/dispatch/dispatchtest"
	"thermocline/dispatch/memdispatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	dispatchtest.Suite(t, open, synctest.Test)
}

func open(t *testing.T, c dispatchtest.Config) dispatchtest.Bed {
	bus := memdispatch.New(memdispatch.Options{
		Retry: c.Retry, StartWithin: c.StartWithin, MaxInFlightBytes: c.MaxInFlightBytes, MaxEvents: c.MaxEvents,
	})
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	return dispatchtest.Bed{
		Client: bus,
		Serve: func(h dispatch.Handler) dispatchtest.Node {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			done := make(chan struct{})
			served.Go(func() {
				defer close(done)
				if err := bus.Serve(ctx, h); err != nil {
					t.Error(err)
				}
			})
			return dispatchtest.Node{
				Stop:  func() { cancel(); <-done },
				Crash: func() { bus.Crash(h.Info().ID) },
			}
		},
	}
}
