package catalog

import (
	"embed"
	"encoding/json"
	"slices"

	"github.com/osbuildkit/osbuildkit/assemblers"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// Package is one package of built-in modules.
type Package struct {
	// Dir is the directory of the package below the root of the repository.
	Dir string
	// Modules returns the modules.
	Modules func() []module.Module
	// Schemas holds schema/NAME.json for each module that has options.
	Schemas embed.FS
}

// Packages returns the packages of built-in modules.
func Packages() []Package {
	return []Package{
		{Dir: "stages", Modules: stages.Modules, Schemas: stages.Schemas},
		{Dir: "stages/packages", Modules: packages.Modules, Schemas: packages.Schemas},
		{Dir: "assemblers", Modules: assemblers.Modules, Schemas: assemblers.Schemas},
	}
}

// Catalog is a set of modules. The zero value is empty; Builtin gives the
// built-in ones, and With adds the user's own. It implements manifest.Catalog.
type Catalog struct {
	entries map[key]entry
}

type key struct {
	kind module.Kind
	name string
}

type entry struct {
	module module.Module
	schema []byte
	// user is set for a module of the user.
	user *UserModule
}

// entry returns what is known of a module. Of the user's own ones that osbuild
// describes, the description is read when somebody asks.
func (c *Catalog) entry(kind module.Kind, name string) (entry, bool) {
	e, ok := c.entries[key{kind, name}]
	if e.user != nil {
		e.user.load()
		e.module, e.schema = e.user.Module, e.user.schema
	}
	return e, ok
}

// Builtin returns the catalog of the built-in modules.
func Builtin() *Catalog {
	c := &Catalog{entries: map[key]entry{}}
	for _, p := range Packages() {
		for _, m := range p.Modules() {
			e := entry{module: m}
			if !m.Internal() {
				// A test sees to it that each module has its schema.
				e.schema, _ = p.Schemas.ReadFile("schema/" + m.Name + ".json")
			}
			c.entries[key{m.Kind, m.Name}] = e
		}
	}
	return c
}

// Module returns the module of the given kind and name, be it internal or
// not, or nil.
func (c *Catalog) Module(kind module.Kind, name string) *module.Module {
	e, ok := c.entry(kind, name)
	if !ok {
		return nil
	}
	return &e.module
}

// Schema returns the JSON schema of the options of a module that a manifest
// may name, or false if there is none.
func (c *Catalog) Schema(kind module.Kind, name string) ([]byte, bool) {
	e, ok := c.entry(kind, name)
	if !ok || e.module.Internal() {
		return nil, false
	}
	if e.schema == nil {
		return []byte("{}"), true
	}
	return slices.Clone(e.schema), true
}

// Names lists the modules of a kind that a manifest may name, sorted.
func (c *Catalog) Names(kind module.Kind) []string {
	var names []string
	for k, e := range c.entries {
		usable := e.user == nil || e.user.Problem == ""
		if k.kind == kind && !e.module.Internal() && usable {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// Check reports what a schema cannot say about options that satisfy it. An
// unknown module has no problems; that it is unknown is for others to say.
func (c *Catalog) Check(kind module.Kind, name string, options json.RawMessage) []module.Problem {
	e, ok := c.entry(kind, name)
	if ok && e.user != nil && e.user.Problem != "" {
		return []module.Problem{{Message: e.user.Problem}}
	}
	switch {
	case ok && e.user != nil && kind == module.Assembler:
		return checkOutputs(options)
	case !ok || e.module.Check == nil:
		return nil
	}
	return e.module.Check(options)
}
