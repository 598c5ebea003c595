package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const moduleName = "thermocline"

// listed is what go list says of a package.
type listed struct {
	Dir        string
	ImportPath string
	GoFiles    []string
	Imports    []string
	Standard   bool
}

// name is the package's path inside of the tree, "" for the root.
func (p listed) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, moduleName), "/")
}

// tree lists the packages of the module.
func tree(t *testing.T) []listed {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=Dir,ImportPath,GoFiles,Imports", "./...")
	list.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	return packages
}

func TestImportTable(t *testing.T) {
	for _, p := range tree(t) {
		allowed, known := imports[p.name()]
		if !known && !strings.HasPrefix(p.name(), "examples/") {
			t.Errorf("%s is not in the table: add it, with the reasons of its imports", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if imported != moduleName && !strings.HasPrefix(imported, moduleName+"/") {
				continue
			}
			to := listed{ImportPath: imported}.name()
			if allowed[to] == "" {
				t.Errorf("%s may not import %s: does it go back on the request's way? If not, add it to the table with its reason", p.ImportPath, imported)
			}
		}
	}
}

func TestModules(t *testing.T) {
	for _, p := range tree(t) {
		if p.name() == "internal/deps" {
			continue
		}
		for _, imported := range p.Imports {
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") {
				continue // the standard library, or the tree
			}
			i := slices.IndexFunc(modules, func(m module) bool { return strings.HasPrefix(imported, m.prefix) })
			switch {
			case i < 0:
				t.Errorf("%s imports %s, a module without a place in the table", p.ImportPath, imported)
			case modules[i].in == nil && !extended(p.name()):
				t.Errorf("%s may import the standard library only, not %s", p.ImportPath, imported)
			case modules[i].in != nil && !slices.Contains(modules[i].in, p.name()):
				t.Errorf("%s may not import %s: %s", p.ImportPath, imported, modules[i].reason)
			}
		}
	}
}

// Every package has one package comment, which begins as godoc wants it.
func TestPackageComments(t *testing.T) {
	for _, p := range tree(t) {
		if p.name() == "internal/deps" {
			continue
		}
		var comments []string
		for file, parsed := range parse(t, p, parser.PackageClauseOnly|parser.ParseComments) {
			if parsed.Doc != nil {
				comments = append(comments, file)
				if text := parsed.Doc.Text(); parsed.Name.Name != "main" && !strings.HasPrefix(text, "Package "+parsed.Name.Name+" ") {
					t.Errorf("%s: the package comment in %s begins with %.30q", p.ImportPath, file, text)
				}
			}
		}
		if len(p.GoFiles) > 0 && len(comments) != 1 {
			t.Errorf("%s has %d package comments, in %v; one is right", p.ImportPath, len(comments), comments)
		}
	}
}

// A package is a noun from the request's way.
func TestPackageNames(t *testing.T) {
	bad := []string{"util", "utils", "common", "helper", "helpers", "core", "types", "models", "lib", "misc", "base", "shared"}
	for _, p := range tree(t) {
		if slices.Contains(bad, path.Base(p.ImportPath)) {
			t.Errorf("%s says nothing about what is in it", p.ImportPath)
		}
	}
}

// init hides what happens at the start.
func TestNoInit(t *testing.T) {
	for _, p := range tree(t) {
		for file, parsed := range parse(t, p, 0) {
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s: %s has an init function", p.ImportPath, file)
				}
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, p := range tree(t) {
		if !slices.Contains(pure, p.name()) {
			continue
		}
		for file, parsed := range parse(t, p, parser.ParseComments) {
			for _, fault := range impurities(parsed) {
				t.Errorf("%s: %s %s", p.ImportPath, file, fault)
			}
		}
	}
}

// The check finds what it is there for.
func TestImpurities(t *testing.T) {
	const source = `package p
import (
	"math/rand/v2"
	"net/http"
	"os"
	clock "time"
)
var start = clock.Now()
func f() { go f(); _ = rand.IntN(3); _ = http.MethodGet; _ = os.Args; _ = clock.Second; <-clock.After(1); _ = rand.New(nil) }
`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := impurities(parsed)
	want := []string{"imports net/http", "imports os", "uses time.Now", "starts a goroutine", "uses math/rand/v2.IntN", "uses time.After"}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%q was not found", w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("found %q", got)
	}
}

// forbidden are packages that do I/O, by prefix.
var forbidden = []string{"net", "os", "syscall", "io/ioutil", "log/slog", "log", "database/sql", "golang.org/x/sys", "github.com/nats-io/", "unsafe"}

// clocks are the functions of package time that read or wait for the clock.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// seeded are the functions of the random packages that use no global source.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewSource", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}

// impurities are the reasons for which a file cannot run on a simulated clock.
func impurities(f *ast.File) []string {
	var faults []string
	names := make(map[string]string) // of imports, as the file calls them
	for _, i := range f.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		for _, bad := range forbidden {
			if imported == bad || strings.HasPrefix(imported, strings.TrimSuffix(bad, "/")+"/") && imported != "net/netip" {
				faults = append(faults, "imports "+imported)
			}
		}
		name := path.Base(imported)
		if imported == "math/rand/v2" {
			name = "rand"
		}
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = imported
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			faults = append(faults, "starts a goroutine")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch imported := names[x.Name]; {
			case imported == "time" && slices.Contains(clocks, n.Sel.Name),
				(imported == "math/rand" || imported == "math/rand/v2") && !slices.Contains(seeded, n.Sel.Name):
				faults = append(faults, "uses "+imported+"."+n.Sel.Name)
			}
		}
		return true
	})
	return faults
}

// parse parses a package's files, without its tests.
func parse(t *testing.T, p listed, mode parser.Mode) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	for _, name := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, mode)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = parsed
	}
	return files
}

// docs/dependencies.md says of each module that is used what for.
func TestDependenciesAreDocumented(t *testing.T) {
	goMod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	var required []string
	for line := range strings.Lines(string(goMod)) {
		if fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require ")); len(fields) >= 2 && strings.HasPrefix(fields[1], "v") {
			required = append(required, fields[0])
		}
	}
	for _, p := range tree(t) {
		if p.name() == "internal/deps" {
			continue
		}
		for _, imported := range p.Imports {
			module := ""
			for _, r := range required {
				if (imported == r || strings.HasPrefix(imported, r+"/")) && len(r) > len(module) {
					module = r
				}
			}
			documented := strings.Contains(string(page), "`"+module) ||
				strings.Contains(string(page), "…"+strings.TrimPrefix(module, "github.com/aws/aws-sdk-go-v2")) ||
				strings.HasPrefix(module, "github.com/knadh/koanf/")
			if module != "" && !documented {
				t.Errorf("%s imports %s, which docs/dependencies.md does not explain", p.ImportPath, module)
			}
		}
	}
}
