package frontend

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/patternmatcher"

	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// errNoContext says that a build has no context.
var errNoContext = errors.New("the build has no context to copy files from: give a directory with the build")

// openContext makes the client send the files of the context that the target is
// built from, and reports those that are not there before anything is built.
func (b *build) openContext(ctx context.Context, target string) error {
	pipelines := needed(b.m, PipelineOf(target))
	names := graph.ContextNames(pipelines)
	if len(names) == 0 {
		return nil
	}
	// One source for all stages, of which each copies what it names: the client
	// sends a file once.
	st, err := b.ui.MainContext(ctx, llb.FollowPaths(names), llb.SharedKeyHint("context-files"))
	var ref gwclient.Reference
	if err == nil {
		ref, err = b.solve(ctx, *st, true)
	}
	missing := func(string) error { return errNoContext }
	switch {
	case err == nil:
		ignored, err := b.ignored(ctx)
		if err != nil {
			return err
		}
		missing = func(name string) error {
			if _, err := ref.StatFile(ctx, gwclient.StatRequest{Path: name}); err != nil {
				return MissingFile(name, "", ignored)
			}
			return nil
		}
	case !noContext(err):
		return fmt.Errorf("the build context: %w", err)
	}
	if wrong := graph.CheckContext(b.m, pipelines, missing); len(wrong) > 0 {
		return wrong
	}
	b.copied = st
	return nil
}

// ignored returns what the file .dockerignore of the context leaves out.
func (b *build) ignored(ctx context.Context) (*patternmatcher.PatternMatcher, error) {
	patterns, err := b.ui.DockerIgnorePatterns(ctx)
	if err != nil {
		return nil, err
	}
	return patternmatcher.New(patterns)
}

// MissingFile is the error for a file that the context does not have. Where says
// which directory that is, if it is known; ignored is what its file .dockerignore
// leaves out, and may be nil.
func MissingFile(name, where string, ignored *patternmatcher.PatternMatcher) error {
	if ignored != nil {
		if out, err := ignored.MatchesOrParentMatches(name); err == nil && out {
			return fmt.Errorf("the context has no %q: its .dockerignore leaves it out", name)
		}
	}
	if where != "" {
		return fmt.Errorf("the context has no %q; it is the directory %s", name, where)
	}
	return fmt.Errorf("the context has no %q", name)
}

// copies returns the build context, which a graph asks for when a stage copies from it.
func (b *build) copies(context.Context) (*llb.State, error) {
	if b.copied == nil {
		return nil, errNoContext
	}
	return b.copied, nil
}

// UsesContext says whether a manifest copies files of the build context.
func UsesContext(m *manifest.Manifest) bool { return len(graph.ContextNames(m.Pipelines)) > 0 }
