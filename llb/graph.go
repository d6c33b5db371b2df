package llb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/debian"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/rpmmd"
	"github.com/osbuildkit/osbuildkit/stages/packages"
)

// DefaultEpoch is the time of builds whose manifest names no repository and
// that are given no SOURCE_DATE_EPOCH: 1 January 2020, UTC. A fixed time, so
// that the same manifest gives the same bytes.
const DefaultEpoch = 1577836800

// Resolver reads files out of states that have to be solved for it.
type Resolver interface {
	// ReadFile returns the content of the file name in the state.
	ReadFile(ctx context.Context, st llb.State, name string) ([]byte, error)
	// Evaluate solves the state, and reports what has gone wrong.
	Evaluate(ctx context.Context, st llb.State) error
}

// Options say everything about a build that is not in the manifest.
type Options struct {
	// Module finds a built-in module by kind and name, parts of modules included.
	Module func(kind module.Kind, name string) *module.Module
	// Program finds a module of the user, which then takes the place of a
	// built-in one with its name. Nil means that there are none.
	Program func(kind module.Kind, name string) *Program
	// Runner returns a state that holds the runner binaries for a platform as
	// /osbuildkit-runner-GROUP.
	Runner func(platform ocispecs.Platform) (llb.State, error)
	// Platform is what the image is for; BuildPlatform is what edit and tools
	// steps run on, and what build roots are for.
	Platform, BuildPlatform ocispecs.Platform
	// Runs says whether the builder runs programs of a platform, natively or
	// emulated. Nil means that it runs all.
	Runs func(platform ocispecs.Platform) bool
	// Label stands before the name of each step in the display. It tells the
	// steps of several platforms apart.
	Label string
	// Resolver reads what solve steps have found out.
	Resolver Resolver
	// SourceMap refers the operations to the text of the manifest.
	SourceMap *llb.SourceMap
	// Network is what the steps get that ask for the network: one of their own, that
	// of the builder's machine, which the builder must allow, or none.
	Network pb.NetMode
	// NoCache says whether the steps of a pipeline are run although they are
	// in the cache. Nil means none.
	NoCache func(pipeline string) bool
	// Epoch is the time of the build in seconds since 1970, or nil if the
	// repositories' own date is to be taken.
	Epoch *int64
	// Mirrors returns where a suite may be for which the manifest names no mirror,
	// the best address first: one that has its newest state, or, if at is given, one
	// with the state of that time.
	Mirrors func(suite string, at *time.Time) []string
	// Snapshot is the time of the state of all repositories for which the manifest
	// names neither a mirror nor a time, or nil for the newest state.
	Snapshot *time.Time
	// Warn shows a warning about a value of a pipeline's file. It may be nil, and
	// be called with the same words several times.
	Warn func(p *manifest.Pipeline, pointer, text string)
	// Source returns the file with a SHA-256 in hex, and its name in the
	// state, if it is given with the build; a nil state means that it is to be
	// downloaded. Source itself may be nil.
	Source func(ctx context.Context, sha256 string) (*llb.State, string, error)
	// Context returns the build context, of which it holds at least what the stages
	// of the manifest name (see ContextNames). Nil means that there is none.
	Context func(ctx context.Context) (*llb.State, error)
	// Keys returns the public keys, as armored text, that are given with the
	// build for those that a manifest names by their fingerprints. Keys itself
	// may be nil.
	Keys func(ctx context.Context) ([]string, error)
	// Toolbox is a build root that replaces the default one, or nil.
	Toolbox *llb.State
	// BuildEnv is the build root of the innermost pipelines, or nil.
	BuildEnv *llb.State
	// ToolboxManifest is the pipeline that builds the default build root.
	ToolboxManifest *manifest.Manifest
	// Base returns the tree that is stored under an id, for a platform.
	Base func(ctx context.Context, id string, p ocispecs.Platform) (*Stored, error)
	// Build tells this build from all others. It is part of steps that look at the
	// client's secrets, and of no other.
	Build string
	// Now is the time against which repositories' validity is checked.
	Now func() time.Time
}

