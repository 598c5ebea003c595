package oci

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"path"
	"path/filepath"
	"time"
)

// Config is what a Runtime needs to know. The zero value of a field that has a
// default takes it.
type Config struct {
	// RuncPath is the OCI runtime's program, "runc".
	RuncPath string
	// StateDir holds the runtime's state. It must be below directories that
	// everybody may search (not below a home of mode 0700): the container's
	// user has to pass them. By convention /run/thermocline/<node id>. One
	// process owns it at a time.
	StateDir string
	// ScratchDir holds the files behind /tmp, StateDir/scratch. It should be
	// on a disk; it may be below private directories.
	ScratchDir string
	// CgroupParent is the cgroup for sandboxes that are started without one,
	// from the hierarchy's root, "/thermocline-<the last part of StateDir>".
	CgroupParent string
	// Lookup finds the interpreter of a runtime. It is not asked for
	// provided.*.
	Lookup func(ctx context.Context, runtime string) (Interpreter, error)
	// UIDBase is the first of UIDCount host uids (and gids) that sandboxes may
	// use, two each. They must belong to nobody else. The defaults are 8,192
	// ids from a range above 1,900,000,000 that depends on StateDir.
	UIDBase, UIDCount uint32
	// MaxResult is the largest result in bytes, thermocline.MaxResult.
	MaxResult int
	// InitTimeout is how long initialisation may take before it is cut off and
	// run again under the function's timeout, 10 s.
	InitTimeout time.Duration
	// Spares is the number of network namespaces kept ready, 4.
	Spares int
	Logger *slog.Logger
}

// Interpreter is a program that runs a language, as a sandbox sees it.
type Interpreter struct {
	Path   string // inside the sandbox
	Mounts []Mount
}

// Mount is a directory of the host that a sandbox shows read-only.
type Mount struct {
	Source string // on the host
	Target string // inside the sandbox, below /var/lang or /opt
}

// The bounds of Config.
const (
	defaultUIDBase  = 1_900_000_000
	uidRange        = 8192
	uidRanges       = 4096
	defaultInit     = 10 * time.Second
	defaultSpares   = 4
	maxSpares       = 64
	idsPerSandbox   = 2
	defaultCgroup   = "/thermocline-"
	maxStateDirPath = 80 // so that paths below it stay far from the kernel's limits
)

// withDefaults returns c with its defaults filled in.
func (c Config) withDefaults() Config {
	if c.RuncPath == "" {
		c.RuncPath = "runc"
	}
	if c.ScratchDir == "" {
		c.ScratchDir = filepath.Join(c.StateDir, "scratch")
	}
	if c.CgroupParent == "" {
		c.CgroupParent = defaultCgroup + filepath.Base(c.StateDir)
	}
	if c.UIDBase == 0 {
		h := fnv.New32a()
		h.Write([]byte(c.StateDir)) // never fails
		c.UIDBase = defaultUIDBase + h.Sum32()%uidRanges*uidRange
		c.UIDCount = uidRange
	}
	if c.InitTimeout == 0 {
		c.InitTimeout = defaultInit
	}
	if c.Spares == 0 {
		c.Spares = defaultSpares
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// validate reports every fault at once.
func (c Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(c.StateDir) || filepath.Clean(c.StateDir) != c.StateDir || c.StateDir == "/" {
		fault("StateDir %q is not a clean absolute path", c.StateDir)
	}
	if len(c.StateDir) > maxStateDirPath {
		fault("StateDir %q is longer than %d bytes", c.StateDir, maxStateDirPath)
	}
	if !filepath.IsAbs(c.ScratchDir) {
		fault("ScratchDir %q is not an absolute path", c.ScratchDir)
	}
	if !validCgroup(c.CgroupParent) {
		fault("CgroupParent %q is not a clean absolute path below the root", c.CgroupParent)
	}
	if c.Lookup == nil {
		fault("Lookup is missing")
	}
	if c.UIDCount < idsPerSandbox || c.UIDBase < 1000 || c.UIDBase > 1<<31-c.UIDCount {
		fault("UIDBase %d and UIDCount %d are not a range of uids", c.UIDBase, c.UIDCount)
	}
	if c.InitTimeout < 0 {
		fault("InitTimeout %v is negative", c.InitTimeout)
	}
	if c.Spares < 0 || c.Spares > maxSpares {
		fault("Spares %d is not between 0 and %d", c.Spares, maxSpares)
	}
	return errors.Join(faults...)
}

// validCgroup reports whether p can be a cgroup of ours.
func validCgroup(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && p != "/"
}
