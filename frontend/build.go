package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/examples"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// Names of the build arguments and contexts that have a meaning.
const (
	// MirrorArg is the build argument that names the mirror for repositories
	// whose mirror is not in the manifest.
	MirrorArg = "OSBUILDKIT_MIRROR"
	// EpochArg is the build argument that sets the time of the build.
	EpochArg = "SOURCE_DATE_EPOCH"
	// ToolboxContext is the named context that replaces the toolbox.
	ToolboxContext = "toolbox"
)

// PackagesFile is the file beside the image that lists what was installed.
const PackagesFile = "packages.json"

// Config is what a way of building brings with it.
type Config struct {
	// Runner returns a state that holds the runner binaries for a platform.
	Runner func(ctx context.Context, c gwclient.Client, p ocispecs.Platform) (llb.State, error)
	// Base returns a stored tree, for manifests with "base". Nil if there is
	// no store.
	Base func(ctx context.Context, c gwclient.Client, id string) (llb.State, error)
	// Mirror returns the client's own mirror for a suite, or "" if it knows
	// none. It may be nil.
	Mirror func(suite string) string
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
	// Definition is the graph of the result.
	Definition *llb.Definition
}

// BuildFunc returns the function that BuildKit calls to run the frontend.
func BuildFunc(cfg Config) gwclient.BuildFunc {
	return func(ctx context.Context, c gwclient.Client) (*gwclient.Result, error) {
		out, err := Build(ctx, c, cfg)
		if err != nil {
			return nil, err
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
	src, err := ui.ReadEntrypoint(ctx, "JSON")
	if err != nil {
		return nil, err
	}
	b := &build{client: c, ui: ui, cfg: cfg, source: src, catalog: catalog.Builtin()}
	out, err := b.run(ctx)
	if err != nil {
		return nil, b.locate(err)
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
	client  gwclient.Client
	ui      *dockerui.Client
	cfg     Config
	source  *dockerui.Source
	catalog *catalog.Catalog
	m       *manifest.Manifest
}

func (b *build) run(ctx context.Context) (*Outcome, error) {
	m, err := manifest.Load(b.source.Filename, b.source.Data, b.catalog, b.cfg.Load...)
	if err != nil {
		return nil, err
	}
	b.m = m
	target, err := Target(m, b.ui.Target)
	if err != nil {
		return nil, err
	}
	opt, err := b.options(ctx)
	if err != nil {
		return nil, err
	}
	g := graph.New(m, opt)
	t, err := g.Pipeline(ctx, target)
	if err != nil {
		return nil, err
	}
	st, err := result(target, t)
	if err != nil {
		return nil, err
	}
	def, err := b.marshal(ctx, st)
	if err != nil {
		return nil, err
	}
	res, err := b.client.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), Evaluate: true, CacheImports: b.cacheImports()})
	if err != nil {
		return nil, err
	}
	if err := describe(res, target, opt.Platform, t.Epoch); err != nil {
		return nil, err
	}
	return &Outcome{Manifest: m, Target: target, Result: res, Definition: def}, nil
}

// Target returns the name of the pipeline to build: the one asked for, else
// the assembler, else the tree.
func Target(m *manifest.Manifest, asked string) (string, error) {
	if asked == "" {
		if m.Pipeline(manifest.AssemblerPipeline) != nil {
			return manifest.AssemblerPipeline, nil
		}
		asked = manifest.TreePipeline
	}
	if m.Pipeline(asked) != nil {
		return asked, nil
	}
	var names []string
	for _, p := range m.Pipelines {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%s builds nothing: it has no stages", m.File)
	}
	return "", fmt.Errorf("no target %q in %s; there are: %s", asked, m.File, strings.Join(names, ", "))
}

