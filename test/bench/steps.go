package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/ociindex"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/runners"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/module"
)

// stepCase is a chain of stages that is measured.
type stepCase struct {
	// what says what the stages do, as a format for their number.
	what string
	// packages are those that the tree has beside the smallest system.
	packages []string
	// count is the number of stages, and of steps of a bare chain.
	count int
	// stage returns the stage of a number; nonce is in no cache yet.
	stage func(i int, nonce string) stage
}

// stage is a stage of a manifest.
type stage struct {
	Name    string         `json:"name"`
	Options map[string]any `json:"options"`
}

var stepCases = []stepCase{
	{
		what: "%d stages that edit one small file, per stage", count: 20,
		stage: func(i int, nonce string) stage {
			return stage{"org.osbuild.hostname", map[string]any{"hostname": fmt.Sprintf("%s-%d", nonce, i)}}
		},
	},
	{what: "%d stages that edit files of a larger tree, per stage", packages: []string{"linux-image-amd64", "python3", "git", "g++"}, count: 50, stage: mixed},
}

// mixed returns stages of ten kinds in turn.
func mixed(i int, nonce string) stage {
	type o = map[string]any
	unique := fmt.Sprintf("%s-%d", nonce, i)
	kinds := []stage{
		{"org.osbuild.hostname", o{"hostname": unique}},
		{"org.osbuild.zipl", o{"timeout": i}},
		{"org.osbuild.keymap", o{"keymap": unique, "x11-keymap": o{"layouts": []string{"de"}}}},
		{"org.osbuild.fstab", o{"filesystems": []o{{"label": unique, "path": "/", "vfs_type": "ext4"}}}},
		{"org.osbuild.groups", o{"groups": o{fmt.Sprintf("g%d", i): o{}}}},
		{"org.osbuild.users", o{"users": o{fmt.Sprintf("u%d", i): o{"home": "/home/" + unique, "key": "ssh-ed25519 " + unique}}}},
		{"org.osbuild.kernel-cmdline", o{"kernel_opts": unique}},
		{"org.osbuild.sysconfig", o{"kernel": o{"update_default": true, "default_kernel": unique}}},
		{"org.osbuild.first-boot", o{"commands": []string{"/bin/echo " + unique}}},
		{"org.osbuild.systemd", o{"masked_services": []string{unique + ".service"}}},
	}
	return kinds[i%len(kinds)]
}

// chains measures stages beside bare chains of steps.
type chains struct {
	engine *engine.Engine
	stepCase
	id      string // of the tree
	base    llb.State
	trees   content.Store
	runners string
	work    string
}

