package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// Places inside a step.
const (
	runDir = "/run/osbuild"
	// TreeDir is where the tree is, in a step whose root it is not.
	TreeDir   = runDir + "/tree"
	stepFile  = runDir + "/step.json"
	inputsDir = runDir + "/inputs"
	outputDir = runDir + "/output"
	// LedgerDir is where the ledger of the tree is.
	LedgerDir = runDir + "/ledger"
	buildDir  = runDir + "/build"
	// BinDir is where the runner is, in a step whose root it is not.
	BinDir     = runDir + "/bin"
	secretsDir = runDir + "/secrets"
	// RunnerName is the name of the runner in its directory.
	RunnerName = "osbuildkit-runner"
)

// place is where in the manifest a step comes from.
type place struct {
	pipeline *manifest.Pipeline
	stage    *manifest.Stage
	number   int
	label    string
}

// name is what the progress display shows for a step: "[tree 2/5] NAME", or
// "[linux/arm64 tree 2/5] NAME" among several platforms.
func (at place) name(part string) string {
	s := fmt.Sprintf("[%s%s %d/%d] %s", at.label, at.pipeline.Name, at.number, len(at.pipeline.Stages), at.stage.Type)
	if part != "" {
		s += ": " + part
	}
	return s
}

// step says what one exec runs.
type step struct {
	module *module.Module
	// program is set if the module is one of the user's.
	program *Program
	// id is osbuild's id of the stage, for modules that osbuild gives it to.
	id string
	// part names the step among several of one stage, for the display.
	part string
	// internal says that the step is none of the stage itself.
	internal bool
	// options are the module's options as JSON.
	options json.RawMessage
	// inputs are mounted read-only below /run/osbuild/inputs.
	inputs map[string]llb.State
	// byContent makes the content of the inputs part of the step's key, and not how
	// they were made.
	byContent bool
	// inputData is what a program of the user is told about its inputs.
	inputData map[string]json.RawMessage
	// readonly mounts the tree read-only.
	readonly bool
	// output gives the module an empty directory to write to.
	output bool
	// secrets are those that the step can read besides what its module asks
	// for. Their content is in no key, as it shapes no result.
	secrets []stepSecret
	// digest stands in the key for the content of those that its module asks for.
	digest *module.SecretsDigest
	// always runs the step in each build.
	always bool
	// constraints take the place of those of the stage, if there are any.
	constraints []llb.ConstraintsOpt
}

// name is what the progress display shows for the step.
func (s step) name(at place) string {
	if s.internal {
		return "[internal] " + at.label + s.part
	}
	return at.name(s.part)
}

// outputs are the states after a step.
type outputs struct {
	tree, ledger, output llb.State
}

// contract is the step description that the runner reads: the module
// contract, in a form whose bytes depend on nothing but what matters.
type contract struct {
	Tree      string                     `json:"tree"`
	Options   json.RawMessage            `json:"options"`
	OutputDir string                     `json:"output_dir,omitempty"`
	Inputs    map[string]string          `json:"inputs,omitempty"`
	BuildRoot string                     `json:"build_root,omitempty"`
	Ledger    string                     `json:"ledger,omitempty"`
	Network   bool                       `json:"network,omitempty"`
	Secrets   map[string]string          `json:"secrets,omitempty"`
	Digest    *module.SecretsDigest      `json:"secrets_digest,omitempty"`
	ID        string                     `json:"id,omitempty"`
	InputData map[string]json.RawMessage `json:"input_data,omitempty"`
	Epoch     int64                      `json:"epoch"`
}