// Tree is the state of a pipeline after some of its stages.
type Tree struct {
	// Root is the tree.
	Root llb.State
	// Ledger holds the metadata that layers lose. It passes by the steps
	// that neither read nor write it.
	Ledger llb.State
	// Epoch is the time of the pipeline, in seconds since 1970.
	Epoch int64
	// Lists are the packages that were installed, one list per stage.
	Lists []debian.PackageList
	// RPMLists are the RPM packages that were installed, one list per stage.
	RPMLists []rpmmd.PackageList
	// Unlisted says that the lists are not what the tree has: it began as an image
	// of which nothing is known, or a stage may have removed packages.
	Unlisted bool
	// repos are the repositories that later package stages use unless they
	// name their own.
	repos []packages.RepositoryOptions
	// snapshot is the time of which repositories are for which a later stage names
	// neither a mirror nor a time, or empty.
	snapshot string
	// arch is the architecture of the repositories of a stored tree.
	arch string
	// unknown says that the epoch is a guess: nothing is known of the image that
	// the tree began as.
	unknown bool
}

// Error is an error that belongs to a place in the manifest.
type Error struct {
	// Pipeline is the pipeline that the place is in; its Text is the file.
	Pipeline *manifest.Pipeline
	// Pointer is the JSON pointer of the stage or value.
	Pointer string
	// What names the stage, or the key.
	What string
	// Err says what is wrong.
	Err error
}

