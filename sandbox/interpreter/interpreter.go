package interpreter

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"thermocline"
)

// Source tells where an interpreter comes from.
type Source string

// The sources of interpreters.
const (
	SourceHost      Source = "host"      // the machine's own, under /usr
	SourceInstalled Source = "installed" // by `thermocline runtime install`
	SourceFunction  Source = "function"  // the function brings it (provided.*)
)

// LangDir is where an installed interpreter is mounted inside a sandbox.
const LangDir = "/var/lang"

// Mount is a directory of the host that a sandbox must show read-only.
type Mount struct {
	Source string // on the host
	Target string // inside the sandbox
}

// Interpreter is a program that runs a language, as a sandbox sees it.
type Interpreter struct {
	// Path is its path inside the sandbox; "" for runtimes whose program is
	// the function's own `bootstrap`.
	Path string
	// Mounts must be there for Path to exist.
	Mounts  []Mount
	Version string // "22.11.0"; "" when Path is
	Source  Source

	language language
	file     string // on the host, for noticing changes
	stamp    stamp
}

// Listing is one runtime in the output of `thermocline runtime list`.
type Listing struct {
	Runtime   string `json:"runtime"`
	Available bool   `json:"available"`
	Version   string `json:"version,omitempty"`
	Path      string `json:"path,omitempty"`
	Source    Source `json:"source,omitempty"`
	Missing   string `json:"missing,omitempty"` // what to do, when not available
}

// Set is what a discovery found. It does not change; all methods may be called
// from any goroutine.
type Set struct {
	found   []Interpreter // best first
	ignored []rejection
}

// rejection is a program that was seen and cannot be used.
type rejection struct {
	language language
	path     string
	reason   error
}

// concerns reports whether somebody who wants r should hear of the rejection:
// it may be the very program that they meant.
func (j rejection) concerns(r requirement, nothingFound bool) bool {
	return j.language == r.language &&
		(nothingFound || strings.Contains(filepath.Base(j.path), r.release))
}

// Lookup returns the interpreter for a runtime. The error is a
// *thermocline.Error of KindInvalidParameter that says what is missing and
// what to do.
func (s *Set) Lookup(runtime string) (Interpreter, error) {
	r, known := require(runtime)
	if !known {
		return Interpreter{}, thermocline.Errorf(thermocline.KindInvalidParameter,
			"The runtime %.64q is not known here. Known are: %s.", runtime, strings.Join(Runtimes(), ", "))
	}
	if r.language == provided {
		return Interpreter{Source: SourceFunction, language: provided}, nil
	}
	for _, i := range s.found {
		if i.language == r.language && r.meets(i.Version) {
			i.Mounts = slices.Clone(i.Mounts)
			return i, nil
		}
	}
	return Interpreter{}, thermocline.Errorf(thermocline.KindInvalidParameter, "%s", s.missing(r))
}

// Check reports whether a runtime can run here; the error is Lookup's.
func (s *Set) Check(runtime string) error {
	_, err := s.Lookup(runtime)
	return err
}

// List returns every known runtime, those that are missing with what to do.
func (s *Set) List() []Listing {
	list := make([]Listing, 0, len(requirements))
	for _, r := range requirements {
		i, err := s.Lookup(r.runtime)
		l := Listing{Runtime: r.runtime, Available: err == nil, Version: i.Version, Path: i.Path, Source: i.Source}
		if err != nil {
			l.Missing = err.Error()
		}
		list = append(list, l)
	}
	return list
}

// missing says that nothing found meets r, what was found, and what to do.
func (s *Set) missing(r requirement) string {
	var found []string
	for _, i := range s.found {
		if i.language == r.language {
			found = append(found, fmt.Sprintf("%s at %s", i.Version, i.Path))
		}
	}
	none := len(found) == 0
	if none {
		found = []string{"none"}
	}
	for _, j := range s.ignored {
		if j.concerns(r, none) {
			found = append(found, "not usable: "+j.reason.Error())
		}
	}
	return fmt.Sprintf("%s needs %s %s visible inside a sandbox (found: %s): %s",
		r.runtime, r.language.title(), r.release, strings.Join(found, "; "), r.remedy())
}

// prefer orders interpreters: what somebody installed for Thermocline first,
// then the newest, then by path so that the order never depends on chance.
func prefer(a, b Interpreter) int {
	if a.Source != b.Source {
		if a.Source == SourceInstalled {
			return -1
		}
		return 1
	}
	if c := compareVersions(b.Version, a.Version); c != 0 {
		return c
	}
	return strings.Compare(a.Path, b.Path)
}

// compareVersions compares dotted numbers by number. A part that is not one
// (0rc2) comes before the one that is (0), as a pre-release does.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := versionPart(as, i), versionPart(bs, i)
		if x != y {
			return x - y
		}
	}
	return 0
}

func versionPart(parts []string, i int) int {
	if i >= len(parts) {
		return -2
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return -1
	}
	return n
}
