package interpreter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"thermocline"
)

// InstallOptions say where an interpreter goes and comes from.
type InstallOptions struct {
	// DataDir is Thermocline's data directory.
	DataDir string
	// Registry is the npm registry's URL; "" for the one npm is configured
	// with.
	Registry string
	// Progress is called while the package arrives, with bytes; total is -1
	// when the registry does not say. It may be nil.
	Progress func(done, total int64)
	// Logger is discarded if nil.
	Logger *slog.Logger
}

// Install puts the interpreter of a runtime under <DataDir>/runtimes/<runtime>
// and returns it. Where that is done already it does nothing. It may be ended
// and started again at any time: the installation appears at once, when it is
// complete. Two installations at a time wait for each other.
//
// Errors: KindInvalidParameter for a runtime that cannot be installed,
// KindUnavailable when the package cannot be had or is not what it should be.
func Install(ctx context.Context, runtime string, o InstallOptions) (Interpreter, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	req, known := require(runtime)
	if !known || req.language != nodejs {
		return Interpreter{}, notInstallable(req, runtime)
	}
	unlock, err := lockInstallations(ctx, o.DataDir)
	if err != nil {
		return Interpreter{}, unavailable(runtime, err)
	}
	defer unlock()

	dir := installDir(o.DataDir, runtime)
	if i, err := installedAt(dir, defaultVisible); err == nil {
		o.Logger.Info("runtime is installed already", "runtime", runtime, "installed", i.Version)
		return i, nil
	}
	if err := install(ctx, req, dir, o); err != nil {
		return Interpreter{}, unavailable(runtime, err)
	}
	i, err := installedAt(dir, defaultVisible)
	if err != nil {
		return Interpreter{}, unavailable(runtime, err)
	}
	o.Logger.Info("runtime installed", "runtime", runtime, "installed", i.Version)
	return i, nil
}

func notInstallable(req requirement, runtime string) error {
	switch req.language {
	case provided:
		return thermocline.Errorf(thermocline.KindInvalidParameter,
			"%s needs no installation: the function brings its own program.", runtime)
	case python:
		return thermocline.Errorf(thermocline.KindInvalidParameter,
			"%s cannot be installed by Thermocline: %s.", runtime, req.remedy())
	}
	var names []string
	for _, r := range requirements {
		if r.language == nodejs {
			names = append(names, r.runtime)
		}
	}
	return thermocline.Errorf(thermocline.KindInvalidParameter,
		"The runtime %.64q is not known here. These can be installed: %s.", runtime, strings.Join(names, ", "))
}

func unavailable(runtime string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return thermocline.WithCause(thermocline.KindUnavailable, err, runtime+" could not be installed")
}

// install makes dir. All work happens beside it, in a directory that is
// removed whatever happens, and is renamed at the end.
func install(ctx context.Context, req requirement, dir string, o InstallOptions) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), workPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	packed, rel, err := fetch(ctx, req, work, o)
	if err != nil {
		return err
	}
	defer packed.Close()

	ready := filepath.Join(work, "ready")
	if err := os.Mkdir(ready, 0o755); err != nil {
		return err
	}
	if err := unpack(ctx, packed, ready, nodeLimits); err != nil {
		return err
	}
	m := manifest{Runtime: req.runtime, Version: rel.version, Package: rel.name, Integrity: rel.integrity, Program: "bin/node"}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(ready, manifestName), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	if err := openToAll(ready); err != nil {
		return err
	}
	if _, err := m.interpreter(ready, defaultVisible); err != nil {
		return fmt.Errorf("the package's program cannot run here: %w", err)
	}
	return replaceDir(ready, dir, work)
}

// fetch downloads the newest package that meets req and returns it checked, at
// its beginning.
func fetch(ctx context.Context, req requirement, work string, o InstallOptions) (*os.File, release, error) {
	reg, err := openRegistry(ctx, o.Registry)
	if err != nil {
		return nil, release{}, err
	}
	defer reg.close()
	rel, err := reg.newest(ctx, "node-linux-"+npmCPU, req)
	if err != nil {
		return nil, release{}, err
	}
	o.Logger.Info("downloading a runtime", "runtime", req.runtime, "package", rel.name, "release", rel.version)
	packed, err := os.OpenFile(filepath.Join(work, "package.tgz"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, release{}, err
	}
	err = reg.download(ctx, rel, packed, o.Progress)
	if err == nil {
		_, err = packed.Seek(0, io.SeekStart)
	}
	if err != nil {
		packed.Close()
		return nil, release{}, err
	}
	return packed, rel, nil
}

// openToAll gives the directories the permissions that a sandbox's user needs,
// whatever the umask was, and puts everything on disk before the rename that
// says it is complete.
func openToAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// replaceDir moves ready to dir. What is there already is damaged, or it would
// have been taken for an installation; it goes away with the work directory.
func replaceDir(ready, dir, work string) error {
	if err := os.Rename(dir, filepath.Join(work, "damaged")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(ready, dir)
}
