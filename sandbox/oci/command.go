package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/bootstrap"
)

// entrypoint is the program's name in a package of a provided runtime.
const entrypoint = "bootstrap"

// initScript is pid 1 where the root has a shell. The kernel protects pid 1
// from signals that it does not handle, and expects it to reap orphans: a
// runtime in its place could not abort, nor be killed by its own hand, and
// would collect zombies. The shell's own words ("Killed") are not output.
const initScript = `exec 9>&2 2>/dev/null; (exec "$@" 2>&9 9>&-); exit $?`

const shell = "/bin/sh"

// signalBase is what a shell adds to a signal's number in an exit status.
const signalBase = 128

// command returns the arguments of the container's first process. b is nil
// for one that waits for its function; env is the process's environment.
func (r *Runtime) command(ctx context.Context, runtime string, memoryMB int, b *sandbox.Binding, env map[string]string) ([]string, []Mount, error) {
	var argv []string
	var mounts []Mount
	if isProvided(runtime) {
		program := findEntrypoint(b)
		if program == "" {
			return nil, nil, errNoEntrypoint
		}
		argv = []string{program}
	} else {
		in, err := r.cfg.Lookup(ctx, runtime)
		if err != nil {
			return nil, nil, err
		}
		argv, mounts = bootstrap.Command(runtime, in.Path, memoryMB), in.Mounts
	}
	if len(argv) == 0 {
		return nil, nil, thermocline.Errorf(thermocline.KindInvalidParameter, "The runtime %.64q cannot run here.", runtime)
	}
	if b != nil {
		argv = bootstrap.Wrap(runtime, argv, b.Function.Environment)
	}
	if r.hasShell() {
		script := initScript
		for _, name := range []string{"HOME", "PWD"} { // the OCI runtime sets the one, the shell the other
			if env[name] == "" {
				script = "unset " + name + "; " + script
			}
		}
		argv = append([]string{shell, "-c", script, "init"}, argv...)
	}
	return argv, mounts, nil
}

// hasShell reports whether a sandbox's root has one.
func (r *Runtime) hasShell() bool {
	_, err := os.Stat(shell)
	return err == nil
}

// errNoEntrypoint says that a provided runtime's program is missing or is not
// a program.
var errNoEntrypoint = errors.New("no valid bootstrap")

// findEntrypoint returns the path inside the sandbox of a provided runtime's
// program, "" if there is none that can run.
func findEntrypoint(b *sandbox.Binding) string {
	if b == nil {
		return ""
	}
	if runnable(b.CodeDir) {
		return taskDir + "/" + entrypoint
	}
	for i := len(b.LayerDirs) - 1; i >= 0; i-- {
		if runnable(b.LayerDirs[i]) {
			return layerDir + "/" + entrypoint
		}
	}
	return ""
}

// runnable reports whether the program in dir could be run by the sandbox's
// user: a shell in its place would try to interpret whatever it finds. The
// program is the user's, so links are not followed out of dir.
func runnable(dir string) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	info, err := root.Stat(entrypoint)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o001 == 0 {
		return false
	}
	f, err := root.Open(entrypoint)
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	n, err := io.ReadFull(f, magic)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	magic = magic[:n]
	return bytes.HasPrefix(magic, []byte("#!")) || bytes.Equal(magic, []byte("\x7fELF"))
}
