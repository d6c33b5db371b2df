package depcheck

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const project = "github.com/osbuildkit/osbuildkit"

// Limits of the code's shape.
const (
	maxFileLines     = 600
	maxFunctionLines = 90
)

// heavy are the modules that only the parts that build may import.
var heavy = []string{"github.com/moby/buildkit", "github.com/containerd/", "github.com/docker/", "google.golang.org/grpc"}

// under is what the modules stand on, and all is that and the modules.
var (
	repositories = []string{"debian", "rpmmd", "internal/expand", "internal/pgp", "internal/redact"}
	under        = slices.Concat([]string{"module", "tree", "ledger", "internal/command", "internal/crypt", "internal/ctxio", "internal/editdistance", "internal/grubdir", "internal/osrelease", "disk/..."}, repositories)
	all          = slices.Concat(under, []string{"stages/...", "assemblers/...", "manifest", "catalog"})
)

// system is what any package may reach: it only stands for the kernel.
const system = "internal/unix"

// arrows says for each package which packages of the project it may reach.
var arrows = map[string][]string{
	"module":                {},
	"tree":                  {},
	"ledger":                {},
	"debian":                {"internal/editdistance", "internal/expand", "internal/pgp"},
	"internal/pgp":          {},
	"internal/command":      {},
	"internal/crypt":        {},
	"internal/ctxio":        {},
	"internal/redact":       {},
	"internal/osrelease":    {},
	"internal/grubdir":      {"tree", "internal/osrelease"},
	"rpmmd":                 {"internal/editdistance", "internal/expand", "internal/pgp", "internal/redact"},
	"examples":              {},
	"sbom":                  append([]string{"internal/editdistance", "internal/osrelease"}, repositories...),
	"manifest":              {"module", "internal/editdistance"},
	"lint":                  {"module", "manifest", "debian", "internal/crypt", "internal/editdistance", "internal/expand", "internal/pgp", "internal/redact"},
	"disk/...":              {"disk/...", "internal/ctxio", "internal/osrelease"},
	"stages":                {"module", "tree", "ledger", "internal/command", "internal/crypt", "internal/ctxio", "internal/editdistance", "internal/expand", "internal/grubdir", "internal/osrelease", "disk/...", "stages/contextname", "stages/keyboard", "stages/selabel", "stages/untar", "stages/packages/stub"},
	"stages/contextname":    {},
	"stages/keyboard":       {"internal/editdistance"},
	"stages/selabel":        {},
	"stages/untar":          {},
	"stages/packages":       append([]string{"module", "tree", "ledger", "internal/command", "internal/editdistance", "stages/packages/stub"}, repositories...),
	"stages/packages/stub":  {"tree"},
	"assemblers":            {"module", "tree", "ledger", "internal/command", "internal/ctxio", "internal/grubdir", "internal/osrelease", "disk/...", "assemblers/ostree"},
	"assemblers/ostree":     {"internal/ctxio"},
	"catalog":               all,
	"internal/runner":       {"module", "tree", "internal/command", "stages/packages/stub"},
	"internal/program":      {"module", "tree", "internal/command", "internal/ctxio", "internal/runner", "stages/packages/stub"},
	"cmd/osbuildkit-runner": slices.Concat(under, []string{"stages/...", "assemblers/...", "internal/runner"}),
	"llb":                   slices.Concat([]string{"module", "tree", "ledger", "internal/command", "internal/editdistance", "internal/grubdir", "internal/osrelease", "disk", "disk/mbr", "disk/gpt", "manifest", "stages/contextname", "stages/keyboard", "stages/packages/..."}, repositories),
	"frontend":              slices.Concat(all, []string{"lint", "llb", "examples", "sbom"}),
	"engine":                {"internal/private", "internal/redact", "internal/usernet"},
	"internal/usernet":      {},
	"internal/expand":       {},
	"internal/private":      {},
	system:                  {},
}

// light are the packages that import nothing of BuildKit.
var light = []string{"module", "internal/redact", "tree", "ledger", "debian", "rpmmd", "internal/pgp", "internal/command", "internal/crypt", "internal/ctxio", "internal/expand", "internal/grubdir", "internal/osrelease", "internal/private", system, "examples", "sbom", "manifest", "lint", "disk", "stages", "stages/packages", "assemblers", "catalog", "internal/runner", "internal/program", "cmd/osbuildkit-runner"}

type pkg struct {
	ImportPath string
	Deps       []string
}

func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Deps", project+"/...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	pkgs := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[strings.TrimPrefix(p.ImportPath, project+"/")] = p
	}
}

func matches(pattern, name string) bool {
	prefix, all := strings.CutSuffix(pattern, "/...")
	return name == prefix || all && strings.HasPrefix(name, prefix+"/")
}

func TestArrows(t *testing.T) {
	t.Parallel()
	pkgs := list(t)
	for pattern, allowed := range arrows {
		found := false
		for name, p := range pkgs {
			if !matches(pattern, name) {
				continue
			}
			found = true
			for _, dep := range p.Deps {
				dep, ours := strings.CutPrefix(dep, project+"/")
				if ours && dep != system && !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, dep) }) {
					t.Errorf("%s reaches %s, which it must not know", name, dep)
				}
			}
		}
		if !found {
			t.Errorf("there is no package %s any more: take it out of the table", pattern)
		}
	}
	for _, name := range light {
		for _, dep := range pkgs[name].Deps {
			if slices.ContainsFunc(heavy, func(h string) bool { return strings.HasPrefix(dep, h) }) {
				t.Errorf("%s reaches %s", name, dep)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	eachFile(t, func(path string, f *ast.File, fset *token.FileSet) {
		if n := fset.Position(f.End()).Line; n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", path, n, maxFileLines)
		}
		for _, d := range f.Decls {
			// The tables of table tests may be longer.
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || strings.HasSuffix(path, "_test.go") {
				continue
			}
			if n := fset.Position(fn.Body.Rbrace).Line - fset.Position(fn.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", path, fn.Name.Name, n, maxFunctionLines)
			}
		}
	})
}

func TestEveryExportedNameIsDocumented(t *testing.T) {
	t.Parallel()
	eachFile(t, func(path string, f *ast.File, _ *token.FileSet) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || exportedReceiver(d.Recv)) {
					t.Errorf("%s: %s has no doc comment", path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
						t.Errorf("%s: %s has no doc comment", path, ts.Name.Name)
					}
				}
			}
		}
	})
}

func exportedReceiver(recv *ast.FieldList) bool {
	typ := recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// eachFile parses every Go file of the repository.
func eachFile(t *testing.T, fn func(path string, f *ast.File, fset *token.FileSet)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != "../.." && (strings.HasPrefix(name, ".") || name == "bin" || name == "output" || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		fn(path, f, fset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
