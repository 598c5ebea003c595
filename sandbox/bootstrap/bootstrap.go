package bootstrap

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"thermocline"
)

//go:embed nodejs python
var files embed.FS

const (
	// Dir is where a sandbox shows the directory that Write has filled.
	Dir = "/var/runtime"
	// WaitVariable is the environment variable that makes a bootstrap wait for
	// its function. Besides it, a waiting one needs AWS_LAMBDA_RUNTIME_API.
	WaitVariable = "THERMOCLINE_WAIT"
	// WrapperVariable names a program that starts the runtime in our place.
	WrapperVariable = "AWS_LAMBDA_EXEC_WRAPPER"
)

// MainHandler is the handler of a program for which nobody named one: a file
// main (or index) that exports a handler, or else is run as a script. It is ""
// for the provided runtimes, whose programs have no handlers.
func MainHandler(runtime string) string {
	switch {
	case strings.HasPrefix(runtime, "nodejs"):
		return Dir + "/nodejs/main.handler"
	case strings.HasPrefix(runtime, "python"):
		return "thermocline_main.handler"
	}
	return ""
}

// Write puts the bootstraps into dir, which it makes if need be: directories
// with mode 0755, files with 0644, whatever the umask. Existing files of the
// same names are replaced. An error is of KindInternal.
func Write(dir string) error {
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			return os.Chmod(target, 0o755)
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, data, 0o644); err != nil {
			return err
		}
		return os.Chmod(target, 0o644)
	})
	if err != nil {
		return thermocline.WithCause(thermocline.KindInternal, err, "the bootstraps could not be written")
	}
	return nil
}

// Command returns the command that starts the runtime inside a sandbox with
// memoryMB of memory. interpreter is the interpreter's path there; for the
// provided runtimes it is the function's executable, /var/task/bootstrap if "".
// The result is nil for a runtime that is none of ours.
func Command(runtime, interpreter string, memoryMB int) []string {
	switch {
	case strings.HasPrefix(runtime, "nodejs"):
		return []string{interpreter,
			"--max-old-space-size=" + strconv.Itoa(nodeHeapMB(memoryMB)),
			Dir + "/nodejs/bootstrap.cjs"}
	case strings.HasPrefix(runtime, "python"):
		return []string{interpreter, "-u", Dir + "/python/bootstrap.py"}
	case strings.HasPrefix(runtime, "provided"):
		if interpreter == "" {
			interpreter = "/var/task/bootstrap"
		}
		return []string{interpreter}
	}
	return nil
}

// nodeHeapMB is the limit of the heap: what the process needs beside it is
// about 48 MB, and a heap that may outgrow the memory ends in a kill by the
// kernel where a collection of garbage would have done.
func nodeHeapMB(memoryMB int) int {
	return min(max(memoryMB-48, memoryMB/2), memoryMB*9/10)
}

// Wrap returns the command for a full start with the function's environment:
// command, or the wrapper that the function names, with command as its
// arguments. The provided runtimes take no wrapper.
func Wrap(runtime string, command []string, env map[string]string) []string {
	wrapper := env[WrapperVariable]
	if wrapper == "" || strings.HasPrefix(runtime, "provided") {
		return command
	}
	return append([]string{wrapper}, command...)
}
