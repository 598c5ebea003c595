package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// gauges reads the files of a group that every invocation looks at. It keeps
// them open: to open and close one takes ten times as long as to read it. What
// is open does not keep the group from being removed. Not for concurrent use.
type gauges struct {
	group group
	open  map[string]int // file descriptors, by path
}

// peak is group.peak.
func (g *gauges) peak() (int64, error) {
	if g.group.h.unified == "" {
		return g.number("memory", "memory.max_usage_in_bytes")
	}
	n, err := g.number("memory", "memory.peak")
	if errors.Is(err, fs.ErrNotExist) { // before Linux 5.19
		return g.number("memory", "memory.current")
	}
	return n, err
}

// oomKills is group.oomKills.
func (g *gauges) oomKills() (int64, error) {
	if g.group.h.unified != "" {
		return g.key("memory", "memory.events", "oom_kill")
	}
	return g.key("memory", "memory.oom_control", "oom_kill")
}

// refusedForks is group.refusedForks.
func (g *gauges) refusedForks() (int64, error) { return g.key("pids", "pids.events", "max") }

// number reads a file that holds one number.
func (g *gauges) number(controller, name string) (int64, error) {
	var room [512]byte
	data, err := g.read(controller, name, room[:])
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// key reads a number from a file of "key value" lines, 0 if the key is not
// there.
func (g *gauges) key(controller, name, key string) (int64, error) {
	var room [512]byte
	data, err := g.read(controller, name, room[:])
	if err != nil {
		return 0, err
	}
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte{'\n'})
		if k, v, _ := bytes.Cut(line, []byte{' '}); string(k) == key {
			return strconv.ParseInt(string(v), 10, 64)
		}
	}
	return 0, nil
}

// read reads a file from its beginning. The files are smaller than room.
func (g *gauges) read(controller, name string, room []byte) ([]byte, error) {
	fd, ok := g.open[name]
	if !ok {
		var err error
		path := g.group.file(controller, name)
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		if g.open == nil {
			g.open = make(map[string]int)
		}
		g.open[name] = fd
	}
	for {
		n, err := unix.Pread(fd, room, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", name, err)
		default:
			return room[:n], nil
		}
	}
}

// close forgets the files: the group is no more, and one of its name may come.
func (g *gauges) close() {
	for name, fd := range g.open {
		_ = unix.Close(fd) // nothing was written
		delete(g.open, name)
	}
}
