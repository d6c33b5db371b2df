package frontend

import (
	"errors"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// locate gives an error its places in the manifest, in the form that BuildKit
// carries to the client.
func (b *build) locate(err error) error {
	var placed *graph.Error
	if errors.As(err, &placed) && placed.Pipeline.Text.File == b.source.Filename {
		if span, ok := placed.Pipeline.Text.Index.Value(placed.Pointer); ok {
			return errdefs.WithSource(err, b.errorSource(span))
		}
	}
	var several manifest.Errors
	if errors.As(err, &several) {
		for _, e := range several {
			if e.File == b.source.Filename {
				err = errdefs.WithSource(err, b.errorSource(e.Span))
			}
		}
	}
	return err
}

func (b *build) errorSource(span manifest.Span) *errdefs.Source {
	return &errdefs.Source{
		Info: &pb.SourceInfo{
			Data:       b.publicText(),
			Filename:   b.source.Filename,
			Language:   b.source.Language,
			Definition: b.source.Definition.ToPB(),
		},
		Ranges: []*pb.Range{graph.Range(span)},
	}
}
