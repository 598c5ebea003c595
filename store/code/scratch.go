package code

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"thermocline"
)

// MaxScratch is the largest program that a Scratch unpacks, in bytes: a
// program's directory is memory of the host.
const MaxScratch = 32 << 20

// Scratch unpacks the zips of programs that run once, each to a directory of
// its own that goes when it is released. Its methods are safe for concurrent
// use.
type Scratch struct {
	dir      string
	maxBytes int64

	mu   sync.Mutex // no I/O under it
	used int64
}

// NewScratch takes dir for itself: what a dead owner left in it is removed. It
// is meant to be in memory; all that is unpacked at once has at most maxBytes.
func NewScratch(dir string, maxBytes int64) (*Scratch, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("code: remove what a dead owner left: %w", err)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("code: make a directory: %w", err)
	}
	return &Scratch{dir: dir, maxBytes: maxBytes}, nil
}

// CheckProgram is Check for a program: it may also have no more than MaxScratch
// bytes.
func CheckProgram(data []byte) error {
	p, err := read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if n := p.size(); n > MaxScratch {
		return invalid("The code has %d bytes unpacked, more than %d: deploy it as a function", n, MaxScratch)
	}
	return Check(data)
}

// size is about what the plan's files take, by what the zip says of them;
// unpack holds them to it.
func (p *plan) size() int64 {
	total := int64(entryCost)
	for i := range p.entries {
		total += entryCost
		if p.entries[i].kind == file {
			total += int64(p.entries[i].zip.UncompressedSize64) // read bounds it
		}
	}
	return total
}

// Unpack unpacks a zip. The caller calls release, once or more, when it is
// done. Errors: KindInvalidParameter for what CheckProgram refuses,
// KindRefused when there is no room now.
func (s *Scratch) Unpack(ctx context.Context, zip []byte) (dir string, release func(), err error) {
	p, err := read(bytes.NewReader(zip), int64(len(zip)))
	if err != nil {
		return "", nil, err
	}
	n := p.size()
	if n > MaxScratch {
		return "", nil, invalid("The code has %d bytes unpacked, more than %d: deploy it as a function", n, MaxScratch)
	}
	if !s.take(n) {
		return "", nil, thermocline.Errorf(thermocline.KindRefused, "no room to unpack another program")
	}
	home, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		s.give(n)
		return "", nil, fmt.Errorf("code: make a directory: %w", err)
	}
	var once sync.Once
	release = func() {
		once.Do(func() {
			_ = os.RemoveAll(home) // the next start tries again
			s.give(n)
		})
	}
	dir = filepath.Join(home, taskName)
	if _, err = unpack(ctx, bytes.NewReader(zip), int64(len(zip)), dir); err != nil {
		release()
		return "", nil, err
	}
	return dir, release, nil
}

func (s *Scratch) take(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.maxBytes {
		return false
	}
	s.used += n
	return true
}

func (s *Scratch) give(n int64) {
	s.mu.Lock()
	s.used -= n
	s.mu.Unlock()
}

// Close removes the directory.
func (s *Scratch) Close() error { return os.RemoveAll(s.dir) }
