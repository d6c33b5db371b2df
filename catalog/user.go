package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// Dir is a directory with modules of the user, on a disk or in a state that a
// builder has solved. Names are slash-separated and relative, as in io/fs. An
// os.Root's file system is one, and so is any fs.FS with these two methods.
type Dir interface {
	// ReadDir lists a directory, sorted by name; links are not followed.
	ReadDir(name string) ([]fs.DirEntry, error)
	// ReadFile reads a regular file.
	ReadFile(name string) ([]byte, error)
}

// Bounds of what a directory of modules may hold.
const (
	maxUserEntries  = 2000
	maxUserProgram  = 256 << 20
	maxUserNameSize = 200
)

// UserDirs are the directories with the modules of each kind, as osbuild
// names them.
var UserDirs = map[module.Kind]string{module.Stage: "stages", module.Assembler: "assemblers"}

// filesSuffix is the end of the name of a directory with files that one module
// needs.
const filesSuffix = ".d"

// UserModule is one module of the user.
type UserModule struct {
	module.Module
	// Program is the file to be run, relative to the directory of modules.
	Program string
	// Files is the directory beside it that belongs to the module, or empty.
	Files string
	// Description is the text that its NAME.json gives, in paragraphs.
	Description string
	// Problem says why the module cannot be used; it is empty if it can.
	Problem string

	// Python says that the program imports osbuild's Python package, which is
	// then the directory PackageDir beside stages/.
	Python bool

	schema []byte
	load   func()
}

// PackageDir is the Python package of an osbuild installation, in the directory
// of modules.
const PackageDir = "osbuild"

// User is the set of modules in one directory.
type User struct {
	modules []*UserModule
	// Package says that the directory holds osbuild's Python package.
	Package bool
}

// userName are the names that a module may have. They are used as file names
// and stand in the display, so nothing else is taken.
var userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// ReadUser reads the modules in stages/ and assemblers/ of a directory. The
// title stands for the directory in messages. Wrong descriptions are reported
// together, as manifest.Errors; a file that cannot be a module is an error
// only for a manifest that names it.
func ReadUser(dir Dir, title string) (*User, error) {
	top, err := dir.ReadDir(".")
	if err != nil {
		return nil, err
	}
	u := &User{Package: slices.ContainsFunc(top, func(e fs.DirEntry) bool { return e.Name() == PackageDir && e.IsDir() })}
	var wrong manifest.Errors
	found := false
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		i := slices.IndexFunc(top, func(e fs.DirEntry) bool { return e.Name() == UserDirs[kind] })
		if i < 0 {
			continue
		}
		found = true
		if !top[i].IsDir() {
			return nil, fmt.Errorf("%s is %s, and a directory is needed", path.Join(title, UserDirs[kind]), what(top[i].Type()))
		}
		err := u.read(dir, title, kind)
		var several manifest.Errors
		switch {
		case errors.As(err, &several):
			wrong = append(wrong, several...)
		case err != nil:
			return nil, err
		}
	}
	if !found {
		return nil, fmt.Errorf("%s holds neither stages/ nor assemblers/: modules of your own are stages/NAME and assemblers/NAME", title)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return u, nil
}

