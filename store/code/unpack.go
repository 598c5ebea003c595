package code

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Permissions of what is unpacked. Sandboxes run as other users and only read.
const (
	dirMode  = 0o755
	fileMode = 0o644
	execMode = 0o755

	// entryCost is what an entry takes on disk besides its content, about.
	entryCost = 4096
)

// unpack writes a zip below dir, which is made, and returns about how many
// bytes of disk it takes. What it has written when it fails stays.
func unpack(ctx context.Context, r io.ReaderAt, size int64, dir string) (int64, error) {
	p, err := read(r, size)
	if err != nil {
		return 0, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	// The root keeps every write below dir, whatever read has overlooked.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	left, total := int64(MaxUnzipped), int64(entryCost)
	for i := range p.entries {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := p.entries[i].unpack(root, left)
		if err != nil {
			return 0, err
		}
		left -= n
		total += n + entryCost
	}
	return total, os.Chmod(dir, dirMode)
}

func (e *entry) unpack(root *os.Root, left int64) (int64, error) {
	switch e.kind {
	case directory:
		if err := root.Mkdir(e.name, dirMode); err != nil {
			return 0, err
		}
		return 0, root.Chmod(e.name, dirMode) // the umask took part before
	case link:
		return 0, root.Symlink(e.target, e.name)
	}
	mode := os.FileMode(fileMode)
	if e.exec {
		mode = execMode
	}
	f, err := root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	n, err := e.copyTo(errorWriter{f}, left)
	if cerr := f.Chmod(mode); err == nil {
		err = cerr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return n, fmt.Errorf("unpack an entry: %w", err)
	}
	return n, nil
}

// errorWriter marks its errors, so that a full disk is not taken for a bad zip.
type errorWriter struct{ w io.Writer }

func (w errorWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		return n, &writeError{err}
	}
	return n, nil
}

var errClosed = errors.New("the cache of code is closed")
