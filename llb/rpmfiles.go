package llb

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/moby/buildkit/client/llb"

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
		d, err := g.sourceFile(p.Checksum)
		if err != nil {
			return Tree{}, err
		}
		d.name = p.File()
		files = append(files, d)
	}
	rpms, err := g.fetch(ctx, fmt.Sprintf("%s: download %d packages", at.name(""), len(files)), files, g.constraints(at)...)
	if err != nil {
		return Tree{}, err
	}
	return g.sequence(ctx, at, t, []part{
		{packages.PreparePart, "prepare", nil, nil},
		{packages.RPMApply, "install", o, map[string]llb.State{"rpms": rpms}},
		{packages.NormalisePart, "normalise", nil, nil},
	})
}
