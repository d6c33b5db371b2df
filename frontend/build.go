package frontend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/examples"
	"github.com/osbuildkit/osbuildkit/internal/redact"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// Names of the build arguments that have a meaning of their own.
const (
	// MirrorArg is the build argument that names the mirror for repositories
	// whose mirror is not in the manifest.
	MirrorArg = "OSBUILDKIT_MIRROR"
	// SnapshotArg is the build argument with the time of the state of
	// repositories for which the manifest names neither a mirror nor a time.
	SnapshotArg = "OSBUILDKIT_SNAPSHOT"
	// EpochArg is the build argument that sets the time of the build.
	EpochArg = manifest.EpochArg
)

// Config is what a way of building brings with it.
type Config struct {
	// Runner returns a state that holds the runner binaries for a platform.
	Runner func(ctx context.Context, c gwclient.Client, p ocispecs.Platform) (llb.State, error)
	// Base returns a stored tree for a platform, for manifests with "base". Nil
	// if there is no store.
	Base func(ctx context.Context, c gwclient.Client, id string, p ocispecs.Platform) (*graph.Stored, error)
	// Mirrors returns where the client's own mirrors have a suite, the best address
	// first, or nothing if it knows none. It may be nil.
	Mirrors func(suite string) []string
	// SBOM asks for a bill of materials. BuildKit's own option does so too, but
	// makes a daemon scan a result that has none.
	SBOM bool
	// Flatten makes one layer of a tree that is the result, for exporters of
	// container images.
	Flatten bool
	// Strict makes errors of build arguments and named contexts that have no
	// effect: the client gives them to this build alone.
	Strict bool
	// ContextLibdir lets modules of the user's own be found in libdir/ of the
	// main context, if no named context holds them.
	ContextLibdir bool
	// Load are further options for loading the manifest.
	Load []manifest.Option
}

// Outcome is what a build has come to.
type Outcome struct {
	// Manifest is the manifest that was built.
	Manifest *manifest.Manifest
	// Target is the name of the pipeline that was built.
	Target string
	// Result is what the gateway is given.
	Result *gwclient.Result
}

// BuildFunc returns the function that BuildKit calls to run the frontend.
func BuildFunc(cfg Config) gwclient.BuildFunc {
	return func(ctx context.Context, c gwclient.Client) (*gwclient.Result, error) {
		out, err := Build(ctx, c, cfg)
		if err != nil {
			// It is shown by another program, and kept in its history.
			return nil, redact.Error(err)
		}
		return out.Result, nil
	}
}

// Build builds the target of the manifest that the client's options name.
// Errors about the manifest carry their place as errdefs sources.
func Build(ctx context.Context, c gwclient.Client, cfg Config) (*Outcome, error) {
	if err := CheckCaps(c); err != nil {
		return nil, err
	}
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, err
	}
	ui.TargetPlatforms = targetPlatforms(ui.TargetPlatforms, ui.BuildPlatforms[0], platforms.DefaultSpec())
	if err := CheckPlatforms(ui.TargetPlatforms); err != nil {
		return nil, err
	}
	if res, ok, err := describeRequests(c); ok {
		return &Outcome{Result: res}, err
	}
	src, err := ui.ReadEntrypoint(ctx, "JSON")
	if err != nil {
		return nil, err
	}
	b := &build{client: c, ui: ui, cfg: cfg, source: src}
	if builder := ui.BuildPlatforms[0]; foreign(builder, platforms.DefaultSpec()) {
		b.constraints = []llb.ConstraintsOpt{llb.Platform(builder)}
	}
	if res, ok, err := b.handleRequest(ctx); ok || err != nil {
		return &Outcome{Manifest: b.m, Result: res}, err
	}
	out, err := b.run(ctx)
	if err != nil {
		return nil, b.locate(Explain(err))
	}
	return out, nil
}

// CheckCaps reports in one sentence that a daemon is too old.
func CheckCaps(c gwclient.Client) error {
	caps := c.BuildOpts().LLBCaps
	if err := caps.Supports(pb.CapExecMountContentCache); err != nil {
		return errors.New("this BuildKit is too old for trees of operating systems: version 0.13 or newer is needed")
	}
	return nil
}

// build is one run of the frontend.
type build struct {
	// constraints are those of all operations that have none of their own.
	constraints []llb.ConstraintsOpt
	client      gwclient.Client
	ui          *dockerui.Client
	cfg         Config
	source      *dockerui.Source
	catalog     *catalog.Catalog
	// libdir holds the user's own modules; nil if there are none.
	libdir *libdir
	m      *manifest.Manifest
	// rules says which checks are left out, and what comes of a finding.
	rules LintConfig
	// buildEnvIsRoot says that the named context "build-env" is no file but a
	// file system.
	buildEnvIsRoot bool
	// copied holds the files of the build context that stages copy; nil if they
	// copy none.
	copied *llb.State
	// mu guards what the builds of several platforms write together.
	mu sync.Mutex
	// warned are the warnings about values of pipelines that were shown.
	warned map[string]bool
	// sources are the named contexts that have taken the place of downloads.
	sources map[string]bool
	// textData is the text of the manifest as others may read it, made once.
	text     sync.Once
	textData []byte
}

