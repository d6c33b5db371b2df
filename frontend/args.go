package frontend

import (
	"context"
	"maps"
	"strconv"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// UndeclaredArgs returns the build arguments that a manifest was loaded with
// and that neither it nor the frontend knows.
func UndeclaredArgs(m *manifest.Manifest) []manifest.UndeclaredArg {
	return m.UndeclaredArgs(MirrorArg, EpochArg)
}

// buildArgs returns the build arguments that the client gives. A manifest that
// declares SOURCE_DATE_EPOCH gets a number also where the client says that the
// time is that of the context.
func (b *build) buildArgs(ctx context.Context) (map[string]string, error) {
	args := maps.Clone(b.ui.BuildArgs)
	if args[EpochArg] != "context" {
		return args, nil
	}
	when, err := b.epoch(ctx)
	if err != nil {
		return nil, err
	}
	args[EpochArg] = strconv.FormatInt(*when, 10)
	return args, nil
}

// arguments looks at the build arguments of a manifest that has been loaded
// with them: it warns about those that have no effect, and lets a default of
// SOURCE_DATE_EPOCH in the manifest set the time of the build.
func (b *build) arguments(ctx context.Context) {
	for _, u := range UndeclaredArgs(b.m) {
		b.source.Warn(ctx, u.Warning(), gwclient.WarnOpts{Range: []*pb.Range{graph.Range(u.Span)}})
	}
	if a := b.m.Arg(EpochArg); a != nil && !a.Given {
		b.ui.BuildArgs[EpochArg] = string(a.Value)
	}
}
