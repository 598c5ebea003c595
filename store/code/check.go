package code

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"thermocline"
)

// The limits of a package.
const (
	MaxUnzipped = 262_144_000 // bytes, as the Lambda API has it
	MaxEntries  = 100_000

	maxName    = 4095 // bytes of a path
	maxElement = 255  // bytes of one of its elements
	maxTarget  = 4095 // bytes of a symbolic link's target
)

// Messages of the Lambda API.
const (
	messageNotZip   = "Could not unzip uploaded file. Please check your file, then try to upload again."
	messageTooLarge = "Unzipped size must be smaller than 262144000 bytes"
)

// Check reports whether a zip may become the code of a function. It reads
// everything once and writes nothing. Errors are KindInvalidParameter.
func Check(data []byte) error {
	p, err := read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	left := int64(MaxUnzipped)
	for _, e := range p.entries {
		if e.kind != file {
			continue
		}
		n, err := e.copyTo(io.Discard, left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// kind tells the entries of a package apart.
type kind int

const (
	file kind = iota
	directory
	link
)

// entry is one that may be unpacked.
type entry struct {
	name   string // clean, relative, slashes
	kind   kind
	exec   bool
	target string // of a link
	zip    *zip.File
}

// plan is what unpacking a zip would do; parents come before their children.
type plan struct {
	entries []entry
}

// read makes the plan of a zip, or refuses it. It reads the directory of the
// zip and the targets of its links.
func read(r io.ReaderAt, size int64) (*plan, error) {
	if err := countHeaders(r, size); err != nil {
		return nil, err
	}
	zr, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, notZip(err)
	}
	if len(zr.File) > MaxEntries {
		return nil, invalid("The file has more than %d entries.", MaxEntries)
	}
	t := newTree(len(zr.File))
	var total uint64
	for _, f := range zr.File {
		total += f.UncompressedSize64 // wraps at no size that passes the next line
		if f.UncompressedSize64 >= MaxUnzipped || total >= MaxUnzipped {
			return nil, invalid(messageTooLarge)
		}
		e, err := entryOf(f)
		if err != nil {
			return nil, err
		}
		if err := t.add(e); err != nil {
			return nil, err
		}
	}
	if err := t.checkLinks(); err != nil {
		return nil, err
	}
	return &plan{entries: t.entries}, nil
}

// countHeaders refuses a file that would make archive/zip hold far more entries
// than are allowed: it reads them all before it compares any count. A nested
// archive may contain headers of its own, hence the room.
func countHeaders(r io.ReaderAt, size int64) error {
	signature := []byte("PK\x01\x02")
	if size <= int64(2*MaxEntries*len(signature)) {
		return nil
	}
	buf := make([]byte, 1<<20)
	carry, count := 0, 0
	for off := int64(0); off < size; {
		n, err := r.ReadAt(buf[carry:min(int64(len(buf)), int64(carry)+size-off)], off)
		if err != nil && err != io.EOF {
			return notZip(err)
		}
		if n == 0 {
			break
		}
		off += int64(n)
		n += carry
		if count += bytes.Count(buf[:n], signature); count > 2*MaxEntries {
			return invalid("The file has more than %d entries.", MaxEntries)
		}
		// Three bytes cannot hold a signature but may begin one.
		carry = copy(buf, buf[max(0, n-len(signature)+1):n])
	}
	return nil
}

func entryOf(f *zip.File) (entry, error) {
	e := entry{zip: f}
	name, err := cleanName(f.Name)
	if err != nil {
		return e, err
	}
	e.name = name
	mode := f.Mode()
	switch {
	case f.FileInfo().IsDir(): // also a name that ends in a slash
		e.kind = directory
	case mode&fs.ModeSymlink != 0:
		e.kind = link
		var b strings.Builder
		if _, err := e.copyTo(&b, maxTarget); err != nil {
			return e, err
		}
		e.target = b.String()
		if e.target == "" || strings.ContainsRune(e.target, 0) {
			return e, invalid("The symbolic link %q has no valid target.", printable(f.Name))
		}
	case mode.IsRegular():
		e.exec = mode&0o111 != 0
	default:
		return e, invalid("The entry %q is neither a file, a directory nor a symbolic link.", printable(f.Name))
	}
	return e, nil
}

// cleanName makes a name canonical, or refuses one that leaves the package.
// "." stands for the package itself.
func cleanName(name string) (string, error) {
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return "", invalid("An entry has no valid name.")
	case len(name) > maxName:
		return "", invalid("The name of an entry is longer than %d bytes.", maxName)
	case name[0] == '/':
		return "", invalid("The name of the entry %q is absolute.", printable(name))
	}
	for el := range strings.SplitSeq(name, "/") {
		if el == ".." {
			return "", invalid("The name of the entry %q leaves the package.", printable(name))
		}
		if len(el) > maxElement {
			return "", invalid("A part of the name of an entry is longer than %d bytes.", maxElement)
		}
	}
	return path.Clean(name), nil
}

// copyTo unpacks a file's content, at most limit bytes of it.
func (e *entry) copyTo(w io.Writer, limit int64) (int64, error) {
	if e.zip.Flags&1 != 0 {
		return 0, invalid("The entry %q is encrypted.", printable(e.zip.Name))
	}
	r, err := e.zip.Open()
	if err != nil {
		return 0, notZip(err)
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	var werr *writeError
	switch {
	case errors.As(err, &werr):
		return n, werr.err
	case err != nil:
		return n, notZip(err)
	case n > limit && e.kind == link:
		return n, invalid("The symbolic link %q has no valid target.", printable(e.zip.Name))
	case n > limit:
		return n, invalid(messageTooLarge)
	}
	return n, nil
}

// writeError is one of the receiving side, not of the zip.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

func invalid(format string, args ...any) error {
	return thermocline.Errorf(thermocline.KindInvalidParameter, format, args...)
}

func notZip(cause error) error {
	return thermocline.WithCause(thermocline.KindInvalidParameter, cause, messageNotZip)
}

// printable keeps messages short; %q keeps them printable.
func printable(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}
