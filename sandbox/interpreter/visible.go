package interpreter

import (
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is the kernel's own limit of links in one resolution.
const maxLinks = 40

// visible are the directories of the host that a sandbox shows, at the same
// paths.
type visible []string

// defaultVisible are what the sandbox's root consists of. Where the host has
// merged them into /usr all but the first are links.
var defaultVisible = visible{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"}

// contains reports whether a clean absolute path lies in the directories,
// before any link is followed.
func (v visible) contains(path string) bool {
	for _, dir := range v {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// resolve follows every link on the way to path as a process inside a sandbox
// would, and fails at the first that leads out of what a sandbox shows. This
// is why filepath.EvalSymlinks will not do: /usr/bin/node may come back to
// /usr by way of /etc/alternatives, which no sandbox has.
func (v visible) resolve(path string) (string, error) {
	path = filepath.Clean(path)
	if !v.contains(path) {
		return "", fmt.Errorf("%s is not visible inside a sandbox", path)
	}
	for range maxLinks {
		next, err := v.step(path)
		if err != nil || next == "" {
			return path, err
		}
		path = next
	}
	return "", fmt.Errorf("%s: too many links", path)
}

// step replaces the first link in path by its target. It returns "" when path
// has no links.
func (v visible) step(path string) (string, error) {
	at := "/"
	rest := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, name := range rest {
		here := filepath.Join(at, name)
		info, err := os.Lstat(here)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = here
			continue
		}
		target, err := os.Readlink(here)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(at, target)
		}
		next := filepath.Join(append([]string{target}, rest[i+1:]...)...)
		if !v.contains(next) {
			return "", fmt.Errorf("%s leads to %s, which is not visible inside a sandbox", here, next)
		}
		return next, nil
	}
	return "", nil
}

// checkProgram reports why the file cannot be run inside a sandbox, by a user
// who is neither its owner nor in its group. A script is refused, because it
// may go on to run what the host has and a sandbox has not (the shims of
// version managers do).
func (v visible) checkProgram(file string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o001 == 0 {
		return fmt.Errorf("%s is not executable by everybody", file)
	}
	loader, err := loaderOf(file)
	if err != nil {
		return fmt.Errorf("%s is not a program (%w)", file, err)
	}
	if loader == "" {
		return nil
	}
	if _, err := v.resolve(loader); err != nil {
		return fmt.Errorf("the dynamic loader of %s: %w", file, err)
	}
	return nil
}

// loaderOf returns the dynamic loader that an ELF program names, "" if it is
// linked statically.
func loaderOf(file string) (string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if f.Machine != machine {
		return "", fmt.Errorf("it is for %s, this machine is %s", f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(name), "\x00"), nil
	}
	return "", nil
}
