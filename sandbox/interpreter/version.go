package interpreter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// askTimeout is how long a program has to say its version. Node.js takes 40 ms
// on a quiet machine.
const askTimeout = 5 * time.Second

var versionPatterns = map[language]*regexp.Regexp{
	nodejs: regexp.MustCompile(`^v([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}[0-9A-Za-z.+-]{0,32})\s*$`),
	python: regexp.MustCompile(`^Python ([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}[0-9A-Za-z.+-]{0,32})\s*$`),
}

// askVersion runs the program with --version. Its environment is empty, so
// that nobody's NODE_OPTIONS or PYTHONSTARTUP has a say.
func askVersion(ctx context.Context, lang language, file string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var out limited
	cmd := exec.CommandContext(ctx, file, "--version")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	cmd.Dir = "/"
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("%s --version did not answer within %s", file, askTimeout)
		}
		return "", fmt.Errorf("%s --version: %w", file, err)
	}
	m := versionPatterns[lang].FindSubmatch(out.buf.Bytes())
	if m == nil {
		return "", fmt.Errorf("%s --version answered %.80q, which is no version", file, out.buf.String())
	}
	return string(m[1]), nil
}

// limited keeps the first bytes written to it and swallows the others.
type limited struct{ buf bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	const most = 4096
	l.buf.Write(p[:min(len(p), most-l.buf.Len())])
	return len(p), nil
}

// stamp tells whether a file is the one that was asked.
type stamp struct {
	Modified int64 `json:"modified"` // Unix nanoseconds
	Size     int64 `json:"size"`
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{Modified: info.ModTime().UnixNano(), Size: info.Size()}
}

// versions remembers the answers of programs over restarts, because asking
// costs more than the rest of a start.
type versions map[string]answer

type answer struct {
	Stamp   stamp  `json:"stamp"`
	Version string `json:"version"`
}

func versionsFile(dataDir string) string {
	return filepath.Join(dataDir, "runtimes", ".versions.json")
}

// loadVersions reads what is remembered; whatever is wrong with it, the
// programs can be asked again.
func loadVersions(dataDir string) versions {
	v := versions{}
	if dataDir == "" {
		return v
	}
	raw, err := os.ReadFile(versionsFile(dataDir))
	if err != nil || json.Unmarshal(raw, &v) != nil || v == nil {
		return versions{}
	}
	return v
}

func (v versions) get(file string, s stamp) (string, bool) {
	a, ok := v[file]
	return a.Version, ok && a.Stamp == s
}

// replace makes v hold these interpreters and no others.
func (v versions) replace(found []Interpreter) {
	clear(v)
	for _, i := range found {
		v[i.file] = answer{Stamp: i.stamp, Version: i.Version}
	}
}

// save writes v if it differs from what is on disk.
func (v versions) save(dataDir string) error {
	if dataDir == "" {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	file := versionsFile(dataDir)
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, raw) {
		return nil
	}
	return writeFile(file, raw)
}

// writeFile replaces a file at once, making its directory if need be.
func writeFile(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	_, err = tmp.Write(content)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