// run makes the exec of one step on the tree.
func (g *Graph) run(ctx context.Context, at place, t Tree, s step) (outputs, error) {
	var err error
	if s.options, err = s.sealed(t.Epoch); err != nil {
		return outputs{}, err
	}
	if s.digest, err = g.secretsDigest(ctx, at, s); err != nil {
		return outputs{}, err
	}
	file, err := s.file(t)
	if err != nil {
		return outputs{}, err
	}
	runner, err := g.runner(s.module.Group)
	if err != nil {
		return outputs{}, err
	}
	program := BinDir + "/" + RunnerName
	if s.module.Sandbox == module.Edit {
		program = "/" + RunnerName
	}
	network := llb.NetModeNone
	if s.network() {
		network = g.opt.Network
	}
	opts := []llb.RunOption{
		llb.Network(network),
		llb.Security(llb.SecurityModeSandbox),
		llb.Hostname("localhost"),
		llb.WithCustomName(s.name(at)),
	}
	constraints := s.constraints
	if constraints == nil {
		constraints = g.constraints(at)
		if g.opt.NoCache != nil && g.opt.NoCache(at.pipeline.Name) {
			constraints = append(constraints, llb.IgnoreCache)
		}
	}
	for _, c := range constraints {
		opts = append(opts, c)
	}
	if s.always {
		opts = append(opts, llb.IgnoreCache)
	}

	treeOpts := []llb.MountOption{llb.ContentCache(llb.MountContentCacheOff)}
	switch {
	case s.module.ScratchTree && s.module.Sandbox == module.Tools:
		treeOpts = append(treeOpts, llb.ForceNoOutput)
	case s.readonly:
		treeOpts = append(treeOpts, llb.Readonly)
	}
	root, rootOpts, err := g.root(ctx, at, t, s, runner)
	if err != nil {
		return outputs{}, err
	}
	opts = append(opts, rootOpts...)

	// Everything else is mounted below /run, and a step leaves nothing in the
	// /tmp of its root.
	opts = append(opts,
		llb.AddMount("/run", llb.Scratch(), llb.Tmpfs()),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
		llb.AddMount(stepFile, llb.Scratch().File(
			llb.Mkfile("/step.json", 0o644, file, llb.WithCreatedTime(unix(0))),
			llb.WithCustomName("[internal] describe "+at.name(s.part)),
		), llb.SourcePath("/step.json"), llb.Readonly, llb.ContentCache(llb.MountContentCacheOff)),
		s.args(program),
	)
	more, err := g.mounts(ctx, at, s, runner)
	if err != nil {
		return outputs{}, err
	}
	opts = append(opts, more...)
	exec := root.Run(opts...)

	out := outputs{ledger: t.mountLedger(exec, s.module.Ledger)}
	if s.module.Sandbox == module.Inside {
		out.tree = exec.Root()
	} else {
		out.tree = exec.AddMount(TreeDir, t.Root, treeOpts...)
	}
	if s.readonly {
		out.tree = t.Root
	}
	if s.output {
		out.output = exec.AddMount(outputDir, llb.Scratch(), llb.ContentCache(llb.MountContentCacheOff))
	}
	return out, nil
}

// root returns the file system that a step sees as its root. It may be written
// to only if it is the tree, or by a module that is written for osbuild.
func (g *Graph) root(ctx context.Context, at place, t Tree, s step, runner llb.State) (llb.State, []llb.RunOption, error) {
	readonly := []llb.RunOption{llb.ReadonlyRootFS()}
	switch s.module.Sandbox {
	case module.Edit:
		return runner, readonly, nil
	case module.Tools:
		root, err := g.buildRoot(ctx, at.pipeline)
		if s.program != nil && s.program.Python {
			// osbuild gives its modules a /var and an /etc that they may write
			// to; here that is all of the build root, and it is dropped.
			readonly = nil
		}
		return root, readonly, err
	case module.Inside:
		if err := g.runsImage(); err != nil {
			return llb.State{}, nil, err
		}
		if s.readonly {
			return t.Root, readonly, nil
		}
		return t.Root, nil, nil
	}
	return llb.State{}, nil, fmt.Errorf("unknown sandbox %q", s.module.Sandbox)
}

// runsImage returns an error where the builder cannot run the programs of the
// image.
func (g *Graph) runsImage() error {
	if g.opt.Runs == nil || g.opt.Runs(g.opt.Platform) {
		return nil
	}
	return fmt.Errorf("it runs programs of the image, which is for %s, and this builder runs only its own, for %s: "+
		"register an emulator on the builder (binfmt_misc with qemu-user), or add a %s node to it",
		platforms.Format(g.opt.Platform), platforms.Format(g.opt.BuildPlatform), platforms.Format(g.opt.Platform))
}

// network says whether the step has access to the network: only what asks for
// it in so many words.
func (s step) network() bool { return s.module.Network != nil && s.module.Network(s.options) }