// Error names the place and what is wrong.
func (e *Error) Error() string {
	return fmt.Sprintf("%s in pipeline %q: %v", e.What, e.Pipeline.Name, e.Err)
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Graph makes the states of one manifest. It is used by one goroutine.
type Graph struct {
	m       *manifest.Manifest
	opt     Options
	trees   map[string]Tree
	toolbox *llb.State
	native  *Graph
	suites  map[string]*suite // see findSuites
	// steady says that the graph is that of the toolbox, see systemDate.
	steady  bool
	rpms    map[string]*rpmSource
	ready   map[string]bool // see readyClient
	auths   map[string]credentials
	digests map[*manifest.Stage]*module.SecretsDigest
	runners map[module.Group]llb.State
	bases   map[string]*Stored
}

// New returns the graph of a manifest that manifest.Load has checked.
func New(m *manifest.Manifest, opt Options) *Graph {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Graph{
		m: m, opt: opt, trees: map[string]Tree{}, suites: map[string]*suite{}, rpms: map[string]*rpmSource{}, ready: map[string]bool{},
		auths: map[string]credentials{}, digests: map[*manifest.Stage]*module.SecretsDigest{}, runners: map[module.Group]llb.State{}, bases: map[string]*Stored{},
	}
}

// Platform returns what the image is for.
func (g *Graph) Platform() ocispecs.Platform { return g.opt.Platform }

// Pipeline returns the state of the pipeline with the given name after its
// last stage.
func (g *Graph) Pipeline(ctx context.Context, name string) (Tree, error) {
	if t, ok := g.trees[name]; ok {
		return t, nil
	}
	p := g.m.Pipeline(name)
	if p == nil {
		return Tree{}, fmt.Errorf("no pipeline %q in %s", name, g.m.File)
	}
	t, err := g.start(ctx, p)
	if err != nil {
		return Tree{}, err
	}
	for i, s := range p.Stages {
		if t, err = g.stage(ctx, place{pipeline: p, stage: s, number: i + 1, label: g.opt.Label}, t); err != nil {
			return Tree{}, placed(p, s.Pointer, s.Type, err)
		}
	}
	g.trees[name] = t
	return t, nil
}

// placed gives an error its place, unless it has come from another place, such as
// a stage of the build root that a stage needs.
func placed(p *manifest.Pipeline, pointer, what string, err error) error {
	var inner *Error
	if errors.As(err, &inner) {
		return err
	}
	return &Error{Pipeline: p, Pointer: pointer, What: what, Err: err}
}

func (g *Graph) baseError(p *manifest.Pipeline, err error) error {
	return placed(p, manifest.JoinPointer(p.Pointer, "base"), `"base"`, err)
}

// start returns the tree before the first stage.
func (g *Graph) start(ctx context.Context, p *manifest.Pipeline) (Tree, error) {
	t := Tree{Root: llb.Scratch(), Ledger: llb.Scratch(), Epoch: DefaultEpoch}
	if p.Base != "" {
		s, err := g.base(ctx, p)
		if err != nil {
			return Tree{}, err
		}
		t = s.start()
	}
	if p.Name == manifest.AssemblerPipeline {
		in, err := g.Pipeline(ctx, manifest.TreePipeline)
		if err != nil {
			return Tree{}, err
		}
		t.Epoch, t.Lists, t.RPMLists, t.Unlisted = in.Epoch, in.Lists, in.RPMLists, in.Unlisted
	}
	if g.opt.Epoch != nil {
		t.Epoch = *g.opt.Epoch
	}
	return t, nil
}

// stage adds one stage to a tree.
func (g *Graph) stage(ctx context.Context, at place, t Tree) (Tree, error) {
	if g.opt.Program != nil {
		if p := g.opt.Program(at.stage.Kind, at.stage.Type); p != nil {
			return g.program(ctx, at, t, p)
		}
	}
	m := g.opt.Module(at.stage.Kind, at.stage.Type)
	if m == nil {
		return Tree{}, fmt.Errorf("there is no such %s", at.stage.Kind)
	}
	if expand, ok := expansions[m.Name]; ok && m.Run == nil {
		// Scripts of packages run in the tree: known before anything is fetched.
		if err := g.runsImage(); err != nil {
			return Tree{}, err
		}
		return expand(g, ctx, at, t)
	}
	if m.Kind == module.Assembler {
		return g.assemble(ctx, at, t, m)
	}
	if m.Sandbox == module.Inside {
		var err error
		if t, err = g.prepare(ctx, at, t); err != nil {
			return Tree{}, err
		}
	}
	inputs, err := g.inputs(ctx, at)
	if err != nil {
		return Tree{}, err
	}
	out, err := g.run(ctx, at, t, step{module: m, options: at.stage.Options, inputs: inputs, byContent: copiesContext(at.stage)})
	if err != nil {
		return Tree{}, err
	}
	t.Root, t.Ledger = out.tree, out.ledger
	return t, nil
}

// prepare adds the step that makes a tree ready to be the root of another one.
func (g *Graph) prepare(ctx context.Context, at place, t Tree) (Tree, error) {
	return g.sequence(ctx, at, t, []part{{packages.PreparePart, "prepare", nil, nil}})
}

// assemble runs an assembler over the tree pipeline. The state that it
// returns as Root is the directory of files that the assembler has written.
func (g *Graph) assemble(ctx context.Context, at place, t Tree, m *module.Module) (Tree, error) {
	in, err := g.Pipeline(ctx, manifest.TreePipeline)
	if err != nil {
		return Tree{}, err
	}
	out, err := g.run(ctx, at, in, step{module: m, options: at.stage.Options, readonly: true, output: true})
	if err != nil {
		return Tree{}, err
	}
	t.Root = out.output
	return t, nil
}

// expansions are the modules that are several steps.
var expansions map[string]func(*Graph, context.Context, place, Tree) (Tree, error)

func init() {
	// Set here because the functions refer to the table through Graph.stage.
	expansions = map[string]func(*Graph, context.Context, place, Tree) (Tree, error){
		"org.osbuildkit.debootstrap": (*Graph).debootstrap,
		"org.osbuildkit.apt":         (*Graph).apt,
		"org.osbuild.dnf":            (*Graph).dnf,
		"org.osbuild.yum":            (*Graph).yum,
		"org.osbuild.rpm":            (*Graph).rpmFiles,
	}
}
