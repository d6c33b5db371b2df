package frontend

import (
	"context"
	"fmt"
	"strings"
	"time"

	intoto "github.com/in-toto/in-toto-golang/in_toto"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/attestations/sbom"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/result"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/debian"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	spdx "github.com/osbuildkit/osbuildkit/sbom"
)

// sbomAttribute is BuildKit's option that asks for a bill of materials.
const sbomAttribute = "attest:sbom"

// billOfMaterials describes the tree that a target is made from. A scanner of
// the result would find nothing in a disk image, so the tree is looked at: by
// ourselves, in its package database, or by the scanner that the client names.
func (b *build) billOfMaterials(ctx context.Context, g *graph.Graph, target string) (*result.Attestation[gwclient.Reference], error) {
	if PipelineOf(target) == manifest.AssemblerPipeline {
		target = manifest.TreePipeline
	}
	t, err := g.Pipeline(ctx, target)
	if err != nil {
		return nil, err
	}
	if strings.Contains(b.client.BuildOpts().Opts[sbomAttribute], "generator=") {
		return b.scan(ctx, g, target, t)
	}
	data, err := b.spdx(ctx, g, target, t)
	if err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	ref, err := b.solve(ctx, llb.Scratch().File(llb.Mkfile("/"+spdx.File, 0o644, data, llb.WithCreatedTime(epochTime(t.Epoch))),
		llb.WithCustomName("[internal] list the tree's packages as SPDX")), true)
	if err != nil {
		return nil, err
	}
	return &result.Attestation[gwclient.Reference]{
		Kind: gwpb.AttestationKind_InToto, Ref: ref, Path: "/" + spdx.File,
		Metadata: map[string][]byte{result.AttestationReasonKey: []byte(result.AttestationReasonSBOM)},
		InToto:   result.InTotoAttestation{PredicateType: intoto.PredicateSPDX, Subjects: []result.InTotoSubject{{Kind: gwpb.InTotoSubjectKind_Self}}},
	}, nil
}

// spdx makes the SPDX document of a tree.
func (b *build) spdx(ctx context.Context, g *graph.Graph, pipeline string, t graph.Tree) ([]byte, error) {
	ref, err := b.solve(ctx, t.Root, true)
	if err != nil {
		return nil, err
	}
	s := spdx.Subject{Name: b.m.Name, ID: b.m.TreeID(), Created: time.Unix(t.Epoch, 0)}
	if _, err := ref.StatFile(ctx, gwclient.StatRequest{Path: spdx.OSRelease}); err == nil {
		if s.OSRelease, err = dockerui.ReadFile(ctx, ref, spdx.OSRelease); err != nil {
			return nil, err
		}
	}
	// A tree without a database has no packages, and the document says so.
	var status []byte
	if _, err := ref.StatFile(ctx, gwclient.StatRequest{Path: spdx.DebianStatus}); err == nil {
		if status, err = dockerui.ReadFile(ctx, ref, spdx.DebianStatus); err != nil {
			return nil, err
		}
	}
	if status == nil && hasRPMs(ctx, ref) {
		inventory, err := g.RPMInventory(ctx, pipeline, t)
		if err != nil {
			return nil, err
		}
		return spdx.RPM(s, inventory, rpmmd.MergeLists(t.RPMLists))
	}
	return spdx.Debian(s, status, debian.MergeLists(t.Lists))
}

// hasRPMs says whether a tree has a database of RPM packages.
func hasRPMs(ctx context.Context, ref gwclient.Reference) bool {
	for _, file := range spdx.RPMDatabases {
		if _, err := ref.StatFile(ctx, gwclient.StatRequest{Path: file}); err == nil {
			return true
		}
	}
	return false
}

// scan runs the scanner that the client asks for over a tree.
func (b *build) scan(ctx context.Context, g *graph.Graph, name string, t graph.Tree) (*result.Attestation[gwclient.Reference], error) {
	platform := b.ui.BuildPlatforms[0]
	scanner, err := sbom.CreateSBOMScanner(ctx, b.client, b.ui.SBOM.Generator, platform, sourceresolver.Opt{
		ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: b.ui.ImageResolveMode.String(), Platform: &platform},
	}, b.ui.SBOM.Parameters)
	if err != nil {
		return nil, fmt.Errorf("the scanner %s: %w", b.ui.SBOM.Generator, err)
	}
	att, err := scanner(ctx, name, t.Root, nil)
	if err != nil {
		return nil, err
	}
	return result.ConvertAttestation(&att, func(st *llb.State) (gwclient.Reference, error) { return b.solve(ctx, *st, true) })
}

// attest adds the attestations that the client asks for to a result. The
// record of where everything came from is BuildKit's own work.
func (b *build) attest(ctx context.Context, built *dockerui.ResultBuilder, graphs map[string]*graph.Graph, target string) error {
	if b.ui.SBOM == nil && !b.cfg.SBOM {
		return nil
	}
	return built.EachPlatform(ctx, func(ctx context.Context, id string, p ocispecs.Platform) error {
		g := graphs[id]
		if g == nil {
			return fmt.Errorf("no graph for %s", id)
		}
		att, err := b.billOfMaterials(ctx, g, target)
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		built.AddAttestation(id, *att)
		return nil
	})
}
