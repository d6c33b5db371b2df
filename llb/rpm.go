package llb

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// dnf expands org.osbuild.dnf: it installs RPM packages.
func (g *Graph) dnf(ctx context.Context, at place, t Tree) (Tree, error) {
	var o packages.DnfOptions
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return Tree{}, err
	}
	return g.installRPMs(ctx, at, t, o, "")
}

// yum expands org.osbuild.yum.
func (g *Graph) yum(ctx context.Context, at place, t Tree) (Tree, error) {
	var o packages.YumOptions
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return Tree{}, err
	}
	return g.installRPMs(ctx, at, t, o.Dnf(), o.Verbosity)
}

func (g *Graph) installRPMs(ctx context.Context, at place, t Tree, o packages.DnfOptions, verbosity string) (Tree, error) {
	o = o.WithDefaults(rpmmd.BaseArch(g.opt.Platform.Architecture, g.opt.Platform.Variant))
	if err := g.completeKeys(ctx, &o); err != nil {
		return Tree{}, err
	}
	job, err := o.Job()
	if err != nil {
		return Tree{}, err
	}
	job.Verbosity = verbosity
	var sources []*rpmSource
	for i, r := range o.Repos {
		s, err := g.rpmSource(ctx, at, i, o, r)
		if err != nil {
			return Tree{}, fmt.Errorf("repository %s: %w", r.ID, err)
		}
		sources = append(sources, s)
	}
	if g.opt.Epoch == nil && len(t.RPMLists) == 0 {
		t.setEpoch(epochOf(sources, t.Epoch))
	}
	list, solved, err := g.solveRPMs(ctx, at, t, job, sources)
	if err != nil {
		return Tree{}, err
	}
	rpms, err := g.rpmPackages(ctx, at, o, list, sources)
	if err != nil {
		return Tree{}, err
	}
	// What is installed later may take the place of what is there.
	t.Unlisted = t.Unlisted || len(t.RPMLists) > 0 || job.Operation != "install"
	t.RPMLists = append(t.RPMLists, *list)
	// As in packages, the decision is copied so that its key is its content.
	decision := llb.Scratch().File(llb.Copy(solved, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true, CreatedTime: epochTime()}),
		llb.WithCustomName("[internal] list of "+at.name("")))
	parts := []part{
		{packages.PreparePart, "prepare", nil, nil},
		{packages.DnfApply, "install", job, map[string]llb.State{"rpms": rpms, "list": decision}},
	}
	if o.Cleaned() {
		parts = append(parts, part{packages.NormalisePart, "normalise", nil, nil})
	}
	return g.sequence(ctx, at, t, parts)
}

// completeKeys adds the keys that are given with the build, where the manifest
// names some by their fingerprints alone.
func (g *Graph) completeKeys(ctx context.Context, o *packages.DnfOptions) error {
	if !o.LacksKeys() {
		return nil
	}
	if g.opt.Keys != nil {
		given, err := g.opt.Keys(ctx)
		if err != nil {
			return err
		}
		o.Gpgkeys = slices.Concat(o.Gpgkeys, given)
	}
	for _, r := range o.Repos {
		if _, err := o.Keys(r); r.Gpgkey != "" && err != nil {
			return fmt.Errorf("repository %s: %w; put the text of the key into \"gpgkeys\", or give it with the build: --build-context keys=DIRECTORY, with a file that has it", r.ID, err)
		}
	}
	return nil
}

// epochOf returns the time of the newest file of the repositories: what was
// made of them is as old as they are.
func epochOf(sources []*rpmSource, otherwise int64) int64 {
	var newest int64
	for _, s := range sources {
		for _, d := range s.repomd.Data {
			newest = max(newest, d.Timestamp)
		}
	}
	if newest == 0 {
		return otherwise
	}
	return newest
}

// solveRPMs runs the step that decides which packages are needed, and reads
// what it has decided.
func (g *Graph) solveRPMs(ctx context.Context, at place, t Tree, job packages.DnfJob, sources []*rpmSource) (*rpmmd.PackageList, llb.State, error) {
	var files []download
	for i, r := range sources {
		f, err := r.files(i)
		if err != nil {
			return nil, llb.State{}, err
		}
		files = append(files, f...)
	}
	data, out, err := g.decide(ctx, at, t, packages.DnfSolve, job.ForSolve(), files, rpmmd.ListFile)
	if err != nil {
		return nil, llb.State{}, err
	}
	list, err := rpmmd.ParseList(data)
	if err != nil {
		return nil, llb.State{}, err
	}
	for _, p := range list.Packages {
		if p.Repository >= len(sources) {
			return nil, llb.State{}, fmt.Errorf("the package list names repository %d of %d", p.Repository, len(sources))
		}
	}
	return list, out, nil
}

// RPMInventory returns what rpm says of the packages of a tree, the state after
// the last stage of a pipeline: see packages.InventoryFormat.
func (g *Graph) RPMInventory(ctx context.Context, pipeline string, t Tree) ([]byte, error) {
	p := g.m.Pipeline(pipeline)
	if p == nil {
		return nil, fmt.Errorf("no pipeline %q in %s", pipeline, g.m.File)
	}
	m, err := g.part(packages.RPMInventory)
	if err != nil {
		return nil, err
	}
	// A pipeline without stages is a stored tree as it is.
	at := place{pipeline: p, stage: &manifest.Stage{Type: "base", Kind: module.Stage, Pointer: manifest.JoinPointer(p.Pointer, "base")}, label: g.opt.Label}
	if n := len(p.Stages); n > 0 {
		at.stage, at.number = p.Stages[n-1], n
	}
	out, err := g.run(ctx, at, t, step{module: m, part: "list what is installed", options: json.RawMessage("{}"), readonly: true, output: true})
	if err != nil {
		return nil, err
	}
	return g.opt.Resolver.ReadFile(ctx, out.output, "/"+packages.InventoryFile)
}
