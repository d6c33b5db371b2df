package frontend

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
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
	data, err := b.spdx(ctx, t)
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
func (b *build) spdx(ctx context.Context, t graph.Tree) ([]byte, error) {
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
	status, err := b.stat(ctx, ref, spdx.DebianStatus)
	if err != nil || status > 0 {
		data, err := b.readDatabase(ctx, ref, spdx.DebianStatus, status, err)
		if err != nil {
			return nil, err
		}
		return spdx.Debian(s, data, debian.MergeLists(t.Lists))
	}
	for _, name := range rpmmd.Databases {
		size, err := b.stat(ctx, ref, name)
		if err == nil && size == 0 {
			continue
		}
		data, err := b.readDatabase(ctx, ref, name, size, err)
		if err != nil {
			return nil, err
		}
		installed, err := rpmmd.ReadInstalled(bytes.NewReader(data), size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return spdx.RPM(s, installed)
	}
	for _, name := range rpmmd.OldDatabases {
		if size, err := b.stat(ctx, ref, name); err != nil || size > 0 {
			return nil, fmt.Errorf("%s: rpm's database is in a format that is not read (Berkeley DB or NDB): name a scanner, as in \"generator=\"", name)
		}
	}
	// A tree without a database has no packages, and the document says so.
	return spdx.Debian(s, nil, debian.MergeLists(t.Lists))
}

// maxDatabase bounds, in bytes, the database of a tree's packages; that of a
// large Fedora system has a tenth of it.
const maxDatabase = 512 << 20

// stat returns the size of a file in bytes, 0 if there is none.
func (b *build) stat(ctx context.Context, ref gwclient.Reference, name string) (int64, error) {
	st, err := ref.StatFile(ctx, gwclient.StatRequest{Path: name})
	if err != nil {
		return 0, nil // the gateway's error does not say why
	}
	if !fs.FileMode(st.Mode).IsRegular() {
		return 0, fmt.Errorf("%s is no file", name)
	}
	return st.Size, nil
}

// readDatabase reads a file of a tree in pieces, as a message of the gateway
// is bounded. What SQLite has put aside is looked for: without it, a database
// says what was installed some time ago.
func (b *build) readDatabase(ctx context.Context, ref gwclient.Reference, name string, size int64, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if size > maxDatabase {
		return nil, fmt.Errorf("%s has %d bytes; the most is %d", name, size, maxDatabase)
	}
	if wal, err := b.stat(ctx, ref, name+"-wal"); err != nil || wal > 0 {
		return nil, fmt.Errorf("%s-wal holds changes that are not in the database: run rpm --rebuilddb in the stage that has made them", name)
	}
	data := make([]byte, 0, size)
	for int64(len(data)) < size {
		piece, err := ref.ReadFile(ctx, gwclient.ReadRequest{
			Filename: name,
			Range:    &gwclient.FileRange{Offset: len(data), Length: int(min(hashPiece, size-int64(len(data))))},
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(piece) == 0 {
			return nil, fmt.Errorf("%s: ended after %d of %d bytes", name, len(data), size)
		}
		data = append(data, piece...)
	}
	return data, nil
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