// options gathers what the graph has to know from the client's options.
func (b *build) options(ctx context.Context) (graph.Options, error) {
	opt := graph.Options{
		Module:    b.catalog.Module,
		Resolver:  b,
		SourceMap: b.source.SourceMap,
		NoCache:   b.ui.IsNoCache,
	}
	opt.BuildPlatform = platforms.Normalize(platforms.DefaultSpec())
	if len(b.ui.BuildPlatforms) > 0 {
		opt.BuildPlatform = b.ui.BuildPlatforms[0]
	}
	opt.Platform = opt.BuildPlatform
	switch len(b.ui.TargetPlatforms) {
	case 0:
	case 1:
		opt.Platform = b.ui.TargetPlatforms[0]
	default:
		return opt, errors.New("a build for several platforms at once is not supported yet: give one --platform")
	}
	opt.Runner = func(p ocispecs.Platform) (llb.State, error) { return b.cfg.Runner(ctx, b.client, p) }
	if b.cfg.Base != nil {
		opt.Base = func(ctx context.Context, id string) (llb.State, error) { return b.cfg.Base(ctx, b.client, id) }
	}
	if v, ok := b.ui.BuildArgs[EpochArg]; ok && v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return opt, fmt.Errorf("%s=%q: give a number of seconds since 1970", EpochArg, v)
		}
		opt.Epoch = &n
	}
	opt.Mirror = func(suite string) (string, error) {
		if v := b.ui.BuildArgs[MirrorArg]; v != "" {
			return v, nil
		}
		if b.cfg.Mirror != nil {
			if v := b.cfg.Mirror(suite); v != "" {
				return v, nil
			}
		}
		return debian.SnapshotMirror(suite), nil
	}
	nc, err := b.ui.NamedContext(ToolboxContext, dockerui.ContextOpt{Platform: &opt.BuildPlatform})
	if err != nil {
		return opt, err
	}
	if nc != nil {
		st, _, err := nc.Load(ctx)
		if err != nil {
			return opt, fmt.Errorf("the named context %q: %w", ToolboxContext, err)
		}
		opt.Toolbox = st
		return opt, nil
	}
	opt.ToolboxManifest, err = manifest.Load("toolbox.json", examples.Toolbox, b.catalog)
	return opt, err
}

// result returns the state that is exported: a tree as it is, or the
// directory of the assembler with the list of packages beside its files.
func result(target string, t graph.Tree) (llb.State, error) {
	if target != manifest.AssemblerPipeline || len(t.Lists) == 0 {
		return t.Root, nil
	}
	list, err := debian.MergeLists(t.Lists).Encode()
	if err != nil {
		return llb.State{}, err
	}
	return t.Root.File(llb.Mkfile("/"+PackagesFile, 0o644, list, llb.WithCreatedTime(epochTime(t.Epoch))),
		llb.WithCustomName("[internal] list the packages")), nil
}

// describe adds the metadata that exporters look for.
func describe(res *gwclient.Result, target string, p ocispecs.Platform, epoch int64) error {
	res.AddMeta(commonexptypes.ExporterEpochKey, []byte(strconv.FormatInt(epoch, 10)))
	img := ocispecs.Image{Platform: p}
	img.RootFS.Type = "layers"
	when := epochTime(epoch)
	img.Created = &when
	if target != manifest.AssemblerPipeline {
		img.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
		img.Config.Cmd = []string{"/bin/sh"}
	}
	config, err := json.Marshal(img)
	if err != nil {
		return err
	}
	res.AddMeta(exptypes.ExporterImageConfigKey, config)
	return nil
}

// ReadFile solves a state and reads one file of it. It makes build a
// graph.Resolver.
func (b *build) ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error) {
	def, err := b.marshal(ctx, st)
	if err != nil {
		return nil, err
	}
	res, err := b.client.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), CacheImports: b.cacheImports()})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	return dockerui.ReadFile(ctx, ref, name)
}

func (b *build) marshal(ctx context.Context, st llb.State) (*llb.Definition, error) {
	return st.Marshal(ctx, llb.WithCaps(b.client.BuildOpts().LLBCaps))
}

func (b *build) cacheImports() []gwclient.CacheOptionsEntry { return b.ui.CacheImports }

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
			Data:       b.source.Data,
			Filename:   b.source.Filename,
			Language:   b.source.Language,
			Definition: b.source.Definition.ToPB(),
		},
		Ranges: []*pb.Range{graph.Range(span)},
	}
}

func epochTime(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
