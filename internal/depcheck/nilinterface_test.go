package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A constructor that gives up returns nil and an error. If the nil is a pointer
// and what is returned to the caller is an interface, the interface is not nil:
// it holds a nil pointer, and who asks it for something crashes. So no value of
// a pointer type becomes an interface together with an error that may be set.
func TestNoNilPointerInInterface(t *testing.T) {
	t.Parallel()
	for _, where := range nilPointers(t, project+"/...") {
		t.Errorf("%s: a pointer that may be nil becomes an interface beside an error: look at the error first, and return nil itself", where)
	}
}

// The check finds what it is for.
func TestNilPointerIsFound(t *testing.T) {
	t.Parallel()
	const text = `package p
type I interface{ M() }
type T struct{}
func (*T) M() {}
func open() (*T, error) { return nil, nil }
func good() (I, error) { v, err := open(); if err != nil { return nil, err }; return v, nil }
func same() (*T, error) { return open() }
func passed() (I, error) { return open() }
func named() (I, error) { v, err := open(); return v, err }
func assigned() (v I, err error) { v, err = open(); return }
type S struct{ I I }
func (s *S) field() (err error) { s.I, err = open(); return }
func local() error { var v I; v, err := open(); if err != nil { return err }; v.M(); return nil }
func lit() func() (I, error) { return func() (I, error) { return open() } }
`
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "p.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	found, err := checkNilPointers(files, "p", []*ast.File{f}, importer.Default())
	if err != nil || fmt.Sprint(found) != "[p.go:8:28 p.go:9:45 p.go:10:36 p.go:12:35 p.go:14:59]" {
		t.Errorf("%v, %v", found, err)
	}
}

// nilPointers looks through packages, whose types go list has at hand.
func nilPointers(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles,Module", pattern)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
		Module                  *struct{ Path string }
	}
	exports := map[string]string{}
	var own []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Path == project {
			own = append(own, p)
		}
	}
	files := token.NewFileSet()
	imports := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var all []string
	for _, p := range own {
		var parsed []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
		found, err := checkNilPointers(files, p.ImportPath, parsed, imports)
		if err != nil {
			t.Errorf("%s: %v", p.ImportPath, err)
		}
		all = append(all, found...)
	}
	if len(own) < 20 {
		t.Errorf("only %d packages were looked at", len(own))
	}
	return all
}

// checkNilPointers returns the places in one package.
func checkNilPointers(files *token.FileSet, path string, parsed []*ast.File, imports types.Importer) ([]string, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	if _, err := (&types.Config{Importer: imports}).Check(path, files, parsed, info); err != nil {
		return nil, err
	}
	c := &nilCheck{files: files, info: info}
	for _, f := range parsed {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				c.body(fn.Body, info.Defs[fn.Name].Type().(*types.Signature))
			} else if !ok {
				ast.Inspect(d, func(n ast.Node) bool { // functions in variables
					if lit, ok := n.(*ast.FuncLit); ok {
						c.body(lit.Body, info.Types[lit].Type.(*types.Signature))
						return false
					}
					return true
				})
			}
		}
	}
	return c.found, nil
}

type nilCheck struct {
	files *token.FileSet
	info  *types.Info
	found []string
}

// body looks at the statements of one function; those in it that are literals
// have results of their own.
func (c *nilCheck) body(body *ast.BlockStmt, sig *types.Signature) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			c.body(n.Body, c.info.Types[n].Type.(*types.Signature))
			return false
		case *ast.ReturnStmt:
			var to []types.Type
			for v := range sig.Results().Variables() {
				to = append(to, v.Type())
			}
			c.pass(n, to, n.Results)
		case *ast.AssignStmt:
			var to []types.Type
			for i, l := range n.Lhs {
				v := c.typeOf(l)
				if id, ok := l.(*ast.Ident); ok && i < len(n.Lhs)-1 && !isResult(sig, c.info.Uses[id]) {
					v = nil // a variable of the function, which looks at the error next
				}
				to = append(to, v)
			}
			if len(n.Rhs) == 1 {
				c.pass(n, to, n.Rhs)
			}
		}
		return true
	})
}

// isResult tells whether an object is a named result.
func isResult(sig *types.Signature, o types.Object) bool {
	for v := range sig.Results().Variables() {
		if v == o {
			return true
		}
	}
	return false
}

// typeOf is the type of an expression, nil for the blank identifier.
func (c *nilCheck) typeOf(e ast.Expr) types.Type {
	if id, ok := e.(*ast.Ident); ok {
		if o := c.info.Defs[id]; o != nil {
			return o.Type()
		}
		if o := c.info.Uses[id]; o != nil {
			return o.Type()
		}
		return nil
	}
	return c.info.Types[e].Type
}

// pass looks at values that become those of the types: the results of one call,
// or variables and, as the last one, an error that is not nil by itself.
func (c *nilCheck) pass(at ast.Node, to []types.Type, from []ast.Expr) {
	if len(from) == 0 || len(to) < 2 || to[len(to)-1] == nil || to[len(to)-1].String() != "error" {
		return
	}
	var have []types.Type
	if len(from) == 1 {
		results, ok := c.info.Types[from[0]].Type.(*types.Tuple)
		if !ok {
			return
		}
		for v := range results.Variables() {
			have = append(have, v.Type())
		}
	} else {
		if id, ok := from[len(from)-1].(*ast.Ident); !ok || id.Name == "nil" {
			return
		}
		for _, e := range from {
			v := c.typeOf(e)
			if _, ok := e.(*ast.Ident); !ok {
				v = nil // &T{…} is not nil
			}
			have = append(have, v)
		}
	}
	for i, target := range to[:len(to)-1] {
		if target == nil || have[i] == nil || !types.IsInterface(target) {
			continue
		}
		if _, ok := have[i].Underlying().(*types.Pointer); ok {
			c.found = append(c.found, c.files.Position(at.Pos()).String())
		}
	}
}
