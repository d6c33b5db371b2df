package cli

import (
	"encoding/csv"
	"errors"
	"strings"

	imageref "github.com/distribution/reference"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/frontend"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/module"
)

// checkManifest reports build arguments that nobody knows and, unless only ids are
// asked for, what a build of the manifest would refuse whatever it is given.
func (s *source) checkManifest(args map[string]string, idsOnly bool) error {
	var wrong []error
	if _, err := s.lintConfig(args); err != nil {
		wrong = append(wrong, err)
	}
	if err := frontend.CheckArgs(s.m, args); err != nil {
		wrong = append(wrong, err)
	}
	// What modules there are in an image only the builder knows; it checks then.
	if c, ok := s.modules.(*catalog.Catalog); ok && !idsOnly {
		own := func(kind module.Kind, name string) bool { return c.User(kind, name) != nil }
		if found := graph.Check(s.m, own); len(found) > 0 {
			wrong = append(wrong, found)
		}
	}
	return frontend.JoinErrors(wrong...)
}

// lintConfig is the configuration of the checks that is given as a build argument,
// or else stands in the manifest.
func (s *source) lintConfig(args map[string]string) (frontend.LintConfig, error) {
	c, unknown, err := frontend.FindLintConfig(s.name, s.data, args)
	if err == nil && len(unknown) > 0 {
		err = errors.New(strings.Join(unknown, "\n"))
	}
	return c, err
}

// checkNames reports options of a build that name nothing.
func (f *buildFlags) checkNames(s *source, target string) error {
	given, err := f.contextNames()
	if err != nil {
		return err
	}
	if wrong := frontend.CheckContexts(s.m, given); len(wrong) > 0 {
		return usageError("--build-context: %s", wrong[0])
	}
	replaced := f.toolbox != ""
	for _, name := range given {
		replaced = replaced || name == frontend.ToolboxContext
	}
	var modules frontend.Modules
	if c, ok := s.modules.(*catalog.Catalog); ok {
		modules = c
	}
	for _, o := range []struct{ flag, names string }{{"no-cache", f.noCache}, {"verify-reproducible", f.reproducible}} {
		if o.names == allPipelines || o.names == "" && !f.changed(o.flag) {
			continue
		}
		if err := frontend.CheckPipelines(s.m, modules, target, strings.Split(o.names, ","), !replaced); err != nil {
			return usageError("--%s: %w", o.flag, err)
		}
	}
	ids, err := f.secretIDs()
	if err != nil {
		return err
	}
	if err := frontend.CheckSecrets(s.m, ids); err != nil {
		return usageError("--secret: %w", err)
	}
	return nil
}

// secretIDs lists the ids of --secret.
func (f *buildFlags) secretIDs() ([]string, error) {
	var ids []string
	for _, value := range f.secrets {
		fields, err := csv.NewReader(strings.NewReader(value)).Read()
		if err != nil {
			return nil, usageError("--secret %q: %w", value, err)
		}
		for _, field := range fields {
			if key, id, _ := strings.Cut(field, "="); strings.EqualFold(key, "id") {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// contextNames lists the names of --build-context. One that is given twice would
// have one value without effect.
func (f *buildFlags) contextNames() ([]string, error) {
	var names []string
	seen := map[string]bool{}
	if f.toolbox != "" {
		seen[frontend.ToolboxContext] = true
	}
	for _, entry := range f.contexts {
		name, _, err := splitContext(entry)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, usageError("--build-context %s: it is given more than once", name)
		}
		seen[name] = true
		names = append(names, name)
	}
	return names, nil
}

// splitContext splits NAME=VALUE and gives the name in the form that BuildKit has
// it in.
func splitContext(entry string) (name, value string, err error) {
	name, value, ok := strings.Cut(entry, "=")
	if !ok || name == "" || value == "" {
		return "", "", usageError("--build-context %q: write NAME=VALUE", entry)
	}
	named, err := imageref.ParseNormalizedNamed(name)
	if err != nil {
		return "", "", usageError("--build-context %q: %w", entry, err)
	}
	return strings.TrimSuffix(imageref.FamiliarString(named), ":latest"), value, nil
}
