package cgroup

import (
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// OwnMemoryLimit returns the memory that a process may use by its control
// groups, in bytes: the smallest limit of its group and those above. ok is
// false when there is none. membership is the content of /proc/self/cgroup.
//
// In a container the path may be one that cannot be seen from inside; the
// group at the root, which can, then has the container's limit.
func (t *Tree) OwnMemoryLimit(membership string) (limit int64, ok bool) {
	h, file := t.hierarchies[0], "memory.max"
	if !t.unified {
		h, _ = t.of("memory")
		file = "memory.limit_in_bytes"
	}
	for p := path.Clean("/" + t.ownPath(membership)); ; p = path.Dir(p) {
		raw, err := t.files.Read(filepath.Join(h.dir, p, file))
		if n, e := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && e == nil && n > 0 {
			if !ok || n < limit {
				limit, ok = n, true
			}
		}
		if p == "/" {
			break
		}
	}
	// Version 1 says "none" by a number near the largest.
	if limit > 1<<60 {
		return 0, false
	}
	return limit, ok
}

// ownPath returns the memory group's path in the content of /proc/self/cgroup,
// whose lines are "4:memory:/path" and, for version 2, "0::/path".
func (t *Tree) ownPath(membership string) string {
	for line := range strings.Lines(membership) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if t.unified && fields[0] == "0" && fields[1] == "" {
			return fields[2]
		}
		if !t.unified && slices.Contains(strings.Split(fields[1], ","), "memory") {
			return fields[2]
		}
	}
	return "/"
}
