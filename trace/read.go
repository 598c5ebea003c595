package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// The bounds of what is read.
const (
	maxLine      = 1 << 20
	maxFunctions = 1_000_000
	maxMinutes   = 20_160 // two weeks
	maxCells     = 50_000_000
	maxCalls     = 10_000_000 // of a function in a minute
	maxMemoryMB  = 1_048_576
)

// File is an open file and the name that errors call it.
type File struct {
	Name string
	io.Reader
}

// Reading says how a trace is read.
type Reading struct {
	// MinMemoryMB is what a function has at least: a small function of the trace
	// shared its application's process, and is given this much here.
	MinMemoryMB float64
	// MatchMean bends the durations' distributions so that their means are the
	// trace's; see NewDurations.
	MatchMean bool
}

// Read reads a trace of the Azure Functions 2019 format: invocations per
// minute, and, nil when there are none, the functions' durations and memory,
// joined on HashFunction. Each may be plain or gzip. A memory file without
// HashFunction, as Azure's own is, is joined on HashApp, and the memory is then
// the application's. A function that is in invocations more than once, with
// different triggers, say, is called as often as all lines say; of the others
// the first line counts. A function without a row has DefaultDuration and
// DefaultMemoryMB.
func Read(invocations File, durations, memory *File, o Reading) (*Trace, error) {
	functions, apps, counts, minutes, err := readInvocations(invocations)
	if err != nil {
		return nil, err
	}
	if durations != nil {
		rows, err := readDurations(*durations, o.MatchMean)
		if err != nil {
			return nil, err
		}
		byID := make(map[string]Durations, len(rows))
		for _, r := range slices.Backward(rows) {
			byID[r.id] = r.Durations
		}
		for i := range functions {
			functions[i].Duration = byID[functions[i].ID]
		}
	}
	if memory != nil {
		byID, byApp, err := readMemory(*memory)
		if err != nil {
			return nil, err
		}
		for i := range functions {
			if mb, ok := byID[functions[i].ID]; ok {
				functions[i].MemoryMB = mb
			} else if mb, ok := byApp[apps[i]]; ok {
				functions[i].MemoryMB = mb
			}
		}
	}
	for i := range functions {
		functions[i].MemoryMB = max(functions[i].MemoryMB, o.MinMemoryMB)
	}
	return New(functions, minutes, counts)
}

func readInvocations(f File) (functions []Function, apps []string, counts [][]Count, minutes int, err error) {
	t, err := openTable(f)
	if err != nil {
		return nil, nil, nil, 0, err
	}
	id, err := t.column("HashFunction")
	if err != nil {
		return nil, nil, nil, 0, err
	}
	trigger, app := t.find("Trigger"), t.find("HashApp")
	first, err := t.column("1")
	if err != nil {
		return nil, nil, nil, 0, err
	}
	for minutes = 1; first+minutes < len(t.header) && t.header[first+minutes] == strconv.Itoa(minutes+1); minutes++ {
	}
	if minutes > maxMinutes {
		return nil, nil, nil, 0, t.fault("%d minutes are more than %d", minutes, maxMinutes)
	}
	rows := map[string]int{}
	cells := 0
	for t.next() {
		name := string(t.fields[id])
		if name == "" {
			return nil, nil, nil, 0, t.fault("HashFunction is empty")
		}
		row, known := rows[name]
		if !known {
			if row = len(functions); row >= maxFunctions {
				return nil, nil, nil, 0, t.fault("there are more than %d functions", maxFunctions)
			}
			rows[name] = row
			functions = append(functions, Function{ID: name, Trigger: t.text(trigger), MemoryMB: DefaultMemoryMB})
			apps = append(apps, t.text(app))
			counts = append(counts, nil)
		}
		var line []Count
		for m := range minutes {
			field := t.fields[first+m]
			if len(field) == 1 && field[0] == '0' {
				continue
			}
			n, err := strconv.ParseUint(string(field), 10, 32)
			if err != nil || n > maxCalls {
				return nil, nil, nil, 0, t.fault("minute %d: %q is no count of at most %d", m+1, clip(field), maxCalls)
			}
			if n > 0 {
				line = append(line, Count{m, int(n)})
			}
		}
		if counts[row], err = add(counts[row], line); err != nil {
			return nil, nil, nil, 0, t.fault("%w", err)
		}
		if cells += len(line); cells > maxCells {
			return nil, nil, nil, 0, t.fault("there are more than %d minutes with invocations", maxCells)
		}
	}
	if t.err != nil {
		return nil, nil, nil, 0, t.err
	}
	if len(functions) == 0 {
		return nil, nil, nil, 0, t.fault("there are no functions")
	}
	return functions, apps, counts, minutes, nil
}

// add merges two functions' counts, each in the order of time.
func add(a, b []Count) ([]Count, error) {
	if len(a) == 0 {
		return b, nil
	}
	var sum []Count
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].Minute < b[0].Minute:
			sum, a = append(sum, a[0]), a[1:]
		case len(a) == 0 || b[0].Minute < a[0].Minute:
			sum, b = append(sum, b[0]), b[1:]
		default:
			n := a[0].N + b[0].N
			if n > maxCalls {
				return nil, fmt.Errorf("minute %d: %d invocations are more than %d", a[0].Minute+1, n, maxCalls)
			}
			sum, a, b = append(sum, Count{a[0].Minute, n}), a[1:], b[1:]
		}
	}
	return sum, nil
}

