package frontend

import (
	"context"
	"fmt"
	"time"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/debian"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// mirrors returns where a suite may be for which the manifest names no mirror: at
// the mirror that the client asks for, else at its own, else at Debian's. The state
// of a time is in the snapshot archive; a mirror that is asked for may have it too.
func (b *build) mirrors(suite string, at *time.Time) []string {
	mirror := b.ui.BuildArgs[MirrorArg]
	if at != nil {
		var out []string
		if mirror != "" {
			for _, m := range debian.MirrorsOf(mirror, suite) {
				out = append(out, debian.AtSnapshot(m, *at))
			}
		}
		return append(out, debian.SnapshotMirror(suite, *at))
	}
	if mirror != "" {
		return debian.MirrorsOf(mirror, suite)
	}
	if b.cfg.Mirrors != nil {
		if out := b.cfg.Mirrors(suite); len(out) > 0 {
			return out
		}
	}
	return debian.DefaultMirrors(suite, time.Now())
}

// snapshot returns the time of the repositories' state that the client asks for,
// or nil.
func (b *build) snapshot() (*time.Time, error) {
	return ParseSnapshotArg(b.ui.BuildArgs[SnapshotArg])
}

// ParseSnapshotArg reads the value of the build argument; it is nil for "".
func ParseSnapshotArg(value string) (*time.Time, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // no argument is no time
	}
	at, err := debian.ParseSnapshot(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", SnapshotArg, err)
	}
	return &at, nil
}

// DatedArgs reports whether build arguments say of which time repositories are for
// which the manifest names no mirror.
func DatedArgs(args map[string]string) bool {
	_, dated := debian.SnapshotTime(args[MirrorArg])
	return dated || args[SnapshotArg] != ""
}

// warnAt shows a warning about a value of a pipeline's file, once.
func (b *build) warnAt(ctx context.Context, p *manifest.Pipeline, pointer, text string) {
	b.mu.Lock()
	again := b.warned[text]
	if b.warned == nil {
		b.warned = map[string]bool{}
	}
	b.warned[text] = true
	b.mu.Unlock()
	if again {
		return
	}
	var opts gwclient.WarnOpts
	span, ok := p.Text.Index.Value(pointer)
	if ok && p.Text.Index == b.m.Index {
		opts.Range = []*pb.Range{graph.Range(span)}
		text = fmt.Sprintf("%s (line %d)", text, span.Start.Line)
	}
	b.source.Warn(ctx, text, opts)
}
