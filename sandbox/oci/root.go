package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"thermocline/sandbox/bootstrap"
)

// The user that functions run as, inside.
const (
	userID    = 993
	groupID   = 990
	userName  = "sbx_user1051"
	groupName = "sbx_group"
)

// hostDirs are the directories of the host that a sandbox shows, besides
// /usr: where they are links into it, as links.
var hostDirs = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// etcCopies are the files and directories of the host's /etc that programs
// under /usr need. None of them says anything of this host.
var etcCopies = []string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "os-release", "debian_version",
	"mime.types", "services", "protocols", "ethertypes", "rpc", "magic", "gai.conf",
	"ssl/certs", "ssl/openssl.cnf", "ca-certificates", "pki/tls/certs", "pki/ca-trust/extracted",
	"python3", "python3.11", "python3.12", "python3.13", "python3.14", "terminfo",
}

// etcFiles are made up.
var etcFiles = map[string]string{
	"passwd": "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
		userName + ":x:993:990::/home/" + userName + ":/sbin/nologin\n",
	"group":         "root:x:0:\nnogroup:x:65534:\n" + groupName + ":x:990:\n",
	"hosts":         "127.0.0.1 localhost\n::1 localhost\n",
	"hostname":      hostName + "\n",
	"resolv.conf":   "# There is no network beyond loopback.\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
}

const hostName = "thermocline"

// The limits of what is copied from /etc.
const (
	maxEtcFile  = 4 << 20
	maxEtcTotal = 32 << 20
)

// root is the template that all sandboxes share read-only: the made-up /etc,
// the bootstraps, and empty directories to mount on.
type root struct {
	path    string   // in the space
	runtime string   // where the bootstraps are, in the space
	mounts  []string // directories of the host to mount at the same path
}

// makeRoot writes the template. Within space.do.
func makeRoot(dir string) (*root, error) {
	r := &root{path: filepath.Join(dir, "root"), runtime: filepath.Join(dir, "runtime"), mounts: []string{"/usr"}}
	for _, d := range []string{
		"", "dev", "etc", "home", "home/" + userName, "mnt", "opt", "proc", "root", "run", "sys", "tmp",
		"usr", "var", "var/lang", "var/runtime", "var/task", "var/tmp",
	} {
		if err := os.MkdirAll(filepath.Join(r.path, d), 0o755); err != nil {
			return nil, err
		}
	}
	for _, d := range hostDirs {
		if err := r.addHostDir(d); err != nil {
			return nil, fmt.Errorf("prepare /%s: %w", d, err)
		}
	}
	if err := r.makeEtc(); err != nil {
		return nil, fmt.Errorf("prepare /etc: %w", err)
	}
	if err := os.MkdirAll(r.runtime, 0o755); err != nil {
		return nil, err
	}
	if err := bootstrap.Write(r.runtime); err != nil {
		return nil, fmt.Errorf("write the bootstraps: %w", err)
	}
	return r, readable(r.path)
}

// readable lets everybody read a tree, whatever our umask.
func readable(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(name, 0o755)
		case d.Type().IsRegular():
			return os.Chmod(name, 0o644)
		}
		return nil
	})
}

// addHostDir shows one of hostDirs as the host has it.
func (r *root) addHostDir(name string) error {
	info, err := os.Lstat("/" + name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink("/" + name)
		if err != nil {
			return err
		}
		return os.Symlink(target, filepath.Join(r.path, name))
	case info.IsDir():
		r.mounts = append(r.mounts, "/"+name)
		return os.Mkdir(filepath.Join(r.path, name), 0o755)
	}
	return nil
}

func (r *root) makeEtc() error {
	etc := filepath.Join(r.path, "etc")
	budget := int64(maxEtcTotal)
	for _, name := range etcCopies {
		if err := copyTree(filepath.Join("/etc", name), filepath.Join(etc, name), &budget); err != nil {
			return err
		}
	}
	if err := copyAlternatives("/etc/alternatives", filepath.Join(etc, "alternatives")); err != nil {
		return err
	}
	for name, text := range etcFiles {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Symlink("/proc/self/mounts", filepath.Join(etc, "mtab"))
}

// copyAlternatives copies the links that lead into /usr.
func copyAlternatives(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(from, e.Name()))
		if err != nil || !strings.HasPrefix(target, "/usr/") || strings.Contains(target, "/man/") {
			continue // no link, or not one that a program follows
		}
		if err := os.Symlink(target, filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies what everybody may read of a file or directory: files,
// directories and links as links. What is not there is no error.
func copyTree(from, to string, budget *int64) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case info.IsDir():
		return copyDir(from, to, budget)
	case !info.Mode().IsRegular(), info.Mode().Perm()&0o004 == 0, info.Size() > maxEtcFile, info.Size() > *budget:
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	*budget -= int64(len(data))
	return os.WriteFile(to, data, info.Mode().Perm()&0o755)
}

func copyDir(from, to string, budget *int64) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), budget); err != nil {
			return err
		}
	}
	return nil
}
