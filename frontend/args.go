package frontend

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// UndeclaredArgs returns the build arguments that a manifest was loaded with
// and that neither it nor the frontend knows.
func UndeclaredArgs(m *manifest.Manifest) []manifest.UndeclaredArg {
	return m.UndeclaredArgs(ownArgs...)
}

// ParseEpoch reads the value of SOURCE_DATE_EPOCH, unless it is "context".
func ParseEpoch(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%q: give a number of seconds since 1970", EpochArg, value)
	}
	return n, nil
}

// CheckMirrorArg reports what is wrong with the value of OSBUILDKIT_MIRROR, which
// may be empty.
func CheckMirrorArg(value string) error {
	if value == "" {
		return nil
	}
	return graph.CheckMirror(value)
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
// with them: it reports those that have no effect, and lets a default of
// SOURCE_DATE_EPOCH in the manifest set the time of the build. Those with a name of
// this frontend can be meant for no other.
func (b *build) arguments(ctx context.Context) error {
	if err := CheckMirrorArg(b.ui.BuildArgs[MirrorArg]); err != nil {
		return fmt.Errorf("%s: %w", MirrorArg, err)
	}
	if b.cfg.Strict {
		if err := CheckArgs(b.m, b.ui.BuildArgs); err != nil {
			return err
		}
	}
	for _, u := range UndeclaredArgs(b.m) {
		if strings.HasPrefix(u.Name, "OSBUILDKIT_") {
			return fmt.Errorf("there is no build argument %q; %s", u.Name, suggest(u.Name, []string{MirrorArg, SnapshotArg}))
		}
		b.source.Warn(ctx, u.Warning(), gwclient.WarnOpts{Range: []*pb.Range{graph.Range(u.Span)}})
	}
	if a := b.m.Arg(EpochArg); a != nil && !a.Given {
		b.ui.BuildArgs[EpochArg] = string(a.Value)
	}
	return nil
}
