package interpreter

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// manifestName is the file in an installation that says what it is.
const manifestName = "thermocline.json"

// manifest is what Install writes down of an installation.
type manifest struct {
	Runtime   string `json:"runtime"`
	Version   string `json:"version"`
	Package   string `json:"package"`
	Integrity string `json:"integrity"` // of the package, as the registry gave it
	Program   string `json:"program"`   // relative to the installation
}

func installDir(dataDir, runtime string) string {
	return filepath.Join(dataDir, "runtimes", runtime)
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	raw, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
	}
	r, known := require(filepath.Base(dir))
	if !known || m.Runtime != r.runtime || !r.meets(m.Version) || !filepath.IsLocal(m.Program) {
		return m, fmt.Errorf("%s does not describe %s", filepath.Join(dir, manifestName), filepath.Base(dir))
	}
	return m, nil
}

// interpreter returns the installation as a sandbox sees it, or why it cannot
// run in one.
func (m manifest) interpreter(dir string, v visible) (Interpreter, error) {
	r, _ := require(m.Runtime)
	file := filepath.Join(dir, m.Program)
	info, err := os.Lstat(file)
	if err != nil {
		return Interpreter{}, err
	}
	if err := v.checkProgram(file, info); err != nil {
		return Interpreter{}, err
	}
	return Interpreter{
		Path:     filepath.Join(LangDir, m.Program),
		Mounts:   []Mount{{Source: dir, Target: LangDir}},
		Version:  m.Version,
		Source:   SourceInstalled,
		language: r.language,
		file:     file,
		stamp:    stampOf(info),
	}, nil
}
