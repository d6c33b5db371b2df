package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// libdirHelp describes --libdir.
const libdirHelp = "add the stages and assemblers in this `DIRECTORY`"

func addLibdirFlag(fl *pflag.FlagSet, dir *string) {
	fl.StringVarP(dir, "libdir", "l", "", libdirHelp)
}

// readLibdir returns the modules that a directory adds to the built-in ones;
// "" stands for none. Nothing outside the directory is read. What is wrong with
// the descriptions in it has been shown when it returns.
func (a *app) readLibdir(dir string) (*catalog.Catalog, error) {
	builtin := catalog.Builtin()
	if dir == "" {
		return builtin, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, usageError("--libdir: %w; give a directory with stages/ and assemblers/, or an image as --build-context %s=…", err, frontend.LibdirContext)
	}
	// Not closed: how osbuild describes a module is read when it is asked for.
	files, ok := root.FS().(catalog.Dir)
	if !ok {
		return nil, errors.New("--libdir: the directory cannot be listed")
	}
	user, err := catalog.ReadUser(files, dir)
	var wrong manifest.Errors
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(a.stderr, wrong.Error())
		return nil, &exitError{code: exitInvalid, err: err, quiet: true}
	case err != nil:
		return nil, usageError("--libdir: %w", err)
	}
	return builtin.With(user), nil
}

// findLibdir takes libdir/ beside the manifest where nothing else is given. The
// frontend does so with the main context.
func (f *manifestFlags) findLibdir(manifest string) {
	if f.libdir == "" && f.modules == nil && manifest != "-" {
		f.libdir = frontend.FindLibdir(filepath.Dir(manifest))
	}
}

// modules is the catalog that a manifest is checked against.
func (a *app) modules(f *manifestFlags) (manifest.Catalog, error) {
	if f.modules != nil {
		return f.modules, nil
	}
	c, err := a.readLibdir(f.libdir)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// contextModules looks for modules among the named contexts of a build. Those
// in an image are known only to the builder, so then all is taken here, and
// the frontend checks.
func (a *app) contextModules(f *buildFlags) error {
	for _, entry := range f.contexts {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name != frontend.LibdirContext:
		case f.libdir != "":
			return usageError("--build-context %s: --libdir %s is given as well, and it is the same", entry, f.libdir)
		case strings.Contains(value, "://") || strings.HasPrefix(value, "git@"):
			f.modules = anyModule{}
		default:
			c, err := a.readLibdir(value)
			if err != nil {
				return err
			}
			f.modules = c
		}
	}
	return nil
}

// anyModule is a catalog in which all that a manifest can name exists.
type anyModule struct{}

func (anyModule) Schema(module.Kind, string) ([]byte, bool) { return []byte(manifest.AnyOptions), true }

func (anyModule) Names(module.Kind) []string { return nil }

func (anyModule) Check(module.Kind, string, json.RawMessage) []module.Problem { return nil }

// describeModule prints the help for all modules of a name.
func (a *app) describeModule(c *catalog.Catalog, name string) error {
	if err := moduleError(c, name); err != nil {
		return err
	}
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		if _, ok := c.Schema(kind, name); !ok {
			continue
		}
		text, err := c.Describe(kind, name)
		if err != nil {
			return err
		}
		fmt.Fprint(a.stdout, text)
	}
	return nil
}

// moduleError reports a name that no module has, or one that cannot be used.
func moduleError(c *catalog.Catalog, name string) error {
	var names []string
	found := false
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		if u := c.User(kind, name); u != nil && u.Problem != "" {
			return usageError("%s", u.Problem)
		}
		_, ok := c.Schema(kind, name)
		found = found || ok
		names = append(names, c.Names(kind)...)
	}
	if found {
		return nil
	}
	if near := manifest.Nearest(name, names); near != "" {
		return usageError("no stage or assembler %q; did you mean %q?", name, near)
	}
	return usageError("no stage or assembler %q; 'osbuildkit stages' lists them", name)
}
