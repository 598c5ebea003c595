package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"thermocline"
	"thermocline/dispatch"
)

func TestRetryDecide(t *testing.T) {
	ok := &thermocline.Result{}
	failed := &thermocline.Result{FunctionError: "Unhandled"}
	refused := thermocline.Errorf(thermocline.KindRefused, "no room")
	for _, tt := range []struct {
		name     string
		attempt  int
		refusals int
		res      *thermocline.Result
		err      error
		want     dispatch.Verdict
		delay    time.Duration
	}{
		{"ran", 1, 0, ok, nil, dispatch.EventDone, 0},
		{"ran at last", 3, 9, ok, nil, dispatch.EventDone, 0},
		{"first failure", 1, 0, failed, nil, dispatch.EventAgain, time.Minute},
		{"attempt never counted", 0, 0, failed, nil, dispatch.EventAgain, time.Minute},
		{"second failure", 2, 7, failed, nil, dispatch.EventAgain, 2 * time.Minute},
		{"third failure", 3, 0, failed, nil, dispatch.EventGivenUp, 0},
		{"platform failure is an attempt", 1, 0, nil, errors.New("x"), dispatch.EventAgain, time.Minute},
		{"no function", 3, 0, nil, thermocline.Errorf(thermocline.KindNotFound, "x"), dispatch.EventGivenUp, 0},
		{"no result at all", 1, 0, nil, nil, dispatch.EventAgain, time.Minute},
		{"refused", 1, 0, nil, refused, dispatch.EventBack, time.Second},
		{"refused, wrapped", 3, 2, nil, fmt.Errorf("w: %w", refused), dispatch.EventBack, 4 * time.Second},
		{"refused for long", 1, 1 << 40, nil, refused, dispatch.EventBack, 5 * time.Minute},
		{"unavailable", 2, 0, nil, thermocline.Errorf(thermocline.KindUnavailable, "x"), dispatch.EventBack, time.Second},
		{"shutdown", 2, 5, nil, context.Canceled, dispatch.EventBack, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, delay := dispatch.Retry{}.Complete().Decide(tt.attempt, tt.refusals, tt.res, tt.err)
			if got != tt.want || delay != tt.delay {
				t.Errorf("got %v after %v, want %v after %v", got, delay, tt.want, tt.delay)
			}
		})
	}
}
