package packages

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

// solveDebootstrap is the part org.osbuildkit.debootstrap.solve.
func solveDebootstrap(_ context.Context, in *module.Input) error {
	var o DebootstrapOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	if o.Arch == "" {
		return fmt.Errorf("the options name no \"arch\"")
	}
	o = o.WithDefaults(o.Arch)
	dir, err := input(in, "repos")
	if err != nil {
		return err
	}
	repo, err := openRepository(dir, 0, RepositoryOptions{Suite: o.Suite, Components: o.Components, Arch: o.Arch, Keyring: o.Keyring})
	if err != nil {
		return err
	}
	index := debian.NewIndex(o.Arch)
	if err := repo.read(index, 0); err != nil {
		return err
	}
	req := debian.Request{
		Priorities: []string{"required"},
		// usrmerge moves the directories of a running system; the tree has
		// them merged from the first file on, which the other package states.
		Prefer: []string{"usr-is-merged"},
	}
	switch o.Variant {
	case "required":
	case "minbase":
		req.Packages = append(req.Packages, "apt")
	case "important":
		req.Priorities = append(req.Priorities, "important")
		req.Packages = append(req.Packages, "apt")
	default:
		return fmt.Errorf("variant %q is not one of minbase, required, important", o.Variant)
	}
	req.Packages = append(req.Packages, o.Packages...)
	list, err := index.Solve(req)
	if err != nil {
		return fmt.Errorf("suite %s: %w", o.Suite, err)
	}
	list.Repositories = []debian.Repository{repo.info}
	var size int64
	for i := range list.Packages {
		size += list.Packages[i].Size
	}
	in.Logf("%d packages, %.1f MB, of %d in %s (%s)", len(list.Packages), float64(size)/1e6, index.Len(), o.Suite, repo.info.Date.Format("2006-01-02"))
	return writeList(in.OutputDir, list)
}
