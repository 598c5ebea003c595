package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// record is what is on disk of a slice from before it is made until after it
// is gone.
type record struct {
	ID       string  `json:"id"`
	Owner    string  `json:"owner"`
	MemoryMB int     `json:"memory_mb"`
	Cgroup   string  `json:"cgroup"`
	Maker    process `json:"maker"`
}

var recordIDPattern = regexp.MustCompile(`^i-[0-9a-f]{12}$`)

// check fails for a record that we cannot have written. Its group is going to
// be killed, so it had better be ours.
func (r record) check() error {
	if !recordIDPattern.MatchString(r.ID) || !validParent(r.Cgroup) ||
		path.Base(r.Cgroup) != r.ID || path.Dir(r.Cgroup) == "/" {
		return fmt.Errorf("it is malformed: %+v", r)
	}
	return nil
}

func (s *slice) record() record {
	return record{ID: s.id, Owner: s.owner, MemoryMB: s.memoryMB, Cgroup: s.cgroup, Maker: s.p.self}
}

// unfinishedSuffix ends the names of records that are being written.
const unfinishedSuffix = ".new"

func (p *Provider) recordDir() string           { return filepath.Join(p.state, "instances") }
func (p *Provider) recordFile(id string) string { return filepath.Join(p.recordDir(), id+".json") }

// writeRecord puts the record on disk whole or not at all. It is not synced:
// when the machine goes down, the groups go with it.
func (p *Provider) writeRecord(r record) error {
	if err := os.MkdirAll(p.recordDir(), 0o700); err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	unfinished := p.recordFile(r.ID) + unfinishedSuffix
	if err := os.WriteFile(unfinished, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, p.recordFile(r.ID))
}

// removeUnfinished removes records that their writer died over. It had made
// nothing yet.
func (p *Provider) removeUnfinished() error {
	files, err := filepath.Glob(filepath.Join(p.recordDir(), "*"+unfinishedSuffix))
	errs := []error{err}
	for _, file := range files {
		if !p.holds(strings.TrimSuffix(filepath.Base(file), ".json"+unfinishedSuffix)) {
			errs = append(errs, os.Remove(file))
		}
	}
	return errors.Join(errs...)
}

func (p *Provider) removeRecord(id string) error {
	if err := os.Remove(p.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readRecords returns the records of slices that this provider does not hold.
// Those that cannot be read are errors, the others come nevertheless.
func (p *Provider) readRecords() ([]record, error) {
	entries, err := os.ReadDir(p.recordDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	errs := []error{err}
	var records []record
	for _, e := range entries {
		file := filepath.Join(p.recordDir(), e.Name())
		switch filepath.Ext(file) {
		case ".json":
			r, err := readRecord(file)
			if err != nil {
				errs = append(errs, fmt.Errorf("the record %s: %w", file, err))
				continue
			}
			if !p.holds(r.ID) {
				records = append(records, r)
			}
		}
	}
	return records, errors.Join(errs...)
}

func readRecord(file string) (record, error) {
	var r record
	raw, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, err
	}
	if filepath.Base(file) != r.ID+".json" {
		return r, fmt.Errorf("it is of %q", r.ID)
	}
	return r, r.check()
}

// process names a process beyond the reuse of its number.
type process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // ticks since the boot
	Boot  string `json:"boot"`
}

func thisProcess() (process, error) { return processOf(os.Getpid()) }

// processOf returns the process that has the number now; fs.ErrNotExist if
// none has.
func processOf(pid int) (process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}, err
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, err
	}
	// The name is in parentheses and may hold anything; the start time is the
	// twentieth field after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return process{PID: pid, Start: fields[19], Boot: strings.TrimSpace(string(boot))}, nil
}

// lives reports whether the process runs.
func (p process) lives() bool {
	now, err := processOf(p.PID)
	return err == nil && now == p
}
