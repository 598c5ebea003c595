package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The limits of the Lambda API for a package that comes with the call, bytes.
const (
	maxZip      = 52_428_800
	maxUnzipped = 262_144_000
)

// codePackage makes the zip of a directory, of one file, or of a zip that is
// there already. The same contents give the same bytes, so that deploying
// twice is the same code.
func codePackage(where, runtime string) ([]byte, error) {
	info, err := os.Stat(where)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fail(exitUsage, "PATH is a directory, a file or a zip", "there is no %s", where)
		}
		return nil, fail(exitFailed, "", "read the code: %w", err)
	}
	var raw []byte
	switch {
	case info.IsDir():
		raw, err = zipDir(where)
	case strings.EqualFold(filepath.Ext(where), ".zip"):
		raw, err = readBounded(where, maxZip)
	default:
		raw, err = zipFile(where, info, runtime)
	}
	if err != nil {
		return nil, err
	}
	if len(raw) > maxZip {
		return nil, fail(exitFailed, "leave out what is not needed at run time", "the package of %s has %d bytes, more than %d", where, len(raw), maxZip)
	}
	return raw, nil
}

// zipDir packs a directory, without .git.
func zipDir(dir string) ([]byte, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		names = append(names, rel)
		return err
	})
	if err != nil {
		return nil, fail(exitFailed, "", "read the code: %w", err)
	}
	if len(names) == 0 {
		return nil, fail(exitUsage, "", "%s has no files", dir)
	}
	slices.Sort(names)
	p := newPacker()
	for _, name := range names {
		full := filepath.Join(dir, name)
		info, err := os.Lstat(full)
		if err != nil {
			return nil, fail(exitFailed, "", "read the code: %w", err)
		}
		if err := p.add(dir, full, filepath.ToSlash(name), info); err != nil {
			return nil, err
		}
	}
	return p.finish()
}

// zipFile packs one file. A program for a provided runtime becomes bootstrap,
// which is how such a runtime finds it.
func zipFile(file string, info fs.FileInfo, runtime string) ([]byte, error) {
	name := filepath.Base(file)
	if strings.HasPrefix(runtime, "provided") && info.Mode()&0o111 != 0 {
		name = "bootstrap"
	}
	p := newPacker()
	if err := p.add(filepath.Dir(file), file, name, info); err != nil {
		return nil, err
	}
	return p.finish()
}

// packer writes a zip in which nothing depends on when or by whom.
type packer struct {
	buffer bytes.Buffer
	zip    *zip.Writer
	left   int64 // bytes until maxUnzipped
}

func newPacker() *packer {
	p := &packer{left: maxUnzipped}
	p.zip = zip.NewWriter(&p.buffer)
	return p
}

func (p *packer) add(dir, full, name string, info fs.FileInfo) error {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	var content []byte
	var err error
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		header.SetMode(fs.ModeSymlink | 0o777)
		var target string
		if target, err = os.Readlink(full); err == nil {
			err = insideOf(name, target)
		}
		content = []byte(target)
	case info.Mode().IsRegular():
		header.SetMode(0o644)
		if info.Mode()&0o111 != 0 {
			header.SetMode(0o755)
		}
		content, err = readBounded(full, p.left)
	default:
		return fail(exitFailed, "", "%s is neither a file nor a link", full)
	}
	if err != nil {
		return err
	}
	p.left -= int64(len(content))
	w, err := p.zip.CreateHeader(header)
	if err == nil {
		_, err = w.Write(content)
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", full, err)
	}
	if p.buffer.Len() > maxZip {
		return fail(exitFailed, "leave out what is not needed at run time", "the package of %s has more than %d bytes", dir, maxZip)
	}
	return nil
}

func (p *packer) finish() ([]byte, error) {
	if err := p.zip.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return p.buffer.Bytes(), nil
}

// insideOf refuses a link that leads out of the package.
func insideOf(name, target string) error {
	to := path.Join(path.Dir(name), filepath.ToSlash(target))
	if filepath.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		return fail(exitFailed, "put a copy of what it points to in its place", "the link %s leads out of the package, to %s", name, target)
	}
	return nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fail(exitFailed, "", "read the code: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fail(exitFailed, "", "read the code: %w", err)
	}
	if int64(len(raw)) > limit {
		return nil, fail(exitFailed, "leave out what is not needed at run time", "%s makes the package too large", name)
	}
	return raw, nil
}
