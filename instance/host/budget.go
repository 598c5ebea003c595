package host

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"thermocline"
	"thermocline/instance/host/cgroup"
)

// ledger shares the node's memory between all managers, in MB.
type ledger struct {
	mu          sync.Mutex
	total, used int
}

// take reserves memory, or returns an error of KindRefused.
func (l *ledger) take(mb int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if mb > l.total-l.used {
		return thermocline.Errorf(thermocline.KindRefused, "No room: %d MB are wanted, %d of %d MB are free.", mb, l.total-l.used, l.total)
	}
	l.used += mb
	return nil
}

func (l *ledger) give(mb int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used -= mb
}

func (l *ledger) read() (total, free int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total, l.total - l.used
}

// defaultBudget is three quarters of the memory that this process may use, in
// MB. The rest is for Thermocline itself, the sandboxes' overhead and the
// machine's other work.
func defaultBudget(tree *cgroup.Tree) (int, error) {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	bytes, err := physicalMemory(string(raw))
	if err != nil {
		return 0, err
	}
	if limit, ok := tree.OwnMemoryLimit(processMembership()); ok {
		bytes = min(bytes, limit)
	}
	return int(bytes/4*3) >> 20, nil
}

// physicalMemory reads MemTotal from the content of /proc/meminfo, in bytes.
func physicalMemory(meminfo string) (int64, error) {
	for line := range strings.Lines(meminfo) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kb); n == 1 {
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemTotal")
}