// steps measures stages that edit files, beside BuildKit's own price for as
// many steps on the same tree, in turn.
func (b *bench) steps(ctx context.Context) error {
	for _, sc := range stepCases {
		if err := b.chain(ctx, sc); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) chain(ctx context.Context, sc stepCase) error {
	id, size, err := b.baseTree(ctx, sc.packages)
	if err != nil {
		return err
	}
	e, err := engine.Open(ctx, engine.Options{Builder: engine.EmbeddedName, Store: b.store})
	if err != nil {
		return err
	}
	defer e.Close()
	c := &chains{engine: e, stepCase: sc, id: id}
	dir := filepath.Join(b.store, "trees")
	desc, err := ociindex.NewStoreIndex(dir).Get(id)
	if err != nil || desc == nil {
		return fmt.Errorf("the tree %s is not in the store: %w", id, err)
	}
	if c.trees, err = local.NewStore(dir); err != nil {
		return err
	}
	c.base = llb.OCILayout("osbuildkit/tree@"+desc.Digest.String(), llb.OCIStore("", "trees"))
	if c.runners, err = runners.Extract(filepath.Join(b.store, "runners"), runtime.GOARCH); err != nil {
		return err
	}
	if c.work, err = os.MkdirTemp("", "osbuildkit-bench-work-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.work)

	var stages, inside, beside []time.Duration
	for round := range b.rounds + 1 {
		nonce := fmt.Sprintf("r%d-%d", round, time.Now().UnixNano())
		one, err := c.time(ctx, c.stages(nonce))
		if err != nil {
			return fmt.Errorf("stages: %w", err)
		}
		two, err := c.time(ctx, c.bareInside(nonce))
		if err != nil {
			return fmt.Errorf("bare chain in the tree: %w", err)
		}
		three, err := c.time(ctx, c.bareBeside(nonce))
		if err != nil {
			return fmt.Errorf("bare chain beside the tree: %w", err)
		}
		if round == 0 {
			continue // it has fetched the tree and the runners
		}
		stages, inside, beside = append(stages, one), append(inside, two), append(beside, three)
	}
	per := func(d []time.Duration) float64 { return median(d).Seconds() * 1000 / float64(c.count) }
	fmt.Printf("\ntree of %.0f MB\n", float64(size)/1e6)
	row(fmt.Sprintf(c.what, c.count), "%7.1f ms", per(stages))
	row("bare chain: exec of a shell in the tree, per step", "%7.1f ms  ratio %.2f", per(inside), per(stages)/per(inside))
	row("bare chain: exec of the runner, the tree mounted, per step", "%7.1f ms  ratio %.2f", per(beside), per(stages)/per(beside))
	return nil
}

// attempt is one build to be measured.
type attempt struct {
	opt   client.SolveOpt
	build gateway.BuildFunc
	err   error
}

func (c *chains) time(ctx context.Context, a attempt) (time.Duration, error) {
	if a.err != nil {
		return 0, a.err
	}
	a.opt.OCIStores = map[string]content.Store{"trees": c.trees}
	if a.opt.LocalMounts == nil {
		a.opt.LocalMounts = map[string]fsutil.FS{}
	}
	fs, err := fsutil.NewFS(c.runners)
	if err != nil {
		return 0, err
	}
	a.opt.LocalMounts["runners"] = fs
	begin := time.Now()
	_, err = c.engine.Client().Build(ctx, a.opt, "bench", a.build, nil)
	return time.Since(begin), err
}

// stages is a build of the frontend.
func (c *chains) stages(nonce string) attempt {
	var list []stage
	for i := range c.count {
		list = append(list, c.stage(i, nonce))
	}
	text, err := json.Marshal(map[string]any{"base": c.id, "stages": list})
	if err != nil {
		return attempt{err: err}
	}
	if err := os.WriteFile(filepath.Join(c.work, "manifest.json"), text, 0o644); err != nil {
		return attempt{err: err}
	}
	fs, err := fsutil.NewFS(c.work)
	if err != nil {
		return attempt{err: err}
	}
	return attempt{
		opt: client.SolveOpt{
			FrontendAttrs: map[string]string{"filename": "manifest.json"},
			LocalMounts:   map[string]fsutil.FS{"dockerfile": fs, "context": fs},
		},
		build: frontend.BuildFunc(frontend.Config{
			Runner: func(context.Context, gateway.Client, ocispecs.Platform) (llb.State, error) { return runnerFiles(), nil },
			Base: func(context.Context, gateway.Client, string, ocispecs.Platform) (*graph.Stored, error) {
				return &graph.Stored{Root: c.base}, nil
			},
		}),
	}
}

func runnerFiles() llb.State { return llb.Local("runners", llb.SharedKeyHint("bench-runners")) }

// bareInside is a chain as a Dockerfile would make it.
func (c *chains) bareInside(nonce string) attempt {
	st := c.base
	for i := range c.count {
		st = st.Run(llb.Args([]string{"/bin/sh", "-c", fmt.Sprintf("echo %s-%d >/etc/hostname", nonce, i)}), llb.Network(llb.NetModeNone)).Root()
	}
	return attempt{build: solve(st)}
}

// bareBeside is a chain of the runner doing nothing, with the tree mounted.
func (c *chains) bareBeside(nonce string) attempt {
	name := "/" + runners.Name(module.GroupStages)
	root := llb.Scratch().File(llb.Copy(runnerFiles(), name, "/runner"))
	st := c.base
	for i := range c.count {
		st = root.Run(llb.Args([]string{"/runner", "list", fmt.Sprintf("%s-%d", nonce, i)}), llb.Network(llb.NetModeNone), llb.ReadonlyRootFS()).
			AddMount("/tree", st, llb.ContentCache(llb.MountContentCacheOff))
	}
	return attempt{build: solve(st)}
}

func solve(st llb.State) gateway.BuildFunc {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		def, err := st.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
		if err != nil {
			return nil, fmt.Errorf("solving the chain: %w", err)
		}
		return res, nil
	}
}