// read reads the modules of one kind.
func (u *User) read(dir Dir, title string, kind module.Kind) error {
	sub := UserDirs[kind]
	list, err := dir.ReadDir(sub)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join(title, sub), err)
	}
	if len(list) > maxUserEntries {
		return fmt.Errorf("%s holds %d files, more than %d", path.Join(title, sub), len(list), maxUserEntries)
	}
	entries := map[string]fs.DirEntry{}
	for _, e := range list {
		entries[e.Name()] = e
	}
	var wrong manifest.Errors
	for _, e := range list {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if base, ok := strings.CutSuffix(name, ".json"); ok {
			if owner, osbuild := strings.CutSuffix(name, metaSuffix); entries[base] == nil && (!osbuild || entries[owner] == nil) {
				wrong = append(wrong, fileError(path.Join(title, sub, name),
					"it describes no module: there is no file "+path.Join(sub, base), "name it as the module, with .json"))
			}
			continue
		}
		if owner, ok := strings.CutSuffix(name, filesSuffix); ok && e.IsDir() && entries[owner] != nil {
			continue
		}
		m, err := userModule(dir, title, kind, e, entries)
		var several manifest.Errors
		switch {
		case errors.As(err, &several):
			wrong = append(wrong, several...)
		case err != nil:
			return err
		default:
			u.modules = append(u.modules, m)
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

// userModule describes one entry of stages/ or assemblers/.
func userModule(dir Dir, title string, kind module.Kind, e fs.DirEntry, entries map[string]fs.DirEntry) (*UserModule, error) {
	sub, name := UserDirs[kind], e.Name()
	m := &UserModule{
		load: func() {},
		Module: module.Module{
			Name: name, Kind: kind, Sandbox: module.Tools, Group: module.GroupPrograms,
			Summary: "the program " + path.Join(sub, name),
			Options: func() any { return &map[string]any{} },
		},
		Program: path.Join(sub, name),
		schema:  []byte(manifest.AnyOptions),
	}
	info, err := e.Info()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Join(title, m.Program), err)
	}
	m.Problem = programProblem(m.Program, info)
	if f, ok := entries[name+filesSuffix]; ok {
		m.Files = path.Join(sub, f.Name())
		if !f.IsDir() && m.Problem == "" {
			m.Problem = fmt.Sprintf("%s is %s, and a directory with files for %s is needed", m.Files, what(f.Type()), m.Program)
		}
	}
	if m.Problem != "" {
		return m, nil
	}
	description, ok := entries[name+".json"]
	size := info.Size()
	m.load = sync.OnceFunc(func() { m.readOsbuild(dir, size, !ok, entries[name+metaSuffix]) })
	if !ok {
		return m, nil
	}
	file := path.Join(title, sub, description.Name())
	info, err = description.Info()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case !info.Mode().IsRegular():
		return nil, manifest.Errors{fileError(file, "it is "+what(info.Mode().Type()), "put the file itself there")}
	case info.Size() > manifest.MaxModuleFile:
		return nil, manifest.Errors{fileError(file, fmt.Sprintf("it has %d bytes; the limit is %d", info.Size(), manifest.MaxModuleFile), "")}
	}
	data, err := dir.ReadFile(path.Join(sub, description.Name()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d, err := manifest.ParseModuleFile(file, kind, data)
	if err != nil {
		return nil, err
	}
	if d.Summary != "" {
		m.Summary = d.Summary
	}
	m.Description, m.Sandbox, m.schema = d.Description, d.Sandbox, d.Schema
	if d.Network {
		m.Network = func(json.RawMessage) bool { return true }
	}
	return m, nil
}

// programProblem says why a file cannot be run as a module, if it cannot.
func programProblem(file string, info fs.FileInfo) string {
	switch name := info.Name(); {
	case len(name) > maxUserNameSize || !userName.MatchString(name):
		return fmt.Sprintf("%q cannot be the name of a module: use letters, digits, \".\", \"_\" and \"-\", at most %d", name, maxUserNameSize)
	case info.Mode()&fs.ModeSymlink != 0:
		return file + " is a link; put the program itself there"
	case !info.Mode().IsRegular():
		return fmt.Sprintf("%s is %s and not a program", file, what(info.Mode().Type()))
	case info.Mode().Perm()&0o111 == 0:
		return file + " is not executable: chmod +x it"
	case info.Size() == 0:
		return file + " is empty"
	case info.Size() > maxUserProgram:
		return fmt.Sprintf("%s has %d bytes; the limit is %d", file, info.Size(), maxUserProgram)
	}
	return ""
}

// what names a type of file.
func what(t fs.FileMode) string {
	switch t.Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a link"
	case fs.ModeNamedPipe:
		return "a pipe"
	case fs.ModeSocket:
		return "a socket"
	}
	return "a device"
}

// fileError is an error about a file as a whole.
func fileError(file, message, hint string) *manifest.Error {
	at := manifest.Position{Line: 1, Column: 1}
	return &manifest.Error{File: file, Position: at, Span: manifest.Span{Start: at, End: at}, Message: message, Hint: hint}
}

// With returns a catalog that has the modules of the user as well. A module of
// the user with the name of a built-in one takes its place, as with osbuild's
// --libdir; the parts that built-in stages are made of stay as they are.
func (c *Catalog) With(u *User) *Catalog {
	out := &Catalog{entries: make(map[key]entry, len(c.entries)+len(u.modules))}
	maps.Copy(out.entries, c.entries)
	for _, m := range u.modules {
		out.entries[key{m.Kind, m.Name}] = entry{module: m.Module, schema: m.schema, user: m}
	}
	return out
}

// User returns the module of the user with the given kind and name, or nil if
// there is none or it is a built-in one.
func (c *Catalog) User(kind module.Kind, name string) *UserModule {
	e, _ := c.entry(kind, name)
	return e.user
}

// paragraphs say what is particular to a module of the user.
func (m *UserModule) paragraphs() []string {
	var out []string
	for paragraph := range strings.SplitSeq(m.Description, "\n\n") {
		if strings.TrimSpace(paragraph) != "" {
			out = append(out, paragraph)
		}
	}
	root := "the build root"
	if m.Sandbox == module.Inside {
		root = "the tree"
	}
	network := ""
	if m.Network != nil {
		network = ", with access to the network"
	}
	return append(out, "A module of your own: "+m.Program+", run in "+root+network+".")
}
