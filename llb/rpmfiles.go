package llb

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// rpmFiles expands org.osbuild.rpm: it installs package files that are sources
// of the manifest.
func (g *Graph) rpmFiles(ctx context.Context, at place, t Tree) (Tree, error) {
	var o packages.RPMOptions
	if err := json.Unmarshal(at.stage.Options, &o); err != nil {
		return Tree{}, err
	}
	var files []download
	seen := map[string]bool{}
	for _, p := range o.Packages {
		if seen[p.File()] {
			continue
		}
		seen[p.File()] = true
		d, err := g.sourceFile(at, p.Checksum)
		if err != nil {
			return Tree{}, err
		}
		d.name = p.File()
		files = append(files, d)
	}
	rpms, err := g.fetchSources(ctx, downloadName(at, len(files)), files, g.constraints(at)...)
	if err != nil {
		return Tree{}, err
	}
	if t, err = g.inspectRPMs(ctx, at, t, o, rpms); err != nil {
		return Tree{}, err
	}
	return g.sequence(ctx, at, t, []part{
		{packages.PreparePart, "prepare", nil, nil},
		{packages.RPMApply, "install", o, map[string]llb.State{"rpms": rpms}},
		{packages.NormalisePart, "normalise", nil, nil},
	})
}

// inspectRPMs notes in the tree which packages there are, and when the newest
// one was built where nothing else has said how old the tree is.
func (g *Graph) inspectRPMs(ctx context.Context, at place, t Tree, o packages.RPMOptions, rpms llb.State) (Tree, error) {
	m, err := g.part(packages.RPMInspect)
	if err != nil {
		return Tree{}, err
	}
	options, err := encodeOptions(packages.RPMOptions{Packages: o.Packages})
	if err != nil {
		return Tree{}, err
	}
	none := Tree{Root: llb.Scratch(), Ledger: llb.Scratch()}
	out, err := g.run(ctx, at, none, step{module: m, part: "inspect", options: options, readonly: true, output: true, inputs: map[string]llb.State{"rpms": rpms}})
	if err != nil {
		return Tree{}, err
	}
	data, err := g.opt.Resolver.ReadFile(ctx, out.output, "/"+rpmmd.ListFile)
	if err != nil {
		return Tree{}, err
	}
	list, err := rpmmd.ParseList(data)
	if err != nil {
		return Tree{}, err
	}
	if g.opt.Epoch == nil && len(t.RPMLists) == 0 {
		built, err := g.opt.Resolver.ReadFile(ctx, out.output, "/"+packages.BuiltFile)
		if err != nil {
			return Tree{}, err
		}
		seconds, err := strconv.ParseInt(string(built), 10, 64)
		if err != nil {
			return Tree{}, err
		}
		if seconds > 0 {
			t.setEpoch(seconds)
		}
	}
	t.Unlisted = t.Unlisted || len(t.RPMLists) > 0
	t.RPMLists = append(t.RPMLists, *list)
	return t, nil
}
