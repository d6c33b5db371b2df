package frontend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

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

// userCatalog returns the catalog of a build, with the user's own modules if
// the client gives some, and the state that holds them, or nil.
func (b *build) userCatalog(ctx context.Context) (*catalog.Catalog, *llb.State, error) {
	builtin := catalog.Builtin()
	nc, err := b.ui.NamedContext(LibdirContext, dockerui.ContextOpt{
		Platform:       &b.ui.BuildPlatforms[0],
		NoDockerignore: true,
		// What else the directory holds is not for the builder.
		AsyncLocalOpts: func() []llb.LocalOption {
			dirs := slices.Sorted(maps.Values(catalog.UserDirs))
			return []llb.LocalOption{llb.IncludePatterns(dirs)}
		},
	})
	if err != nil || nc == nil {
		return builtin, nil, err
	}
	st, _, err := nc.Load(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the named context %q: %w", LibdirContext, err)
	}
	ref, err := b.solve(ctx, *st, false)
	if err != nil {
		return nil, nil, fmt.Errorf("the named context %q: %w", LibdirContext, err)
	}
	user, err := catalog.ReadUser(refDir{ctx, ref}, LibdirContext)
	if err != nil {
		var wrong manifest.Errors
		if errors.As(err, &wrong) {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("the named context %q: %w", LibdirContext, err)
	}
	return builtin.With(user), st, nil
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
		return &graph.Program{Module: m.Module, Source: *b.libdir, Path: m.Program, Files: m.Files}
	}
}

// refDir is the root of a solved state as a catalog.Dir.
type refDir struct {
	ctx context.Context
	ref gwclient.Reference
}

// ReadDir lists a directory.
func (d refDir) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := d.ref.ReadDir(d.ctx, gwclient.ReadDirRequest{Path: path.Join("/", name)})
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
	return dockerui.ReadFile(d.ctx, d.ref, path.Join("/", name))
}