// durationRow is a line of a durations file.
type durationRow struct {
	id    string
	count float64 // a day's invocations
	Durations
}

func readDurations(f File, matchMean bool) ([]durationRow, error) {
	t, err := openTable(f)
	if err != nil {
		return nil, err
	}
	id, err := t.column("HashFunction")
	if err != nil {
		return nil, err
	}
	var at [len(percentiles)]int
	for i, p := range percentiles {
		if at[i], err = t.column("percentile_Average_" + strconv.Itoa(int(math.Round(p*100)))); err != nil {
			return nil, err
		}
	}
	average, count := t.find("Average"), t.find("Count")
	var rows []durationRow
	for t.next() {
		r := durationRow{id: string(t.fields[id])}
		var ms [len(percentiles)]float64
		for i, column := range at {
			if ms[i], err = t.number(column); err != nil {
				return nil, err
			}
		}
		mean := 0.0
		if average >= 0 && matchMean {
			if mean, err = t.number(average); err != nil {
				return nil, err
			}
		}
		if count >= 0 {
			if r.count, err = t.number(count); err != nil {
				return nil, err
			}
		}
		if r.Durations, err = NewDurations(ms, mean); err != nil {
			return nil, t.fault("%w", err)
		}
		if rows = append(rows, r); len(rows) > maxFunctions {
			return nil, t.fault("there are more than %d functions", maxFunctions)
		}
	}
	return rows, t.err
}

func readMemory(f File) (byID, byApp map[string]float64, err error) {
	t, err := openTable(f)
	if err != nil {
		return nil, nil, err
	}
	mb, err := t.column("AverageAllocatedMb")
	if err != nil {
		return nil, nil, err
	}
	byID, byApp = map[string]float64{}, map[string]float64{}
	key, rows := t.find("HashFunction"), byID
	if key < 0 {
		if key, err = t.column("HashApp"); err != nil {
			return nil, nil, err
		}
		rows = byApp
	}
	for t.next() {
		v, err := t.number(mb)
		if err != nil {
			return nil, nil, err
		}
		if v > maxMemoryMB {
			return nil, nil, t.fault("%g MB are more than %d", v, maxMemoryMB)
		}
		if name := string(t.fields[key]); rows[name] == 0 {
			rows[name] = v
		}
		if len(rows) > maxFunctions {
			return nil, nil, t.fault("there are more than %d functions", maxFunctions)
		}
	}
	return byID, byApp, t.err
}

// table reads a file with a header and comma-separated fields; none of the
// format's has quotes.
type table struct {
	name   string
	lines  *bufio.Scanner
	line   int
	header []string
	fields [][]byte // of the line, until next
	err    error
}

func openTable(f File) (*table, error) {
	in := bufio.NewReaderSize(f.Reader, 64<<10)
	var plain io.Reader = in
	if magic, _ := in.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%s: it begins like gzip and is not: %w", f.Name, err)
		}
		plain = z
	}
	t := &table{name: f.Name, lines: bufio.NewScanner(plain)}
	t.lines.Buffer(make([]byte, 64<<10), maxLine)
	if !t.next() {
		if t.err != nil {
			return nil, t.err
		}
		return nil, fmt.Errorf("%s: it is empty", f.Name)
	}
	for _, field := range t.fields {
		t.header = append(t.header, string(field))
	}
	t.header[0] = string(bytes.TrimPrefix(t.fields[0], []byte("\ufeff")))
	return t, nil
}

// next reads a line that is not empty; false at the end and after an error.
func (t *table) next() bool {
	for t.err == nil && t.lines.Scan() {
		t.line++
		line := bytes.TrimSuffix(t.lines.Bytes(), []byte("\r"))
		if len(line) == 0 {
			continue
		}
		t.fields = t.fields[:0]
		for more := true; more; {
			var field []byte
			field, line, more = bytes.Cut(line, []byte(","))
			t.fields = append(t.fields, field)
		}
		if t.header != nil && len(t.fields) != len(t.header) {
			t.err = t.fault("%d fields, the header has %d", len(t.fields), len(t.header))
			return false
		}
		return true
	}
	if err := t.lines.Err(); t.err == nil && err != nil {
		t.line++
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("the line has more than %d bytes", maxLine)
		}
		t.err = t.fault("%w", err)
	}
	return false
}

// fault is an error about the current line.
func (t *table) fault(format string, args ...any) error {
	return fmt.Errorf("%s:%d: "+format, append([]any{t.name, max(1, t.line)}, args...)...)
}

func (t *table) find(column string) int { return slices.Index(t.header, column) }

func (t *table) column(name string) (int, error) {
	if i := t.find(name); i >= 0 {
		return i, nil
	}
	return 0, t.fault("there is no column %s", name)
}

// text is a field, "" when there is no such column.
func (t *table) text(column int) string {
	if column < 0 {
		return ""
	}
	return string(t.fields[column])
}

// number is a field that must be a number and not negative.
func (t *table) number(column int) (float64, error) {
	v, err := strconv.ParseFloat(string(t.fields[column]), 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return 0, t.fault("%s: %q is no number of at least 0", t.header[column], clip(t.fields[column]))
	}
	return v, nil
}

// clip keeps an error short.
func clip(b []byte) string {
	if len(b) > 40 {
		return string(b[:40]) + "…"
	}
	return string(b)
}
