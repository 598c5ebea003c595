package autoscale

import "time"

// buckets is the resolution of a window: the stable one has so many parts.
const buckets = 60

// window remembers a level that changes at moments: its mean and its peak over
// the last part of the time, in whole buckets. Its memory and the work of a
// change are fixed.
type window struct {
	width int64 // of a bucket, ns
	ring  [buckets + 1]bucket
	at    int64 // the number of the newest bucket, Unix ns / width
	level float64
	since int64 // level was counted up to here, Unix ns
	begun int64 // nothing is known from before, Unix ns
}

type bucket struct {
	area float64 // ∫ level dt, in level · ns
	peak float64
}

func newWindow(length time.Duration, now time.Time) window {
	w := window{width: max(1, int64(length)/buckets), since: now.UnixNano(), begun: now.UnixNano()}
	w.at = w.since / w.width
	return w
}

func (w *window) bucket(n int64) *bucket { return &w.ring[n%int64(len(w.ring))] }

// advance counts the level up to now. A clock that went back changes nothing.
func (w *window) advance(now int64) {
	to := now / w.width
	if to-w.at > int64(len(w.ring)) {
		// All that was is over: begin where the ring will still reach.
		w.at = to - int64(len(w.ring))
		w.since = max(w.since, w.at*w.width)
	}
	for w.at < to {
		end := (w.at + 1) * w.width
		w.bucket(w.at).area += w.level * float64(max(0, end-w.since))
		w.since = max(w.since, end)
		w.at++
		*w.bucket(w.at) = bucket{peak: w.level}
	}
	if now > w.since {
		w.bucket(w.at).area += w.level * float64(now-w.since)
		w.since = now
	}
}

// set changes the level.
func (w *window) set(level float64, now int64) {
	w.advance(now)
	w.level = level
	b := w.bucket(w.at)
	b.peak = max(b.peak, level)
}

// over returns mean and peak of the n newest buckets, of which the newest is
// yet to be filled, and of no time before the window began.
func (w *window) over(n int, now int64) (mean, peak float64) {
	w.advance(now)
	n = min(n, buckets)
	area := 0.0
	for i := range int64(n) {
		b := w.bucket(w.at - i)
		area += b.area
		peak = max(peak, b.peak)
	}
	from := max(w.begun, (w.at-int64(n)+1)*w.width)
	if w.since > from {
		mean = area / float64(w.since-from)
	}
	return mean, peak
}
