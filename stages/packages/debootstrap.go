package packages

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/module"
)

// solveDebootstrap is the part org.osbuildkit.debootstrap.solve.
func solveDebootstrap(_ context.Context, in *module.Input) error {
	var o DebootstrapSolveOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	if len(o.Repos) == 0 || o.Repos[0].Arch == "" {
		return fmt.Errorf("the options name no repository with its \"arch\"")
	}
	dir, err := input(in, "repos")
	if err != nil {
		return err
	}
	suite := o.Repos[0].Suite
	index := debian.NewIndex(o.Repos[0].Arch)
	var infos []debian.Repository
	for i, r := range o.Repos {
		repo, err := openRepository(dir, i, r)
		if err != nil {
			return err
		}
		if err := repo.read(index, i); err != nil {
			return err
		}
		infos = append(infos, repo.info)
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
		return fmt.Errorf("suite %s: %w", suite, err)
	}
	list.Repositories = infos
	var size int64
	for i := range list.Packages {
		size += list.Packages[i].Size
	}
	in.Logf("%d packages, %.1f MB, of %d in %s (%s)", len(list.Packages), float64(size)/1e6, index.Len(), suite, infos[0].Date.Format("2006-01-02"))
	return writeList(in.OutputDir, list)
}
