package simulate

// source is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
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

// below is uniform in 0 to n-1.
func (s *source) below(n int) int { return int((s.next() >> 32) * uint64(n) >> 32) }

// hash is FNV-1a, mixed: names that differ in their last byte are far apart.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}
