package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/cmd/buildctl/build"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/private"
	"github.com/osbuildkit/osbuildkit/internal/runners"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// product is how builds of this program are marked in a daemon's history.
const product = "osbuildkit"

// request is one build: what is asked for and what has come of it.
type request struct {
	app   *app
	flags *buildFlags
	src   *source
	// work is a directory for what the session serves; it is removed.
	work string
	// outcome is set when the frontend has succeeded.
	outcome *frontend.Outcome
	// err is the frontend's own error. On its way through BuildKit it would
	// lose its type.
	err error
	// show is the display of the build; failure is the error that was shown in it
	// already.
	show    *display
	failure error
	// files are the files of the result.
	files []outputFile
	// trees is the layout that trees are kept in; platforms are those of the
	// trees that were kept.
	trees     string
	platforms []ocispecs.Platform
}

// build is the build command.
func (a *app) build(ctx context.Context, f *buildFlags, name string) error {
	if err := f.check(); err != nil {
		return err
	}
	if err := f.checkDebug(name); err != nil {
		return err
	}
	var src *source
	err := a.contextModules(f)
	if err != nil {
		return err
	}
	f.findLibdir(name)
	if name != "-" && f.buildEnv != "-" {
		// Checked before anything is started: what is wrong with a manifest
		// does not depend on where it would be built.
		if src, err = a.readManifest(name, &f.manifestFlags); err != nil {
			return err
		}
	}
	if err := checkStore(f.store); err != nil {
		return err
	}
	opts := a.engineOptions(f.builder, f.store)
	opts.Emulation, opts.Allow = f.platform != "", f.allow
	if err := f.setCache(&opts, name); err != nil {
		return err
	}
	if done, err := ensurePrivileges(ctx, opts); done || err != nil {
		return err
	}
	if src == nil {
		if src, err = a.readManifest(name, &f.manifestFlags); err != nil {
			return err
		}
	}
	target, err := frontend.Target(src.m, f.target)
	if err != nil {
		return &exitError{code: exitInvalid, err: err}
	}
	if err := f.checkNames(src, target); err != nil {
		return err
	}
	if p := src.m.Pipeline(frontend.PipelineOf(target)); len(p.Stages) == 0 && p.Base == "" {
		// Valid, as for osbuild: an empty manifest builds nothing.
		return a.report(&request{app: a, flags: f, src: src})
	}
	if err := checkCheckpoints(f.checkpoints, src.m); err != nil {
		return err
	}
	if err := f.checkOutputs(src.m, target); err != nil {
		return err
	}
	if err := a.warnOfNoCaches(f); err != nil {
		return err
	}
	e, err := engine.Open(ctx, opts)
	if err != nil {
		return err
	}
	defer e.Close()
	r := &request{app: a, flags: f, src: src, trees: treesDir(f.store)}
	if err := r.run(ctx, e); err != nil {
		return err
	}
	if f.reproducible != "" {
		if err := r.buildAgain(ctx, e); err != nil {
			return err
		}
	}
	return a.report(r)
}

func (a *app) engineOptions(builder, store string) engine.Options {
	return engine.Options{
		Builder: builder,
		Store:   store,
		Notify:  func(s string) { fmt.Fprintln(a.stderr, "osbuildkit: "+s) },
	}
}

// ensurePrivileges runs this program again where the engine needs more than
// this process has. When that was done, the error is the other one's exit code.
func ensurePrivileges(ctx context.Context, opts engine.Options) (done bool, err error) {
	if err := engine.CheckBuilder(opts.Builder); err != nil {
		return false, &exitError{code: exitInvalid, err: err}
	}
	again, code, err := engine.EnsurePrivileges(ctx, opts)
	if err == nil && again && code != 0 {
		err = &exitError{code: code, elsewhere: true}
	}
	return again, err
}

// run solves the request and puts the files of the result in their place.
func (r *request) run(ctx context.Context, e *engine.Engine) error {
	if _, err := private.MakeStore(r.flags.store); err != nil {
		return err
	}
	tmp := filepath.Join(r.flags.store, private.Temporary)
	err := private.MakeDir(tmp)
	if err != nil {
		return err
	}
	if r.work, err = os.MkdirTemp(tmp, "build-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	unlock, err := lockDirectory(r.work)
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }()
	if err := removeStaleBuilds(tmp); err != nil {
		return err
	}

	opt, err := r.solveOpt()
	if err != nil {
		return err
	}
	target, err := frontend.Target(r.src.m, r.flags.target)
	if err != nil {
		return err
	}
	var tree *archiveFile
	if target != manifest.AssemblerPipeline {
		if tree, err = r.exportArchive(&opt, target); err != nil {
			return err
		}
		defer tree.discard()
	}
	// The embedded engine has no one to show its history to, and writing a
	// record takes longer than looking up a whole graph in the cache.
	opt.Internal = e.Kind() == engine.Embedded
	if opt.Internal && engine.SharesProcesses() {
		fmt.Fprintln(r.app.stderr, "warning: parts of /proc are covered here, so steps share the process namespace of the engine: they can see its processes, and end them; build as root, outside of a container or with a builder of its own to have steps kept apart")
	}
	show, err := r.app.newDisplay(r.flags.progress)
	if err != nil {
		return err
	}
	r.show = show
	_, err = e.Client().Build(ctx, opt, product, r.frontend, show.channel())
	warnings := show.wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case r.failure != nil:
		return r.failure
	case r.err != nil:
		return r.app.failed(r.explainBase(r.err), r.src, show)
	case err != nil:
		return r.app.failed(r.explainBase(frontend.Explain(err)), r.src, show)
	}
	r.app.showWarnings(warnings)
	if tree != nil {
		file, err := tree.commit()
		if err != nil {
			return err
		}
		r.files = append(r.files, file)
	}
	return r.checkpoint(ctx, e)
}

