package rig

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Figures are what a server has, on the host and in its process.
type Figures struct {
	Sandboxes   int // control groups of sandboxes
	Instances   int // control groups of instances
	Processes   int // in those groups
	Children    int // processes whose parent is the server, zombies too
	Mounts      int // below its state directory, in its mount namespace and the host's
	Loops       int // loop devices with a file of its own
	Namespaces  int // mount and network namespaces that its descriptors hold
	States      int // files and directories in its state directories
	Descriptors int
	Goroutines  int
	HeapMB      float64 // after garbage collection
	RSSMB       float64 // after memory was given back
}

// Figures reads them. The server must run with --debug-listen.
func (s *Server) Figures(node string) (Figures, error) {
	f := Figures{}
	for _, root := range []string{"/sys/fs/cgroup/memory", "/sys/fs/cgroup"} {
		f.Instances += directories(filepath.Join(root, "thermocline-"+node, "*"))
		f.Sandboxes += directories(filepath.Join(root, "thermocline-"+node, "*", "*"))
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return f, err
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // ended
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[1] == strconv.Itoa(s.Pid()) {
			f.Children++
		}
		if groups, err := os.ReadFile(filepath.Join(filepath.Dir(name), "cgroup")); err == nil && strings.Contains(string(groups), "thermocline-"+node) {
			f.Processes++
		}
	}
	if err := s.descriptors(&f, node); err != nil {
		return f, err
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, b := range backing {
		if name, err := os.ReadFile(b); err == nil && strings.HasPrefix(string(name), s.Data) {
			f.Loops++
		}
	}
	for _, dir := range []string{filepath.Join("/run/thermocline", node), filepath.Join(s.Data, "scratch"), filepath.Join(s.Data, "instances")} {
		_ = filepath.WalkDir(dir, func(string, os.DirEntry, error) error { f.States++; return nil })
	}
	return f, s.inside(&f)
}

func directories(pattern string) int {
	n := 0
	all, _ := filepath.Glob(pattern) // the pattern is well-formed
	for _, one := range all {
		if info, err := os.Stat(one); err == nil && info.IsDir() {
			n++
		}
	}
	return n
}

// descriptors counts those of the server, what they hold, and the mounts in the
// mount namespace among them.
func (s *Server) descriptors(f *Figures, node string) error {
	dir := fmt.Sprintf("/proc/%d/fd", s.Pid())
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	f.Descriptors = len(all)
	f.Mounts = mountsOf("/proc/self/mountinfo", node)
	seen := map[string]bool{}
	for _, d := range all {
		target, err := os.Readlink(filepath.Join(dir, d.Name()))
		if err != nil || seen[target] {
			continue
		}
		seen[target] = true
		switch {
		case strings.HasPrefix(target, "net:["):
			f.Namespaces++
		case strings.HasPrefix(target, "mnt:["):
			f.Namespaces++
			n, err := mountsWithin(filepath.Join(dir, d.Name()), node)
			if err != nil {
				return err
			}
			f.Mounts += n
		}
	}
	return nil
}

func mountsOf(table, node string) int {
	raw, err := os.ReadFile(table)
	if err != nil {
		return 0
	}
	n := 0
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "/run/thermocline/"+node) {
			n++
		}
	}
	return n
}

// mountsWithin counts mounts in another mount namespace, on a thread that ends
// with it.
func mountsWithin(namespace, node string) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		ns, err := os.Open(namespace)
		if err != nil {
			done <- result{0, err}
			return
		}
		defer ns.Close()
		if err = unix.Unshare(unix.CLONE_FS); err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
		}
		if err != nil {
			done <- result{0, fmt.Errorf("enter the server's mount namespace: %w", err)}
			return
		}
		done <- result{mountsOf("/proc/thread-self/mountinfo", node), nil}
	}()
	r := <-done
	return r.n, r.err
}

var debugEndpoint = regexp.MustCompile(`http://[^/]+/debug/`)

// inside asks the process itself.
func (s *Server) inside(f *Figures) error {
	endpoint := debugEndpoint.FindString(s.Log(1 << 20))
	if s.debug == "" {
		s.debug = endpoint
	}
	r, err := http.Get(s.debug + "figures?gc=1")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var in struct {
		Goroutines int    `json:"goroutines"`
		HeapBytes  uint64 `json:"heap_bytes"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return err
	}
	f.Goroutines, f.HeapMB = in.Goroutines, float64(in.HeapBytes)/(1<<20)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			if err != nil {
				return err
			}
			f.RSSMB = n / 1024
		}
	}
	return nil
}

// Left lists what a server that has ended left on the host.
func Left(node string) []string {
	var left []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/thermocline-" + node + "*", "/sys/fs/cgroup/thermocline-" + node + "*", "/run/thermocline/" + node + "/*"} {
		all, _ := filepath.Glob(pattern) // the pattern is well-formed
		left = append(left, all...)
	}
	if n := mountsOf("/proc/self/mountinfo", node); n > 0 {
		left = append(left, fmt.Sprint(n, " mounts"))
	}
	return left
}
