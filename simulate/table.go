package simulate

import "math"

// Mean returns the results of each policy as one, the mean of its seeds, in the
// order in which policies come. Counts are means too.
func Mean(results []*Result) []*Result {
	var means []*Result
	groups := map[string][]*Result{}
	for _, r := range results {
		if groups[r.Policy] == nil {
			means = append(means, &Result{Policy: r.Policy, Arrivals: r.Arrivals, Instances: r.Instances})
		}
		groups[r.Policy] = append(groups[r.Policy], r)
	}
	for _, m := range means {
		n := float64(len(groups[m.Policy]))
		for _, r := range groups[m.Policy] {
			from, to := r.figures(), m.figures()
			for i := range from {
				*to[i] += *from[i] / n
			}
			for i, v := range r.counts() {
				*m.counts()[i] += int64(math.Round(float64(*v) / n))
			}
			m.MaxInstances = max(m.MaxInstances, r.MaxInstances)
		}
	}
	return means
}

func (r *Result) figures() []*float64 {
	return []*float64{
		&r.KeepAlive, &r.MeasuredS, &r.ColdRatio, &r.ColdRatioRare, &r.FnColdP50, &r.FnColdP75,
		&r.StartDelayMean, &r.StartDelayP50, &r.StartDelayP99, &r.StartDelayP999, &r.StartDelayMax, &r.StartDelayMeanRare,
		&r.SlowdownP50, &r.SlowdownP99, &r.SlowdownP999, &r.IdleGBs, &r.IdleGBPeak, &r.InstanceHours, &r.ChurnPerS,
		&r.ClassChanges, &r.MessagesPerRequest,
	}
}

func (r *Result) counts() []*int64 {
	return []*int64{
		&r.Requests, &r.Invocations, &r.InvocationsRare, &r.Cold, &r.ColdRare, &r.Pooled, &r.Full, &r.Failed, &r.Retried,
		&r.StateBytes, &r.Refusals,
	}
}