func (b *build) run(ctx context.Context) (*Outcome, error) {
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	target, err := b.target()
	if err != nil {
		return nil, err
	}
	if err := b.warn(ctx); err != nil {
		return nil, err
	}
	if err := b.rebase(ctx, target); err != nil {
		return nil, err
	}
	if err := b.openContext(ctx, target); err != nil {
		return nil, err
	}
	out := &Outcome{Manifest: b.m, Target: target}
	graphs := map[string]*graph.Graph{}
	built, err := b.ui.Build(ctx, func(ctx context.Context, p *ocispecs.Platform, _ int) (*dockerui.BuildResult, error) {
		g, err := b.graph(ctx, p)
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		graphs[platformID(p)] = g
		b.mu.Unlock()
		return b.platform(ctx, g, target)
	})
	if err != nil {
		return nil, err
	}
	if len(b.ui.TargetPlatforms) > 1 {
		if err := b.checkGivenSources(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.attest(ctx, built, graphs, target); err != nil {
		return nil, err
	}
	out.Result, err = built.Finalize()
	return out, err
}

// target returns the target that is asked for, if it builds something.
func (b *build) target() (string, error) {
	target, err := Target(b.m, b.ui.Target)
	if err != nil {
		return "", err
	}
	if p := b.m.Pipeline(PipelineOf(target)); len(p.Stages) == 0 && p.Base == "" {
		return "", fmt.Errorf("%s builds nothing: the pipeline %q has no stages", b.m.File, p.Name)
	}
	return target, b.checkNames(target)
}

// load reads the manifest, with the build environment that a named context
// gives.
func (b *build) load(ctx context.Context) error {
	args, err := b.buildArgs(ctx)
	if err != nil {
		return err
	}
	options := append(slices.Clone(b.cfg.Load), manifest.WithArgs(args))
	if b.catalog, b.libdir, err = b.userCatalog(ctx); err != nil {
		return err
	}
	env, err := b.buildEnv(ctx)
	if err != nil {
		return err
	}
	if env != nil {
		options = append(options, manifest.WithBuildEnv(buildEnvFile, env))
	}
	if b.m, err = manifest.Load(b.source.Filename, b.source.Data, b.catalog, options...); err != nil {
		return err
	}
	own := func(kind module.Kind, name string) bool { return b.catalog.User(kind, name) != nil }
	if wrong := graph.Check(b.m, own); len(wrong) > 0 {
		return wrong
	}
	if b.rules, err = b.lintConfig(ctx); err != nil {
		return err
	}
	if err := b.checkContexts(ctx); err != nil {
		return err
	}
	return b.arguments(ctx)
}

// platformID is BuildKit's name of a platform in a result; nil stands for the
// one of the builder.
func platformID(p *ocispecs.Platform) string {
	if p == nil {
		return platforms.FormatAll(platforms.Normalize(platforms.DefaultSpec()))
	}
	return platforms.FormatAll(platforms.Normalize(*p))
}

// foreign tells whether this process runs on another platform than the builder,
// as the command line does on a Mac. BuildKit's packages take the platform of the
// process for that of the builder, which a frontend's process has.
func foreign(builder, process ocispecs.Platform) bool {
	return builder.OS != process.OS || builder.Architecture != process.Architecture
}

// targetPlatforms are the platforms to build for: those that were asked for, else
// the builder's, which is named where it would be taken for another.
func targetPlatforms(asked []ocispecs.Platform, builder, process ocispecs.Platform) []ocispecs.Platform {
	if len(asked) == 0 && foreign(builder, process) {
		return []ocispecs.Platform{builder}
	}
	return asked
}

// platform builds the target for one platform. Several are built at once, each
// with a graph of its own.
func (b *build) platform(ctx context.Context, g *graph.Graph, target string) (*dockerui.BuildResult, error) {
	if err := g.CheckSecrets(ctx, needed(b.m, PipelineOf(target))); err != nil {
		return nil, err
	}
	t, err := g.Pipeline(ctx, PipelineOf(target))
	if err != nil {
		return nil, err
	}
	if len(b.ui.TargetPlatforms) < 2 {
		// Among several, another one may be what a file is for.
		if err := b.checkGivenSources(ctx); err != nil {
			return nil, err
		}
	}
	ref, err := b.result(ctx, g, target, t)
	if err != nil {
		return nil, err
	}
	img, err := b.image(ctx, target, t, g.Platform())
	if err != nil {
		return nil, err
	}
	epoch := epochTime(t.Epoch)
	return &dockerui.BuildResult{Reference: ref, Image: img, Epoch: &epoch}, nil
}

// graph returns the graph of the manifest for a platform; nil stands for that
// of the builder.
func (b *build) graph(ctx context.Context, p *ocispecs.Platform) (*graph.Graph, error) {
	opt, err := b.options(ctx, p)
	if err != nil {
		return nil, err
	}
	return graph.New(b.m, opt), nil
}

// options gathers what the graph has to know from the client's options.
func (b *build) options(ctx context.Context, p *ocispecs.Platform) (graph.Options, error) {
	opt := graph.Options{
		Module:        catalog.Builtin().Module,
		Program:       b.program(),
		Resolver:      b,
		SourceMap:     b.sourceMap(),
		NoCache:       b.ui.IsNoCache,
		Network:       b.ui.NetworkMode,
		BuildPlatform: b.ui.BuildPlatforms[0],
		Runs:          b.runs,
		Mirrors:       b.mirrors,
		Source:        b.givenSource,
		Context:       b.copies,
		Build:         identity.NewID(),
	}
	opt.Warn = func(p *manifest.Pipeline, pointer, text string) { b.warnAt(ctx, p, pointer, text) }
	opt.Platform = opt.BuildPlatform
	if p != nil {
		opt.Platform = *p
	}
	if len(b.ui.TargetPlatforms) > 1 {
		opt.Label = platforms.Format(opt.Platform) + " "
	}
	opt.Runner = func(p ocispecs.Platform) (llb.State, error) { return b.cfg.Runner(ctx, b.client, p) }
	var err error
	if opt.Epoch, err = b.epoch(ctx); err != nil {
		return opt, err
	}
	if opt.Snapshot, err = b.snapshot(); err != nil {
		return opt, err
	}
	if err := b.contexts(ctx, &opt); err != nil {
		return opt, err
	}
	if opt.Toolbox == nil {
		opt.ToolboxManifest, err = manifest.Load("toolbox.json", examples.Toolbox, catalog.Builtin())
	}
	return opt, err
}

// runs says whether the builder runs programs of a platform, be it by itself
// or emulated. A builder that does not say what it runs is believed to run all.
func (b *build) runs(p ocispecs.Platform) bool {
	workers := b.client.BuildOpts().Workers
	if len(workers) == 0 || len(workers[0].Platforms) == 0 {
		return true
	}
	return slices.ContainsFunc(workers[0].Platforms, func(has ocispecs.Platform) bool {
		return platforms.Only(has).Match(p)
	})
}

// epoch returns the time of the build that the client asks for, or nil.
func (b *build) epoch(ctx context.Context) (*int64, error) {
	v := b.ui.BuildArgs[EpochArg]
	switch v {
	case "":
		return nil, nil
	case "context":
		when, err := b.ui.ResolveMainContextSourceDateEpoch(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s=context: %w", EpochArg, err)
		}
		if when == nil {
			return nil, fmt.Errorf("%s=context: only a context from Git or HTTP has a time; give a number of seconds since 1970", EpochArg)
		}
		n := when.Unix()
		return &n, nil
	}
	n, err := ParseEpoch(v)
	return &n, err
}

// ReadFile solves a state and reads one file of it. It makes build a
// graph.Resolver.
func (b *build) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	ref, err := b.solve(ctx, st, false)
	if err != nil {
		return nil, err
	}
	return dockerui.ReadFile(ctx, ref, name)
}

// Evaluate solves a state.
func (b *build) Evaluate(ctx context.Context, st llb.State) error {
	_, err := b.solve(ctx, st, true)
	return err
}

// solve returns a reference to the result of a state. Unless evaluate is set
// its steps run when something is read of it.
func (b *build) solve(ctx context.Context, st llb.State, evaluate bool) (gwclient.Reference, error) {
	def, err := b.marshal(ctx, st)
	if err != nil {
		return nil, err
	}
	res, err := b.client.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), Evaluate: evaluate, CacheImports: b.ui.CacheImports})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// marshal returns the definition of a state. A local source that names no session
// gets an id, which must be the same in every definition of a build: with another
// one, the steps that read the source are other steps, and those that were found
// in an imported cache for one definition are not found for the next.
func (b *build) marshal(ctx context.Context, st llb.State) (*llb.Definition, error) {
	opts := b.client.BuildOpts()
	constraints := []llb.ConstraintsOpt{llb.WithCaps(opts.LLBCaps), llb.LocalUniqueID(opts.SessionID)}
	def, err := st.Marshal(ctx, append(constraints, b.constraints...)...)
	if err != nil {
		return nil, err
	}
	return def, graph.RerunDependents(def)
}

func epochTime(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
