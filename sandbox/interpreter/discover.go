package interpreter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"thermocline"
)

// Options say where to look.
type Options struct {
	// DataDir is Thermocline's data directory; "" to look at the host only.
	// Versions that were asked once are remembered under it.
	DataDir string
	// SearchDirs are the host's directories with programs; /usr/local/bin and
	// /usr/bin if nil.
	SearchDirs []string
	// Visible are the host's directories that a sandbox shows at the same
	// paths; /usr and what links into it if nil.
	Visible []string
	// Logger gets what was found and could not be used; discarded if nil.
	Logger *slog.Logger
}

// programNames are the file names that are worth asking for their version.
var programNames = map[language]*regexp.Regexp{
	nodejs: regexp.MustCompile(`^node(js)?-?[0-9]*$`),
	python: regexp.MustCompile(`^python3(\.[0-9]+)?$`),
}

// maxCandidates bounds how many programs one discovery asks.
const maxCandidates = 64

// Discover finds the interpreters that can run inside a sandbox. It runs each
// candidate of the host with --version, for at most five seconds, unless it
// knows the answer from an earlier discovery. A candidate that cannot be used
// is no error; an unreadable data directory is (KindUnavailable).
func Discover(ctx context.Context, o Options) (*Set, error) {
	o = o.withDefaults()
	candidates, ignored := o.candidates()
	known := loadVersions(o.DataDir)
	answers := make([]error, len(candidates))

	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range candidates {
		c := &candidates[i]
		if version, ok := known.get(c.file, c.stamp); ok {
			c.Version = version
			continue
		}
		group.Go(func() error {
			c.Version, answers[i] = askVersion(gctx, c.language, c.file)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil: one bad candidate must not end the others
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	set := &Set{ignored: ignored}
	for i, c := range candidates {
		if answers[i] != nil {
			set.ignored = append(set.ignored, rejection{c.language, c.file, answers[i]})
			continue
		}
		set.found = append(set.found, c)
	}
	known.replace(set.found)
	if err := known.save(o.DataDir); err != nil {
		o.Logger.Warn("cannot remember the interpreters' versions", "error", err)
	}
	installed, err := discoverInstalled(o.DataDir, o.Visible)
	if err != nil {
		return nil, err
	}
	set.found = append(set.found, installed.found...)
	set.ignored = append(set.ignored, installed.ignored...)
	slices.SortFunc(set.found, prefer)
	for _, j := range set.ignored {
		o.Logger.Debug("interpreter not usable", "path", j.path, "error", j.reason)
	}
	return set, nil
}

func (o Options) withDefaults() Options {
	if o.SearchDirs == nil {
		o.SearchDirs = []string{"/usr/local/bin", "/usr/bin"}
	}
	if o.Visible == nil {
		o.Visible = defaultVisible
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// candidates returns the host's programs that look like interpreters, each
// file once, and why others of such a name cannot be used.
func (o Options) candidates() (found []Interpreter, ignored []rejection) {
	v := visible(o.Visible)
	seen := map[string]bool{}
	for _, dir := range o.SearchDirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a directory that is not there holds no interpreter
		}
		for _, e := range entries {
			lang := languageOf(e.Name())
			if lang == "" || len(found) >= maxCandidates {
				continue
			}
			path := filepath.Join(dir, e.Name())
			c, err := v.candidate(lang, path)
			switch {
			case err != nil:
				ignored = append(ignored, rejection{lang, path, err})
			case !seen[c.file]:
				seen[c.file] = true
				found = append(found, c)
			}
		}
	}
	return found, ignored
}

func languageOf(name string) language {
	for lang, pattern := range programNames {
		if pattern.MatchString(name) {
			return lang
		}
	}
	return ""
}

// candidate resolves one path of the host to the program behind it.
func (v visible) candidate(lang language, path string) (Interpreter, error) {
	file, err := v.resolve(path)
	if err != nil {
		return Interpreter{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return Interpreter{}, err
	}
	if err := v.checkProgram(file, info); err != nil {
		return Interpreter{}, err
	}
	return Interpreter{Path: file, Source: SourceHost, language: lang, file: file, stamp: stampOf(info)}, nil
}

// discoverInstalled finds what Install has put under the data directory. It
// reads what Install wrote down and runs nothing: these programs came over the
// network, and run inside sandboxes only.
func discoverInstalled(dataDir string, v visible) (*Set, error) {
	set := &Set{}
	if dataDir == "" {
		return set, nil
	}
	for _, r := range requirements {
		if r.language != nodejs {
			continue
		}
		dir := installDir(dataDir, r.runtime)
		i, err := installedAt(dir, v)
		switch {
		case err == nil:
			set.found = append(set.found, i)
		case errors.Is(err, fs.ErrPermission):
			return nil, thermocline.WithCause(thermocline.KindUnavailable, err,
				fmt.Sprintf("The installed runtimes cannot be read; check the permissions of %s.", dir))
		case !errors.Is(err, fs.ErrNotExist):
			set.ignored = append(set.ignored, rejection{r.language, dir, err})
		}
	}
	return set, nil
}

// installedAt reads one installation. The error is fs.ErrNotExist when there is
// none.
func installedAt(dir string, v visible) (Interpreter, error) {
	m, err := readManifest(dir)
	if err != nil {
		return Interpreter{}, err
	}
	return m.interpreter(dir, v)
}
