package frontend

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/ledger"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// baseSource returns where the stored trees are: in the named context, or in the
// client's store, or nowhere.
func (b *build) baseSource() func(context.Context, string, ocispecs.Platform) (*graph.Stored, error) {
	for key := range b.client.BuildOpts().Opts {
		// BuildKit knows contexts of one platform, NAME::PLATFORM.
		if name, _, _ := strings.Cut(key, "::"); name == contextKey(BaseContext) {
			return b.contextBase
		}
	}
	if b.cfg.Base == nil {
		return nil
	}
	return func(ctx context.Context, id string, p ocispecs.Platform) (*graph.Stored, error) {
		return b.cfg.Base(ctx, b.client, id, p)
	}
}

// contextBase returns the tree that the named context is.
func (b *build) contextBase(ctx context.Context, _ string, p ocispecs.Platform) (*graph.Stored, error) {
	if err := b.noDirectory(BaseContext); err != nil {
		return nil, err
	}
	st, img, err := b.imageContext(ctx, BaseContext, p)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, fmt.Errorf("the named context %q is not given for %s", BaseContext, platforms.Format(p))
	}
	var config ocispecs.Image
	if img != nil {
		config = img.Image
		config.Config = img.Config.ImageConfig
	}
	s, err := graph.ParseStored(&config)
	if err != nil {
		return nil, fmt.Errorf("the named context %q: %w", BaseContext, err)
	}
	s.Root = *st
	return s, nil
}

// rebase looks up the stored trees that a target needs, before anything is
// built, and gives the stages that follow other ids where a tree is not what the
// manifest says: then what comes out is not what the whole manifest gives.
func (b *build) rebase(ctx context.Context, target string) error {
	if !baseUsed(b.m) {
		return nil
	}
	asked, err := b.epoch(ctx)
	if err != nil {
		return err
	}
	variants := map[*manifest.Pipeline][]string{}
	targets := []*ocispecs.Platform{nil}
	if len(b.ui.TargetPlatforms) > 0 {
		targets = nil
		for i := range b.ui.TargetPlatforms {
			targets = append(targets, &b.ui.TargetPlatforms[i])
		}
	}
	for _, p := range targets {
		g, err := b.graph(ctx, p)
		if err != nil {
			return err
		}
		bases, err := g.Bases(ctx, PipelineOf(target))
		if err != nil {
			return err
		}
		for _, base := range bases {
			what := base.Stored.Variant(base.Pipeline.Base, asked)
			if len(what) > 0 && variants[base.Pipeline] == nil {
				b.warnVariant(ctx, base, asked)
			}
			variants[base.Pipeline] = append(variants[base.Pipeline], what...)
		}
	}
	return b.m.Rebase(func(p *manifest.Pipeline) string {
		if len(variants[p]) == 0 {
			return p.Base
		}
		slices.Sort(variants[p])
		return manifest.VariantID(p.Base, slices.Compact(variants[p])...)
	})
}

// warnVariant says why a build does not have the ids of the whole manifest.
func (b *build) warnVariant(ctx context.Context, base graph.Base, asked *int64) {
	var why string
	switch s := base.Stored; {
	case s.ID == "":
		why = "the image does not say which tree it is"
	case s.ID != base.Pipeline.Base:
		why = fmt.Sprintf("the tree that is given is %s", s.ID)
	default:
		why = fmt.Sprintf("the tree was built for the time %s, and this build is for %s; build both with one %s, or this one without it",
			date(s.Epoch), date(*asked), EpochArg)
	}
	span, ok := base.Pipeline.Text.Index.Value(manifest.JoinPointer(base.Pipeline.Pointer, "base"))
	var opts gwclient.WarnOpts
	if ok && base.Pipeline.Text.Index == b.m.Index {
		opts.Range = []*pb.Range{graph.Range(span)}
	}
	b.source.Warn(ctx, fmt.Sprintf("\"base\": the ids are not those of the whole manifest: %s (line %d)", why, span.Start.Line), opts)
}

func date(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// storedLabels returns the labels that an image of a tree has.
func (b *build) storedLabels(ctx context.Context, target string, t graph.Tree) (map[string]string, error) {
	p := b.m.Pipeline(PipelineOf(target))
	if p == nil {
		return nil, errors.New("no pipeline " + target)
	}
	text, err := b.ledgerText(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("the ledger of the pipeline %q: %w", p.Name, err)
	}
	return t.Store(p.ID(), text).Labels()
}

// ledgerText reads the ledger of a tree. Of one that is too large to be kept with
// the tree it reads no more than it takes to see that.
func (b *build) ledgerText(ctx context.Context, t graph.Tree) ([]byte, error) {
	if t.Ledger.Output() == nil {
		return nil, nil
	}
	ref, err := b.solve(ctx, t.Ledger, true)
	if err != nil || ref == nil {
		return nil, err
	}
	files, err := ref.ReadDir(ctx, gwclient.ReadDirRequest{Path: "/"})
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if path.Base(f.Path) != ledger.FileName {
			continue
		}
		var text []byte
		for int64(len(text)) < f.Size && len(text) <= graph.MaxStoredLedger {
			piece, err := ref.ReadFile(ctx, gwclient.ReadRequest{
				Filename: "/" + ledger.FileName,
				Range:    &gwclient.FileRange{Offset: len(text), Length: int(min(hashPiece, f.Size-int64(len(text))))},
			})
			if err != nil {
				return nil, err
			}
			if len(piece) == 0 {
				return nil, fmt.Errorf("it ended after %d of %d bytes", len(text), f.Size)
			}
			text = append(text, piece...)
		}
		return text, nil
	}
	return nil, nil
}
