package dispatch_test

import (
	"fmt"
	"testing"

	"thermocline"
	"thermocline/dispatch"
)

func TestPartitionOfIsStable(t *testing.T) {
	// Stored events wait in these partitions: the numbers may never change.
	for _, tt := range []struct {
		account, name string
		want          int
	}{
		{"000000000000", "", 36},
		{"123456789012", "hello", 42},
		{"123456789012", "world", 36},
	} {
		if got := dispatch.PartitionOf(tt.account, tt.name); got != tt.want {
			t.Errorf("PartitionOf(%q, %q) = %d, want %d", tt.account, tt.name, got, tt.want)
		}
	}
}

func TestPartitionOfSpreads(t *testing.T) {
	var counts [dispatch.Partitions]int
	const n = 64_000
	for i := range n {
		counts[dispatch.PartitionOf("123456789012", fmt.Sprintf("f%d", i))]++
	}
	for p, c := range counts {
		if mean := n / dispatch.Partitions; c < mean*8/10 || c > mean*12/10 {
			t.Errorf("partition %d has %d of %d functions", p, c, n)
		}
	}
}

func TestLessees(t *testing.T) {
	manager := func(id string) thermocline.ManagerInfo {
		return thermocline.ManagerInfo{ID: id, Fleet: "low"}
	}
	draining := manager("d")
	draining.Draining = true
	other := manager("x")
	other.Fleet = "high"

	if got := dispatch.Lessees([]thermocline.ManagerInfo{draining, other}, "low"); got != [dispatch.Partitions]string{} {
		t.Errorf("lessees without a live manager: %v", got)
	}

	three := dispatch.Lessees([]thermocline.ManagerInfo{manager("a"), manager("b"), manager("c"), draining, other}, "low")
	again := dispatch.Lessees([]thermocline.ManagerInfo{other, manager("c"), draining, manager("b"), manager("a")}, "low")
	if three != again {
		t.Error("lessees depend on the order of the managers")
	}
	counts := map[string]int{}
	for _, id := range three {
		counts[id]++
	}
	for _, id := range []string{"a", "b", "c"} {
		if counts[id] < 10 {
			t.Errorf("manager %s leases only %d partitions: %v", id, counts[id], counts)
		}
	}
	if len(counts) != 3 {
		t.Errorf("lessees are %v, want a, b and c", counts)
	}

	two := dispatch.Lessees([]thermocline.ManagerInfo{manager("a"), manager("c")}, "low")
	for p := range three {
		if three[p] != "b" && two[p] != three[p] {
			t.Errorf("partition %d moved from %s to %s although only b left", p, three[p], two[p])
		}
	}
}
