package cgroup

import (
	"os"
	"path/filepath"
)

// Files are the operations on a mounted hierarchy. The errors are those of the
// os package, so that errors.Is finds the kernel's reason.
type Files interface {
	Mkdir(dir string) error
	Rmdir(dir string) error
	Read(file string) ([]byte, error)
	// Write writes to a file that is there; it never makes one.
	Write(file, value string) error
	// Dirs returns the names of the directories in dir, without links.
	Dirs(dir string) ([]string, error)
}

// Kernel are the Files of the machine.
type Kernel struct{}

var _ Files = Kernel{}

// Mkdir makes a group.
func (Kernel) Mkdir(dir string) error { return os.Mkdir(dir, 0o755) }

// Rmdir removes a group. It never removes anything but an empty one.
func (Kernel) Rmdir(dir string) error { return rmdir(dir) }

func (Kernel) Read(file string) ([]byte, error) { return os.ReadFile(filepath.Clean(file)) }

func (Kernel) Write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Dirs lists the groups in dir.
func (Kernel) Dirs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
