package trace

import "math"

// source is a random source in one word (SplitMix64: Steele, Lea, Flood,
// OOPSLA 2014). Each function has one of its own for each minute, so that
// nothing depends on what others do; that many of a larger kind would take
// longer to seed than to use.
type source uint64

func (s *source) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	return mix(uint64(*s))
}

func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// float is uniform in [0, 1).
func (s *source) float() float64 { return float64(s.next()>>11) / (1 << 53) }

// exp is exponential with mean 1.
func (s *source) exp() float64 { return -math.Log1p(-s.float()) }

// normal is standard normal (Box, Muller 1958).
func (s *source) normal() float64 {
	return math.Sqrt(2*s.exp()) * math.Cos(2*math.Pi*s.float())
}

// gamma is of the given shape and of mean 1 (Marsaglia, Tsang 2000).
func (s *source) gamma(shape float64) float64 {
	boost := 1.0
	k := shape
	if k < 1 {
		boost = math.Pow(1-s.float(), 1/k)
		k++
	}
	d := k - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := s.normal()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-s.float()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v * boost / shape
		}
	}
}

// poisson is of the given mean.
func (s *source) poisson(mean float64) int {
	if mean > 500 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*s.normal())))
	}
	n := 0
	for t := s.exp(); t < mean; t += s.exp() {
		n++
	}
	return n
}

// seeded returns the source of one function in one minute; salt tells the
// purposes apart.
func seeded(seed, function, minute, salt uint64) source {
	return source(mix(mix(mix(seed+0x632be59bd9b4e019)^function) ^ minute<<8 ^ salt))
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
