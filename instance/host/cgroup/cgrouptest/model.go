package cgrouptest

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"thermocline/instance/host/cgroup"
)

// Model is a file system of control groups. It is safe for concurrent use.
type Model struct {
	mu     sync.Mutex
	groups map[string]*group // by path
	fails  map[string]error  // Mkdir and Write of a path, to play a fault
}

// group is one group of one hierarchy.
type group struct {
	files   map[string]string
	procs   map[string]bool
	unified bool
	// stubborn groups keep their processes that many times when killed.
	stubborn int
	root     bool
}

var _ cgroup.Files = (*Model)(nil)

// NewUnified returns version 2 mounted at root with these controllers, of which
// the root has delegated none.
func NewUnified(root string, controllers ...string) *Model {
	m := &Model{groups: map[string]*group{}, fails: map[string]error{}}
	m.groups[root] = &group{
		files: map[string]string{"cgroup.controllers": strings.Join(controllers, " "), "cgroup.subtree_control": ""},
		procs: map[string]bool{}, unified: true, root: true,
	}
	return m
}

// NewHybrid returns version 1 with these hierarchies below root, and version 2
// without controllers at root/unified.
func NewHybrid(root string, hierarchies ...string) *Model {
	m := &Model{groups: map[string]*group{}, fails: map[string]error{}}
	for _, h := range append(hierarchies, "systemd") {
		m.groups[path.Join(root, h)] = &group{files: filesV1(h), procs: map[string]bool{}, root: true}
	}
	m.groups[path.Join(root, "unified")] = &group{
		files: map[string]string{"cgroup.controllers": "", "cgroup.subtree_control": ""},
		procs: map[string]bool{}, unified: true, root: true,
	}
	return m
}

func filesV1(hierarchy string) map[string]string {
	files := map[string]string{}
	for _, c := range strings.Split(hierarchy, ",") {
		switch c {
		case "memory":
			files["memory.limit_in_bytes"] = "9223372036854771712"
			files["memory.memsw.limit_in_bytes"] = "9223372036854771712"
			files["memory.use_hierarchy"] = "0"
		case "cpu":
			files["cpu.shares"], files["cpu.cfs_quota_us"], files["cpu.cfs_period_us"] = "1024", "-1", "100000"
		case "freezer":
			files["freezer.state"] = "THAWED"
		}
	}
	return files
}

// filesV2 are those of a new group whose parent delegates these controllers.
func filesV2(delegated string) map[string]string {
	files := map[string]string{
		"cgroup.controllers": delegated, "cgroup.subtree_control": "", "cgroup.kill": "", "cgroup.freeze": "0",
	}
	for _, c := range strings.Fields(delegated) {
		switch c {
		case "memory":
			files["memory.max"], files["memory.swap.max"] = "max", "max"
		case "cpu":
			files["cpu.weight"], files["cpu.max"] = "100", "max 100000"
		case "pids":
			files["pids.max"] = "max"
		}
	}
	return files
}

// Put puts a process into the group at dir, which is made if need be with its
// parents, as an OCI runtime does it.
func (m *Model) Put(dir, pid string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.groups[path.Dir(dir)] == nil && m.groups[dir] == nil {
		m.makeParents(path.Dir(dir))
	}
	if m.groups[dir] == nil {
		_ = m.mkdir(dir) // its parent is there
	}
	m.groups[dir].procs[pid] = true
}

func (m *Model) makeParents(dir string) {
	if m.groups[path.Dir(dir)] == nil && path.Dir(dir) != dir {
		m.makeParents(path.Dir(dir))
	}
	_ = m.mkdir(dir)
}

// Stubborn makes the processes of a group survive the next n kills, as those
// that sleep in the kernel do.
func (m *Model) Stubborn(dir string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[dir].stubborn = n
}

// Fail makes the next operations on a path fail; nil ends it.
func (m *Model) Fail(name string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails[name] = err
}

// Groups returns the paths of all groups below the roots, sorted.
func (m *Model) Groups() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.groups)) {
		if !m.groups[name].root {
			names = append(names, name)
		}
	}
	return names
}

// Mkdir makes a group with the files that the kernel would give it.
func (m *Model) Mkdir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mkdir(dir)
}

