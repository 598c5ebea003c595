package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// record names what of a sandbox outlives us: the container of that id in our
// runtime's root, the cgroup, and the scratch file of that id. It is written
// before any of them is made.
type record struct {
	ID     string `json:"id"`
	Cgroup string `json:"cgroup"` // from the hierarchy's root; ends with the id
}

const recordSuffix = ".json"

func (r *Runtime) recordDir() string           { return filepath.Join(r.cfg.StateDir, "records") }
func (r *Runtime) recordFile(id string) string { return filepath.Join(r.recordDir(), id+recordSuffix) }
func (r *Runtime) runcRoot() string            { return filepath.Join(r.cfg.StateDir, "runc") }
func (r *Runtime) lockFile() string            { return filepath.Join(r.cfg.StateDir, "lock") }
func (r *Runtime) spaceDir() string            { return filepath.Join(r.cfg.StateDir, "space") }

// writeRecord writes a record whole or not at all.
func (r *Runtime) writeRecord(rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	tmp := r.recordFile(rec.ID) + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, r.recordFile(rec.ID))
}

func (r *Runtime) removeRecord(id string) error {
	if err := os.Remove(r.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// records reads all records. One that cannot be ours is an error and stays.
func (r *Runtime) records() ([]record, error) {
	entries, err := os.ReadDir(r.recordDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []record
	var errs []error
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok { // a record that was not complete: nothing was made yet
			errs = append(errs, os.Remove(filepath.Join(r.recordDir(), e.Name())))
			continue
		}
		rec, err := r.readRecord(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, rec)
	}
	return all, errors.Join(errs...)
}

func (r *Runtime) readRecord(id string) (record, error) {
	data, err := os.ReadFile(r.recordFile(id))
	if err != nil {
		return record{}, err
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, fmt.Errorf("record %s: %w", id, err)
	}
	if rec.ID != id || !validID(id) || !validCgroup(rec.Cgroup) || path.Base(rec.Cgroup) != id {
		return record{}, fmt.Errorf("record %s does not name a sandbox of ours", id)
	}
	return rec, nil
}

// validID reports whether a sandbox's id is one.
func validID(id string) bool {
	if id == "" || len(id) > 40 || id[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}
