package hostile_test

import (
	"slices"
	"testing"
	"time"
)

const (
	neighbour = "neighbour"
	// window is how long the neighbour is measured before an attack, and about
	// how long during one.
	window = 1200 * time.Millisecond
	// tries is how often an attack may be measured until one try holds: the
	// machine has two processors and others use them.
	tries = 5
	// floor is the p99 below which twice means nothing: a few turns of the
	// kernel's scheduler, which on two processors hostile threads always cost.
	floor = 12 * time.Millisecond
	// samples are what a p99 is made of, at least.
	samples = 100
)

// latencies invokes the neighbour again and again until done is closed, and
// returns what each took.
func (w *world) latencies(t *testing.T, done <-chan time.Time) []time.Duration {
	t.Helper()
	var all []time.Duration
	for {
		began := time.Now()
		a, err := w.Invoke(t.Context(), neighbour, event{Do: "echo", Value: "well"})
		if err != nil || a.Failed || a.Payload != `"well"` {
			t.Errorf("the neighbour's answer is %+v, %v", a, err)
			return all
		}
		all = append(all, time.Since(began))
		select {
		case <-done:
			return all
		default:
		}
	}
}

func p99(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)*99/100]
}

// undisturbed runs an attack of about one window and compares the neighbour's
// p99 during it with that right before it. An attack that ends the try early
// is measured with what comes after it, too.
func (w *world) undisturbed(t *testing.T, attack func(t *testing.T)) {
	t.Helper()
	var before, during time.Duration
	for try := range tries {
		quiet := w.latencies(t, time.After(window))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			attack(t)
		}()
		time.Sleep(100 * time.Millisecond) // it goes on by then
		loud := w.latencies(t, time.After(window))
		<-ended
		if t.Failed() {
			return
		}
		before, during = p99(quiet), p99(loud)
		t.Logf("try %d: the neighbour's p99 is %v of %d before, %v of %d during", try+1,
			before.Round(10*time.Microsecond), len(quiet), during.Round(10*time.Microsecond), len(loud))
		if len(quiet) >= samples && len(loud) >= samples && during <= max(2*before, floor) {
			return
		}
	}
	t.Errorf("the neighbour's p99 goes from %v to %v", before, during)
}