func (m *Model) mkdir(dir string) error {
	parent := m.groups[path.Dir(dir)]
	switch {
	case m.fails[dir] != nil:
		return pathError("mkdir", dir, m.fails[dir])
	case m.groups[dir] != nil:
		return pathError("mkdir", dir, unix.EEXIST)
	case parent == nil:
		return pathError("mkdir", dir, unix.ENOENT)
	case parent.unified:
		m.groups[dir] = &group{files: filesV2(parent.files["cgroup.subtree_control"]), procs: map[string]bool{}, unified: true}
	default:
		files := map[string]string{}
		for _, name := range []string{"memory", "cpu", "freezer"} {
			for f := range filesV1(name) {
				if _, has := parent.files[f]; has {
					files[f] = filesV1(name)[f]
				}
			}
		}
		m.groups[dir] = &group{files: files, procs: map[string]bool{}}
	}
	return nil
}

// Rmdir removes a group that nothing is in or below.
func (m *Model) Rmdir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[dir]
	switch {
	case g == nil:
		return pathError("rmdir", dir, unix.ENOENT)
	case g.root || len(g.procs) > 0 || len(m.below(dir)) > 0:
		return pathError("rmdir", dir, unix.EBUSY)
	}
	delete(m.groups, dir)
	return nil
}

// below returns the paths of the groups anywhere below dir.
func (m *Model) below(dir string) []string {
	var names []string
	for name := range m.groups {
		if strings.HasPrefix(name, dir+"/") {
			names = append(names, name)
		}
	}
	return names
}

// Read reads a group's file.
func (m *Model) Read(file string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.groups[path.Dir(file)]
	if g == nil {
		return nil, pathError("open", file, unix.ENOENT)
	}
	if path.Base(file) == "cgroup.procs" {
		return []byte(strings.Join(slices.Sorted(maps.Keys(g.procs)), "\n")), nil
	}
	content, ok := g.files[path.Base(file)]
	if !ok {
		return nil, pathError("open", file, unix.ENOENT)
	}
	return []byte(content), nil
}

// Write writes a group's file with the kernel's rules.
func (m *Model) Write(file, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, name := path.Split(file)
	g := m.groups[path.Clean(dir)]
	if m.fails[file] != nil {
		return pathError("write", file, m.fails[file])
	}
	if g == nil {
		return pathError("open", file, unix.ENOENT)
	}
	if _, ok := g.files[name]; !ok {
		return pathError("open", file, unix.ENOENT)
	}
	switch name {
	case "cgroup.subtree_control":
		return m.delegate(path.Clean(dir), g, strings.TrimPrefix(value, "+"))
	case "cgroup.kill":
		m.kill(path.Clean(dir))
		return nil
	}
	g.files[name] = value
	return nil
}

// delegate passes a controller on to the groups below.
func (m *Model) delegate(dir string, g *group, controller string) error {
	file := path.Join(dir, "cgroup.subtree_control")
	if !slices.Contains(strings.Fields(g.files["cgroup.controllers"]), controller) {
		return pathError("write", file, unix.ENOENT)
	}
	if len(g.procs) > 0 && !g.root {
		return pathError("write", file, unix.EBUSY)
	}
	has := strings.Fields(g.files["cgroup.subtree_control"])
	if slices.Contains(has, controller) {
		return nil
	}
	g.files["cgroup.subtree_control"] = strings.Join(append(has, controller), " ")
	for _, name := range m.below(dir) {
		if path.Dir(name) != dir {
			continue
		}
		for f, content := range filesV2(g.files["cgroup.subtree_control"]) {
			if _, has := m.groups[name].files[f]; !has || f == "cgroup.controllers" {
				m.groups[name].files[f] = content
			}
		}
	}
	return nil
}

// kill ends the processes in and below dir, but for stubborn groups.
func (m *Model) kill(dir string) {
	for _, name := range append(m.below(dir), dir) {
		g := m.groups[name]
		if g.stubborn > 0 {
			g.stubborn--
			continue
		}
		clear(g.procs)
	}
}

// Dirs returns the names of the groups and mount points in dir.
func (m *Model) Dirs(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[string]bool{}
	for _, name := range m.below(dir) {
		first, _, _ := strings.Cut(strings.TrimPrefix(name, dir+"/"), "/")
		names[first] = true
	}
	if len(names) == 0 && m.groups[dir] == nil {
		return nil, pathError("open", dir, unix.ENOENT)
	}
	return slices.Sorted(maps.Keys(names)), nil
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }
