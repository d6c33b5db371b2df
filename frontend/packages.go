package frontend

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/osbuildkit/osbuildkit/debian"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	spdx "github.com/osbuildkit/osbuildkit/sbom"
)

// packageList lists the packages of the tree that an image is made from: the RPM
// packages, or Debian's where there are none. It is nil where there are none at
// all.
func (b *build) packageList(ctx context.Context, g *graph.Graph, t graph.Tree) ([]byte, error) {
	switch {
	case t.Unlisted:
		list, err := b.installedPackages(ctx, g, t)
		if err != nil {
			return nil, fmt.Errorf("listing the packages of the tree: %w", err)
		}
		return list, nil
	case len(t.RPMLists) > 0:
		return rpmmd.MergeLists(t.RPMLists).Encode()
	case len(t.Lists) > 0:
		return debian.MergeLists(t.Lists).Encode()
	}
	return nil, nil
}

// installedPackages lists the packages that the tree's own database has.
func (b *build) installedPackages(ctx context.Context, g *graph.Graph, t graph.Tree) ([]byte, error) {
	tree, err := g.Pipeline(ctx, manifest.TreePipeline)
	if err != nil {
		return nil, err
	}
	// A tree that has had RPM packages is not looked at: it may be in a cache that
	// is far away, and the list with it.
	if len(t.RPMLists) == 0 {
		ref, err := b.solve(ctx, tree.Root, true)
		if err != nil || ref == nil { // an image without files
			return nil, err
		}
		if _, err := ref.StatFile(ctx, gwclient.StatRequest{Path: spdx.DebianStatus}); err == nil {
			status, err := dockerui.ReadFile(ctx, ref, spdx.DebianStatus)
			if err != nil {
				return nil, err
			}
			return debian.EncodeInstalled(status, debian.MergeLists(t.Lists))
		}
		if !hasRPMs(ctx, ref) {
			return nil, nil
		}
	}
	inventory, err := g.RPMInventory(ctx, manifest.TreePipeline, tree)
	if err != nil {
		return nil, err
	}
	return rpmmd.EncodeInstalled(inventory, rpmmd.MergeLists(t.RPMLists))
}
