package fleet

import "thermocline"

// hashFunction and hashString are FNV-1a; mix is the finaliser of SplitMix64,
// which spreads every bit over all. Frontends and the simulator must agree on
// them, so they are fixed.
func hashFunction(id thermocline.FunctionID) uint64 {
	h := hashString(14695981039346656037, id.Account)
	h = hashString(h^'/', id.Name)
	return mix(hashString(h^'/', id.Version))
}

func hashString(h uint64, s string) uint64 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
