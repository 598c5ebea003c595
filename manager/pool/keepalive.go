package pool

import (
	"math"
	"time"

	"thermocline"
)

// The hybrid histogram policy (Shahrad et al., Serverless in the Wild, USENIX
// ATC '20): idle times in bins of a minute over four hours. It is used when it
// is representative, that is when it holds enough, most of it lies in bounds,
// and the counts of its bins vary enough (CV ≥ 2) to show a pattern.
const (
	binWidth   = time.Minute
	binCount   = 240
	minIdles   = 10
	minCV      = 2
	keepShare  = 0.99
	keepMargin = 1.1
)

// histogram counts idle times. When a bin is full all are halved, so that the
// old counts for less than the new.
type histogram struct {
	bins    [binCount]uint8
	beyond  uint8 // longer than four hours
	highest int16 // no bin above it holds anything
}

func (h *histogram) add(idle time.Duration) {
	at := &h.beyond
	if i := int(idle / binWidth); i < binCount {
		at = &h.bins[max(0, i)]
		h.highest = max(h.highest, int16(i))
	}
	if *at == math.MaxUint8 {
		for i := range h.bins {
			h.bins[i] /= 2
		}
		h.beyond /= 2
	}
	*at++
}

// keep returns how long a sandbox has to be kept so that nearly all of the
// idle times end before, and whether the histogram is representative.
func (h *histogram) keep() (time.Duration, bool) {
	var n, squares float64
	used := h.bins[:h.highest+1]
	for _, c := range used {
		n += float64(c)
		squares += float64(c) * float64(c)
	}
	if n < minIdles || n < float64(h.beyond) {
		return 0, false
	}
	mean := n / binCount
	if variance := squares/binCount - mean*mean; variance < minCV*minCV*mean*mean {
		return 0, false
	}
	want := keepShare * n
	for i, c := range used {
		if want -= float64(c); want <= 0 {
			return time.Duration(float64(i+1) * keepMargin * float64(binWidth)), true
		}
	}
	return 0, false
}

// arrive notes the beginning of an invocation: the time since the last end is
// an idle time if nothing of the function has run since.
func (f *function) arrive(now int64) {
	if f.lastEnd == 0 || f.busy > 0 {
		return
	}
	if f.idles == nil {
		f.idles = &histogram{}
	}
	f.idles.add(time.Duration(now - f.lastEnd))
	f.lastEnd = 0 // a second attempt to find a sandbox is no second arrival
}

// keepAlive returns how long an idle sandbox of a function is kept: until the
// 99th percentile of the function's idle times and a tenth more, where these
// are known well; else the fixed time.
func (p *Pool) keepAlive(f *function) time.Duration {
	if p.c.Fixed || f.idles == nil {
		return p.c.KeepAlive
	}
	keep, ok := f.idles.keep()
	if !ok {
		return p.c.KeepAlive
	}
	return min(max(keep, p.c.KeepAliveMin), p.c.KeepAliveMax)
}

// KeepAlive returns how long a sandbox of a function would be kept idle now.
func (p *Pool) KeepAlive(id thermocline.FunctionID) time.Duration {
	if f := p.functions[id]; f != nil {
		return p.keepAlive(f)
	}
	return p.c.KeepAlive
}
