package llb

import (
	"context"
	"errors"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// ToolboxPipeline is the name under which the steps of the default build root
// are shown.
const ToolboxPipeline = "toolbox"

// buildRoot returns the file system whose programs the steps of a pipeline
// run: the tree of its build pipeline, or the toolbox.
func (g *Graph) buildRoot(ctx context.Context, p *manifest.Pipeline) (llb.State, error) {
	if p.Build != "" {
		t, err := g.forBuilding().Pipeline(ctx, p.Build)
		return t.Root, err
	}
	if g.opt.BuildEnv != nil {
		return *g.opt.BuildEnv, nil
	}
	return g.Toolbox(ctx)
}

// namedBuildRoot says whether the author of the build has chosen the build
// root of a pipeline.
func (g *Graph) namedBuildRoot(p *manifest.Pipeline) bool {
	return p.Build != "" || g.opt.BuildEnv != nil
}

// forBuilding returns the graph of the pipelines whose trees are build roots:
// their programs run on the builder, whatever the image is for.
func (g *Graph) forBuilding() *Graph {
	if platforms.Format(g.opt.Platform) == platforms.Format(g.opt.BuildPlatform) {
		return g
	}
	if g.native == nil {
		opt := g.opt
		opt.Platform = opt.BuildPlatform
		g.native = New(g.m, opt)
		g.native.runners = g.runners
	}
	return g.native
}

// Toolbox returns the default build root. Unless another one was given it is
// the tree of a pipeline like any other, built from nothing.
func (g *Graph) Toolbox(ctx context.Context) (llb.State, error) {
	if g.opt.Toolbox != nil {
		return *g.opt.Toolbox, nil
	}
	if g.toolbox != nil {
		return *g.toolbox, nil
	}
	if g.opt.ToolboxManifest == nil {
		return llb.State{}, errors.New("a build root is needed, and there is no toolbox: give one with --toolbox or the named context \"toolbox\"")
	}
	opt := g.opt
	opt.Platform, opt.Label = opt.BuildPlatform, ""
	opt.SourceMap = nil
	// The toolbox is the same whatever the user's modules are called.
	opt.Program = nil
	opt.Epoch = nil
	opt.ToolboxManifest = nil
	noCache := g.opt.NoCache
	opt.NoCache = func(string) bool { return noCache != nil && noCache(ToolboxPipeline) }
	box := New(renamed(g.opt.ToolboxManifest), opt)
	box.steady = true
	box.suites, box.runners = g.suites, g.runners
	t, err := box.Pipeline(ctx, ToolboxPipeline)
	if err != nil {
		return llb.State{}, err
	}
	g.toolbox = &t.Root
	return t.Root, nil
}

// renamed returns the manifest with its main pipeline called toolbox, so that
// the display tells its steps from the image's own.
func renamed(m *manifest.Manifest) *manifest.Manifest {
	c := *m
	c.Pipelines = nil
	for _, p := range m.Pipelines {
		if p.Name == manifest.TreePipeline {
			q := *p
			q.Name = ToolboxPipeline
			p = &q
		}
		c.Pipelines = append(c.Pipelines, p)
	}
	return &c
}
