package docs

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

// code is what the tests know of the repository's source.
type code struct {
	// environment are the variables that programs read, each with a place that
	// reads it.
	environment map[string]string
	// unresolved are the places that read a variable whose name is not constant.
	unresolved []string
	// tests are the names of tests, fuzz targets and benchmarks.
	tests map[string]bool
	// declared are the names of what packages declare, fields among them, and of
	// what they use of others.
	declared map[string]bool
	// strings are the constant texts.
	strings map[string]bool
}

// source reads the source of the repository.
func source(t testing.TB) *code {
	t.Helper()
	c, err := readCode()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mentions reports whether a constant text has a text in it.
func (c *code) mentions(text string) bool {
	for s := range c.strings {
		if strings.Contains(s, text) {
			return true
		}
	}
	return false
}

// goFile is one file of Go.
type goFile struct {
	name string
	ast  *ast.File
	fset *token.FileSet
}

var readCode = sync.OnceValues(func() (*code, error) {
	dir, err := genfiles.Root()
	if err != nil {
		return nil, err
	}
	var files []goFile
	err = filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, full)
		if err == nil && d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "output") {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(full, ".go") || strings.HasPrefix(name, "internal/docs/") {
			return err
		}
		f := goFile{name: filepath.ToSlash(name), fset: token.NewFileSet()}
		f.ast, err = parser.ParseFile(f.fset, full, nil, 0)
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(files) < 100 {
		return nil, errors.New("the source is not there")
	}
	c := &code{environment: map[string]string{}, tests: map[string]bool{}, declared: map[string]bool{}, strings: map[string]bool{}}
	constants := map[string]map[string]ast.Expr{}
	for _, f := range files {
		at := path.Dir(f.name)
		if constants[at] == nil {
			constants[at] = map[string]ast.Expr{}
		}
		c.declarations(f, constants[at])
	}
	for _, f := range files {
		c.reads(f, constants)
	}
	return c, nil
})

// declarations notes what a file declares.
func (c *code) declarations(f goFile, constants map[string]ast.Expr) {
	c.declared[f.ast.Name.Name] = true
	for _, spec := range f.ast.Imports {
		c.declared[path.Base(strings.Trim(spec.Path.Value, `"`))] = true
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			c.declared[n.Name.Name] = true
			if strings.HasSuffix(f.name, "_test.go") && n.Recv == nil && testName.MatchString(n.Name.Name) {
				c.tests[n.Name.Name] = true
			}
		case *ast.SelectorExpr:
			c.declared[n.Sel.Name] = true
		case *ast.TypeSpec:
			c.declared[n.Name.Name] = true
		case *ast.Field:
			for _, id := range n.Names {
				c.declared[id.Name] = true
			}
		case *ast.ValueSpec:
			for i, id := range n.Names {
				c.declared[id.Name] = true
				if i < len(n.Values) {
					constants[id.Name] = n.Values[i]
				}
			}
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				c.strings[s] = true
			}
		}
		return true
	})
}

// reads notes the environment variables that a file reads.
func (c *code) reads(f goFile, constants map[string]map[string]ast.Expr) {
	imports := map[string]string{}
	for _, spec := range f.ast.Imports {
		full, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(full)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = strings.TrimPrefix(full, "github.com/osbuildkit/osbuildkit/")
	}
	var value func(at string, e ast.Expr, depth int) (string, bool)
	value = func(at string, e ast.Expr, depth int) (string, bool) {
		if depth > 8 {
			return "", false
		}
		switch e := e.(type) {
		case *ast.BasicLit:
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		case *ast.Ident:
			return value(at, constants[at][e.Name], depth+1)
		case *ast.SelectorExpr:
			if pkg, ok := e.X.(*ast.Ident); ok {
				return value(imports[pkg.Name], constants[imports[pkg.Name]][e.Sel.Name], depth+1)
			}
		case *ast.BinaryExpr:
			x, okX := value(at, e.X, depth+1)
			y, okY := value(at, e.Y, depth+1)
			return x + y, okX && okY
		}
		return "", false
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Getenv" && sel.Sel.Name != "LookupEnv" {
			return true
		}
		where := f.name + ":" + strconv.Itoa(f.fset.Position(call.Pos()).Line)
		if name, ok := value(path.Dir(f.name), call.Args[0], 0); ok {
			c.environment[name] = where
		} else {
			c.unresolved = append(c.unresolved, where)
		}
		return true
	})
}

var testName = regexp.MustCompile(`^(Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)

// makefile is what the tests know of the Makefile.
type makefile struct {
	text      string
	targets   []string // by name, not files
	files     []string
	variables []string
}

func readMakefile(t testing.TB) *makefile {
	t.Helper()
	m := &makefile{text: readFile(t, "Makefile")}
	var phony []string
	for _, line := range regexp.MustCompile(`(?m)^\.PHONY:(.*)$`).FindAllStringSubmatch(m.text, -1) {
		phony = append(phony, strings.Fields(line[1])...)
	}
	for _, line := range regexp.MustCompile(`(?m)^([A-Za-z][\w./ -]*?) *&?:(?:[^=]|$)`).FindAllStringSubmatch(m.text, -1) {
		for _, name := range strings.Fields(line[1]) {
			switch {
			case slices.Contains(phony, name):
				m.targets = append(m.targets, name)
			case strings.Contains(name, "/"):
				m.files = append(m.files, name)
			default:
				t.Errorf("Makefile: %s makes no file of that name and is not in .PHONY", name)
			}
		}
	}
	for _, name := range phony {
		if !slices.Contains(m.targets, name) {
			t.Errorf("Makefile: .PHONY names %s, which has no rule", name)
		}
	}
	for _, v := range regexp.MustCompile(`(?m)^(?:export )?([A-Z]\w*) *[?:]?=`).FindAllStringSubmatch(m.text, -1) {
		m.variables = append(m.variables, v[1])
	}
	for _, v := range regexp.MustCompile(`\$\$\{(\w+)`).FindAllStringSubmatch(m.text, -1) {
		m.variables = append(m.variables, v[1])
	}
	if len(m.targets) < 10 || len(m.variables) < 5 {
		t.Fatalf("the Makefile is not understood: targets %v, variables %v", m.targets, m.variables)
	}
	return m
}

// readFile reads a file of the repository.
func readFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// found lists what the first group of a pattern matches in a file.
func found(t testing.TB, name, pattern string) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(readFile(t, name), -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		t.Fatalf("%s has nothing like %s", name, pattern)
	}
	return out
}
