package frontend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"github.com/osbuildkit/osbuildkit/catalog"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// LibdirContext is the named context with modules of the user's own: a
// directory or an image with stages/ and assemblers/.
const LibdirContext = "libdir"

// libdir is where the user's own modules are.
type libdir struct {
	state llb.State
	// dir is the directory in the state, without a slash at its end.
	dir string
	// hasPackage says that osbuild's Python package is among them.
	hasPackage bool
}

// userCatalog returns the catalog of a build, with the user's own modules if
// the client gives some, and where they are, or nil.
func (b *build) userCatalog(ctx context.Context) (*catalog.Catalog, *libdir, error) {
	builtin := catalog.Builtin()
	lib, files, err := b.namedLibdir(ctx)
	if err == nil && lib == nil {
		lib, files, err = b.contextLibdir(ctx)
	}
	if err != nil || lib == nil {
		return builtin, nil, err
	}
	user, err := catalog.ReadUser(files, LibdirContext)
	if err != nil {
		var wrong manifest.Errors
		if errors.As(err, &wrong) {
			return nil, nil, err
		}
		return nil, nil, lib.named(err)
	}
	lib.hasPackage = user.Package
	return builtin.With(user), lib, nil
}

// named says where modules come from that cannot be read.
func (l *libdir) named(err error) error {
	if l.dir != "" {
		return fmt.Errorf("the directory %s/ of the context: %w", l.dir, err)
	}
	return fmt.Errorf("the named context %q: %w", LibdirContext, err)
}

// moduleDirs are the directories that the builder is sent of a directory of
// modules.
func moduleDirs() []string {
	return append(slices.Sorted(maps.Values(catalog.UserDirs)), catalog.PackageDir)
}

// namedLibdir returns the modules of the named context.
func (b *build) namedLibdir(ctx context.Context) (*libdir, catalog.Dir, error) {
	nc, err := b.ui.NamedContext(LibdirContext, dockerui.ContextOpt{
		Platform:       &b.ui.BuildPlatforms[0],
		NoDockerignore: true,
		// What else the directory holds is not for the builder.
		AsyncLocalOpts: func() []llb.LocalOption {
			return []llb.LocalOption{llb.IncludePatterns(moduleDirs()), llb.ExcludePatterns(graph.PythonCaches)}
		},
	})
	if err != nil || nc == nil {
		return nil, nil, err
	}
	lib := &libdir{}
	st, _, err := nc.Load(ctx)
	if err != nil {
		return nil, nil, lib.named(err)
	}
	lib.state = *st
	ref, err := b.solve(ctx, *st, false)
	if err != nil {
		return nil, nil, lib.named(err)
	}
	return lib, refDir{ctx, ref, "/"}, nil
}

// contextLibdir returns the modules in libdir/ of the main context, if there
// are any. The command line has looked beside the manifest by itself.
func (b *build) contextLibdir(ctx context.Context) (*libdir, catalog.Dir, error) {
	if !b.cfg.ContextLibdir {
		return nil, nil, nil
	}
	var include []string
	for _, dir := range moduleDirs() {
		include = append(include, path.Join(LibdirContext, dir))
	}
	st, err := b.ui.MainContext(ctx, llb.IncludePatterns(include), llb.ExcludePatterns(graph.PythonCaches),
		llb.SharedKeyHint("context-"+LibdirContext), dockerui.WithInternalName("look for modules in "+LibdirContext+"/"))
	if noContext(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	lib := &libdir{state: *st, dir: LibdirContext}
	ref, err := b.solve(ctx, *st, true)
	if noContext(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, lib.named(err)
	}
	top, err := refDir{ctx, ref, "/"}.ReadDir(".")
	if err != nil {
		return nil, nil, lib.named(err)
	}
	if !hasDir(top, LibdirContext) {
		return nil, nil, nil
	}
	files := refDir{ctx, ref, "/" + LibdirContext}
	list, err := files.ReadDir(".")
	if err != nil {
		return nil, nil, lib.named(err)
	}
	if !hasModules(list) {
		return nil, nil, nil
	}
	return lib, files, nil
}

// noContext reports whether an error says that the client has given no
// context, as a build may that needs none.
func noContext(err error) bool {
	return err != nil && strings.Contains(err.Error(), "no access allowed to dir")
}

func hasDir(list []fs.DirEntry, name string) bool {
	return slices.ContainsFunc(list, func(e fs.DirEntry) bool { return e.Name() == name && e.IsDir() })
}

// hasModules reports whether a directory beside a manifest, which may be
// anything, is one of modules.
func hasModules(list []fs.DirEntry) bool {
	for _, dir := range catalog.UserDirs {
		if hasDir(list, dir) {
			return true
		}
	}
	return false
}

// FindLibdir returns the directory libdir in dir if it holds modules, or "".
func FindLibdir(dir string) string {
	name := filepath.Join(dir, LibdirContext)
	if st, err := os.Lstat(name); err != nil || !st.IsDir() {
		return ""
	}
	if list, err := os.ReadDir(name); err != nil || !hasModules(list) {
		return ""
	}
	return name
}

// program returns the function with which the graph finds modules of the user,
// or nil if there are none.
func (b *build) program() func(module.Kind, string) *graph.Program {
	if b.libdir == nil {
		return nil
	}
	return func(kind module.Kind, name string) *graph.Program {
		m := b.catalog.User(kind, name)
		if m == nil {
			return nil
		}
		p := &graph.Program{Module: m.Module, Source: b.libdir.state, Path: path.Join(b.libdir.dir, m.Program), Python: m.Python}
		if m.Files != "" {
			p.Files = path.Join(b.libdir.dir, m.Files)
		}
		if b.libdir.hasPackage {
			p.Package = path.Join(b.libdir.dir, catalog.PackageDir)
		}
		return p
	}
}

// refDir is a directory of a solved state as a catalog.Dir.
type refDir struct {
	ctx context.Context
	ref gwclient.Reference
	dir string
}

// ReadDir lists a directory.
func (d refDir) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := d.ref.ReadDir(d.ctx, gwclient.ReadDirRequest{Path: path.Join(d.dir, name)})
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, len(list))
	for i, st := range list {
		out[i] = fs.FileInfoToDirEntry(&fsutil.StatInfo{Stat: &types.Stat{Path: path.Base(st.Path), Mode: st.Mode, Size: st.Size}})
	}
	return out, nil
}

// ReadFile reads a file; who asks has looked at its size.
func (d refDir) ReadFile(name string) ([]byte, error) {
	return dockerui.ReadFile(d.ctx, d.ref, path.Join(d.dir, name))
}
