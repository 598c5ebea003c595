package interpreter

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// limits bound what a package may unpack to.
type limits struct {
	bytes   int64
	entries int
}

// nodeLimits are far above what Node.js has (200 MB, 3,000 files).
var nodeLimits = limits{bytes: 1 << 30, entries: 50_000}

// leftOut are the parts of a Node.js package that no function needs: headers
// for compiling and manual pages.
var leftOut = []string{"include", "share"}

// unpack writes the regular files of an npm package (a gzipped tar whose
// entries lie under one directory) below dir. Anything else is refused: npm
// packs neither links nor devices, and never a path that leads out. Files
// become readable for all, because the users of sandboxes are others.
func unpack(ctx context.Context, packed io.Reader, dir string, l limits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return fmt.Errorf("the package is no gzip: %w", err)
	}
	// Counting what is decompressed bounds the headers and padding as well.
	bounded := &io.LimitedReader{R: plain, N: l.bytes}
	archive := tar.NewReader(bounded)
	for range l.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := archive.Next()
		switch {
		case bounded.N <= 0:
			return fmt.Errorf("the package unpacks to more than %d bytes", l.bytes)
		case errors.Is(err, io.EOF):
			return drain(plain)
		case err != nil:
			return fmt.Errorf("the package is no tar: %w", err)
		}
		if err := unpackEntry(root, header, archive); err != nil {
			if bounded.N <= 0 {
				return fmt.Errorf("the package unpacks to more than %d bytes", l.bytes)
			}
			return err
		}
	}
	return fmt.Errorf("the package has more than %d entries", l.entries)
}

// drain reads to the end of the gzip stream, where its checksum is. What
// follows the end of a tar is padding.
func drain(r io.Reader) error {
	const padding = 1 << 20
	n, err := io.Copy(io.Discard, io.LimitReader(r, padding+1))
	if err != nil {
		return fmt.Errorf("the package is damaged: %w", err)
	}
	if n > padding {
		return errors.New("the package goes on after its end")
	}
	return nil
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := entryName(header.Name)
	if err != nil || name == "" {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return nil // made when a file needs it
	case tar.TypeReg:
	default:
		return fmt.Errorf("the package holds %.200q, which is neither a file nor a directory", header.Name)
	}
	top, _, _ := strings.Cut(name, "/")
	for _, out := range leftOut {
		if top == out {
			return nil
		}
	}
	mode := fs.FileMode(0o644)
	if header.Mode&0o111 != 0 {
		mode = 0o755
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	// O_EXCL: a second entry of a name would replace what was checked.
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// entryName returns an entry's path without the package's own directory, ""
// for that directory itself.
func entryName(name string) (string, error) {
	local := path.Clean(name)
	if strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\\\x00") ||
		strings.Contains("/"+name+"/", "/../") || !filepath.IsLocal(local) {
		return "", fmt.Errorf("the package holds the unsafe path %.200q", name)
	}
	_, rest, _ := strings.Cut(local, "/")
	if rest == manifestName {
		return "", fmt.Errorf("the package holds %.200q, whose name is taken", name)
	}
	return rest, nil
}
