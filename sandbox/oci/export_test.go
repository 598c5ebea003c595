package oci

import (
	"context"
	"io"
	"os"
	"testing"

	"thermocline/sandbox"
)

// What the tests of pure parts see.
var (
	Environment     = environment
	BaseEnvironment = baseEnvironment
	Shares          = shares
	ValidID         = validID
)

// Hierarchy and Group are hierarchy and group.
type Hierarchy = hierarchy

func FindHierarchy(mountinfo io.Reader) (*Hierarchy, error) { return findHierarchy(mountinfo) }
func (h *hierarchy) Unified() string                        { return h.unified }
func (h *hierarchy) Mount(controller string) string         { return h.mounts[controller] }

type Group struct{ g group }

func NewGroup(h *Hierarchy, path string) Group   { return Group{group{h, path}} }
func NewUnified(root string) *Hierarchy          { return &hierarchy{unified: root} }
func (g Group) Dirs() []string                   { return g.g.dirs() }
func (g Group) Freeze(ctx context.Context) error { return g.g.freeze(ctx) }
func (g Group) Thaw(ctx context.Context) error   { return g.g.thaw(ctx) }
func (g Group) Usage() (int64, error)            { return g.g.usage() }
func (g Group) Peak() (int64, error)             { return g.g.peak() }
func (g Group) OOMKills() (int64, error)         { return g.g.oomKills() }
func (g Group) PIDs() ([]int, error)             { return g.g.pids() }
func (g Group) Remove() error                    { return g.g.remove() }

// CPUShares is the processor weight, as version 1 has it.
func (g Group) CPUShares(t testing.TB) uint64 {
	t.Helper()
	if g.g.h.unified != "" {
		return 0
	}
	n, err := readInt(g.g.file("cpu", "cpu.shares"))
	if err != nil {
		t.Fatal(err)
	}
	return uint64(n)
}

// Pipe is an output with one stream.
type Pipe struct {
	o *output
	s *stream
	W *os.File
}

func NewPipe(emit func(sandbox.Line)) (*Pipe, error) {
	o := newOutput(emit)
	s, w, err := o.connect(os.Getuid(), os.Getgid())
	if err != nil {
		return nil, err
	}
	s.run()
	return &Pipe{o, s, w}, nil
}

func (p *Pipe) SetRequest(id string) { p.o.setRequest(id) }
func (p *Pipe) Drain()               { p.s.drain() }
func (p *Pipe) Close()               { p.s.close() }