// mounts are what a step sees besides its root and its tree.
func (g *Graph) mounts(ctx context.Context, at place, s step, runner llb.State) ([]llb.RunOption, error) {
	readonly := func(target string, st llb.State) llb.RunOption {
		return llb.AddMount(target, st, llb.Readonly, llb.ContentCache(llb.MountContentCacheOff))
	}
	var opts []llb.RunOption
	if s.program != nil {
		opts = append(opts, readonly(programDir, s.program.state()))
		if s.program.Python && s.program.Package != "" {
			opts = append(opts, readonly(libDir, s.program.library()))
		}
	}
	if s.module.Sandbox != module.Edit {
		opts = append(opts, readonly(BinDir, runner))
	}
	if s.module.Sandbox == module.Inside && s.module.BuildRoot {
		build, err := g.buildRoot(ctx, at.pipeline)
		if err != nil {
			return nil, err
		}
		opts = append(opts, readonly(buildDir, build))
	}
	opts = append(opts, s.secretMounts()...)
	for _, name := range sortedKeys(s.inputs) {
		if s.byContent {
			opts = append(opts, llb.AddMount(inputsDir+"/"+name, s.inputs[name], llb.Readonly))
			continue
		}
		opts = append(opts, readonly(inputsDir+"/"+name, s.inputs[name]))
	}
	return opts, nil
}

// file returns the step description as canonical JSON.
func (s step) file(t Tree) ([]byte, error) {
	options, err := manifest.Canonical(s.options)
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	c := contract{Tree: TreeDir, Options: options, Network: s.network(), ID: s.id, InputData: s.inputData, Epoch: t.Epoch}
	switch s.module.Sandbox {
	case module.Inside:
		c.Tree = "/"
		if s.module.BuildRoot {
			c.BuildRoot = buildDir
		}
	case module.Tools:
		c.BuildRoot = "/"
	}
	if s.output {
		c.OutputDir = outputDir
	}
	if t.hasLedger(s.module.Ledger) {
		c.Ledger = LedgerDir
	}
	c.Secrets, c.Digest = s.secretFiles(), s.digest
	for name := range s.inputs {
		if c.Inputs == nil {
			c.Inputs = map[string]string{}
		}
		c.Inputs[name] = inputsDir + "/" + name
	}
	return json.Marshal(c)
}

// sealed returns the options as others may read them: the step description is in
// the builder's cache and history.
func (s step) sealed(epoch int64) (json.RawMessage, error) {
	if s.module.Seal == nil {
		return s.options, nil
	}
	return s.module.Seal(s.options, epoch)
}

// runner returns the file system that holds the runner of a group, and
// nothing else but the directories that a step mounts over. It is the same
// operation wherever the binary comes from, so that all routes share one
// cache: its key is the content of the copied file.
func (g *Graph) runner(group module.Group) (llb.State, error) {
	if st, ok := g.runners[group]; ok {
		return st, nil
	}
	if g.opt.Runner == nil {
		return llb.State{}, errors.New("no runner is given")
	}
	src, err := g.opt.Runner(g.opt.BuildPlatform)
	if err != nil {
		return llb.State{}, err
	}
	st := Runner(src, group)
	g.runners[group] = st
	return st, nil
}

// Runner returns the file system of a group's runner, from a state that holds the
// runners of all groups.
func Runner(src llb.State, group module.Group) llb.State {
	epoch := llb.WithCreatedTime(unix(0))
	action := llb.Mkdir("/run", 0o755, epoch)
	for _, dir := range []string{"/tmp", "/proc", "/sys", "/dev", "/etc"} {
		action = action.Mkdir(dir, 0o755, epoch)
	}
	action = action.Copy(src, "/"+RunnerName+"-"+string(group), "/"+RunnerName,
		&llb.CopyInfo{Mode: &llb.ChmodOpt{Mode: 0o755}, CreatedTime: epochTime()})
	return llb.Scratch().File(action, llb.WithCustomNamef("[internal] runner for %s", group))
}

// constraints are the options of every operation of a stage. Only its steps are
// run again where the client asks for that: a download has a checksum, or BuildKit
// asks the server in each build, and pipelines that have nothing else in common
// share their downloads.
func (g *Graph) constraints(at place) []llb.ConstraintsOpt {
	out := []llb.ConstraintsOpt{llb.Platform(g.opt.BuildPlatform)}
	// A pipeline from a build environment stands in another file.
	span, ok := at.pipeline.Text.Index.Value(at.stage.Pointer)
	if ok && g.opt.SourceMap != nil && at.pipeline.Text.File == g.m.File {
		out = append(out, g.opt.SourceMap.Location([]*pb.Range{Range(span)}))
	}
	return out
}

// Range returns a piece of the manifest in BuildKit's form: lines from 1,
// characters from 0.
func Range(span manifest.Span) *pb.Range {
	position := func(p manifest.Position) *pb.Position {
		return &pb.Position{Line: int32(p.Line), Character: int32(p.Column - 1)}
	}
	return &pb.Range{Start: position(span.Start), End: position(span.End)}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