// removeStaleBuilds removes the directories of builds that have ended without
// doing so.
func removeStaleBuilds(tmp string) error {
	dir, err := os.OpenRoot(tmp)
	if err != nil {
		return err
	}
	removeStale(dir, "build-", "")
	return dir.Close()
}

// frontend runs in this process: it builds, and brings the files of the
// result while the session lives.
func (r *request) frontend(ctx context.Context, c gwclient.Client) (*gwclient.Result, error) {
	out, err := frontend.Build(ctx, c, r.config())
	if err == nil && out.Target == manifest.AssemblerPipeline {
		r.files, err = r.downloadAll(ctx, out.Result)
	}
	if err == nil {
		err = r.downloadAttestations(ctx, out.Result)
	}
	if err != nil {
		r.afterFailure(ctx, c, err)
		r.err = err
		return nil, err
	}
	r.outcome = out
	return out.Result, nil
}

// config is what this route gives the frontend.
func (r *request) config() frontend.Config {
	return frontend.Config{
		Runner: func(_ context.Context, c gwclient.Client, p ocispecs.Platform) (llb.State, error) {
			return llb.Local(runnerLocal(p.Architecture),
				llb.SessionID(c.BuildOpts().SessionID),
				llb.LocalUniqueID(runnerLocal(p.Architecture)),
				llb.SharedKeyHint(runnerLocal(p.Architecture)),
				llb.WithCustomName("[internal] load the runners")), nil
		},
		Base: func(_ context.Context, _ gwclient.Client, id string, p ocispecs.Platform) (*graph.Stored, error) {
			return baseTree(r.flags.store, id, p)
		},
		Mirrors: clientMirrors,
		Load:    r.src.load,
		SBOM:    r.flags.sbom,
		// What is of use for the result need not be for the tree that is kept.
		Strict: r.outcome == nil,
	}
}

func runnerLocal(arch string) string { return "osbuildkit-runners-" + arch }

// solveOpt gathers what the session serves and what BuildKit is asked for.
func (r *request) solveOpt() (client.SolveOpt, error) {
	f := r.flags
	opt := client.SolveOpt{
		FrontendAttrs: f.attributes(r.src),
		LocalMounts:   map[string]fsutil.FS{},
		OCIStores:     map[string]content.Store{},

		AllowedEntitlements: f.allow,
	}
	if r.outcome != nil {
		// What was to run again has run: the tree that is kept is that of the result.
		delete(opt.FrontendAttrs, "no-cache")
	}
	if err := r.serveManifest(&opt); err != nil {
		return opt, err
	}
	for _, arch := range runners.Architectures() {
		opt.LocalMounts[runnerLocal(arch)] = extractedRunners(filepath.Join(f.store, private.Runners), arch)
	}
	if len(runners.Architectures()) == 0 {
		_, err := runners.Extract(f.store, "amd64")
		return opt, err
	}
	if err := addContexts(&opt, f); err != nil {
		return opt, err
	}
	if err := serveTrees(&opt, f.store); err != nil {
		return opt, err
	}
	var err error
	if opt.CacheImports, opt.CacheExports, err = f.caches(); err != nil {
		return opt, err
	}
	opt.CacheImports = slices.DeleteFunc(opt.CacheImports, func(c client.CacheOptionsEntry) bool { return noCache(c) != "" })
	if err := makeCaches(opt.CacheExports); err != nil {
		return opt, err
	}
	opt.Session = []session.Attachable{authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(io.Discard)),
	})}
	if len(f.secrets) > 0 {
		s, err := build.ParseSecret(f.secrets)
		if err != nil {
			return opt, usageError("--secret: %w", err)
		}
		opt.Session = append(opt.Session, serveLines(s, r.src.m))
	}
	return opt, nil
}

// serveManifest puts the text that was checked into a directory of its own:
// what the frontend reads is then the same text, also from standard input,
// and nothing beside it is walked.
func (r *request) serveManifest(opt *client.SolveOpt) error {
	dir := filepath.Join(r.work, "manifest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := "manifest.json"
	if r.src.name != "<stdin>" {
		name = filepath.Base(r.src.name)
	}
	if err := os.WriteFile(filepath.Join(dir, name), r.src.data, 0o644); err != nil {
		return err
	}
	fs, err := fsutil.NewFS(dir)
	if err != nil {
		return err
	}
	maps.Copy(opt.FrontendAttrs, map[string]string{"filename": name})
	opt.LocalMounts["dockerfile"] = fs
	return r.src.serveContext(opt, dir, fs)
}

// failed turns the error of a build into what is shown and the exit code.
func (a *app) failed(err error, src *source, d *display) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	err = d.explain(err)
	places := a.showErrors(err, src)
	code := exitFailed
	// What is wrong with a manifest is so whoever has found it.
	if several := (manifest.Errors)(nil); errors.As(err, &several) {
		code = exitInvalid
	}
	return &exitError{code: code, err: err, quiet: true, places: places}
}
