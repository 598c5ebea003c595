package dispatch

import "thermocline"

// PartitionOf returns the partition, 0 to Partitions-1, of a function with
// all its versions: FNV-1a (64 bits) of account, a zero byte and name, mixed
// by MurmurHash3's finaliser, modulo Partitions. The result is part of the
// stored format (events wait in it) and never changes.
func PartitionOf(account, name string) int {
	h := hashByte(hashString(fnvOffset, account), 0)
	return int(mix(hashString(h, name)) % Partitions)
}

// Lessees returns for each partition of the fleet the manager that leases it,
// "" when the fleet has none: of the managers that are not draining the one
// with the highest hash of partition and id (rendezvous hashing). Everybody
// who sees the same managers computes the same lessees; a manager that comes
// or goes moves only the partitions that it gets or had.
func Lessees(managers []thermocline.ManagerInfo, fleet string) [Partitions]string {
	var lessees [Partitions]string
	var best [Partitions]uint64
	for i := range managers {
		m := &managers[i]
		if m.Fleet != fleet || m.Draining || m.ID == "" {
			continue
		}
		id := hashString(fnvOffset, m.ID)
		for p := range lessees {
			weight := mix(hashByte(id, byte(p)))
			if lessees[p] == "" || weight > best[p] || weight == best[p] && m.ID > lessees[p] {
				lessees[p], best[p] = m.ID, weight
			}
		}
	}
	return lessees
}

// The parameters of 64-bit FNV-1a (draft-eastlake-fnv).
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func hashString(h uint64, s string) uint64 {
	for i := 0; i < len(s); i++ {
		h = hashByte(h, s[i])
	}
	return h
}

func hashByte(h uint64, b byte) uint64 { return (h ^ uint64(b)) * fnvPrime }

// mix spreads every bit of h over all of it (MurmurHash3's 64-bit finaliser);
// FNV alone leaves the high bits of short strings alike.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
