package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/ociindex"

	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// Stored trees are images in one OCI layout below the store, tagged with
// their tree id. An image keeps owners, modes, links and capabilities, which
// a directory of files sent to a builder would not.

// treesStore is the name under which a session serves the stored trees.
const treesStore = "osbuildkit-trees"

func treesDir(store string) string { return filepath.Join(store, "trees") }

// treeRepository is the image name of stored trees.
const treeRepository = "osbuildkit/tree"

// baseTree returns the state of a stored tree.
func baseTree(store, id string) (llb.State, error) {
	missing := fmt.Errorf("the tree %s is not in the store %s: build the manifest that makes it with --checkpoint tree", id, store)
	if !isOCILayout(treesDir(store)) {
		return llb.State{}, missing
	}
	desc, err := ociindex.NewStoreIndex(treesDir(store)).Get(id)
	if err != nil {
		return llb.State{}, damagedIndex(store, err)
	}
	if desc == nil {
		return llb.State{}, missing
	}
	if err := checkTree(store, id, *desc, false); err != nil {
		return llb.State{}, err
	}
	return llb.OCILayout(treeRepository+"@"+desc.Digest.String(), llb.OCIStore("", treesStore),
		llb.WithCustomName("load the tree "+id[:12])), nil
}

// serveTrees makes the stored trees part of a session.
func serveTrees(opt *client.SolveOpt, store string) error {
	if !isOCILayout(treesDir(store)) {
		return nil
	}
	s, err := local.NewStore(treesDir(store))
	if err != nil {
		return err
	}
	opt.OCIStores[treesStore] = s
	return nil
}

// checkCheckpoints reports, before anything is built, a --checkpoint that
// could not be kept afterwards.
func checkCheckpoints(checkpoints []string, m *manifest.Manifest) error {
	id := m.TreeID()
	for _, c := range checkpoints {
		if c != id && c != manifest.TreePipeline {
			return usageError("--checkpoint %q: only the finished tree can be kept; its id is %s", c, id)
		}
	}
	if len(checkpoints) > 0 && id == "" {
		return usageError("--checkpoint: the manifest has no stages and so no tree")
	}
	return nil
}

// checkpoint keeps the tree in the store if the flags ask for it.
func (r *request) checkpoint(ctx context.Context, e *engine.Engine) error {
	if len(r.flags.checkpoints) == 0 {
		return nil
	}
	id := r.src.m.TreeID()
	opt, err := r.solveOpt()
	if err != nil {
		return err
	}
	opt.FrontendAttrs["target"] = manifest.TreePipeline
	opt.CacheExports = nil
	dir := treesDir(r.flags.store)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := prepareTrees(r.flags.store, id)
	if err != nil {
		return err
	}
	defer unlock()
	opt.Exports = []client.ExportEntry{{
		Type:  client.ExporterOCI,
		Attrs: map[string]string{"tar": "false", "name": treeRepository + ":" + id, "compression": "zstd", "force-compression": "true"},
		// Not OutputStore: with it the client does not write the index.
		OutputDir: dir,
	}}
	show, err := r.app.newDisplay(r.flags.progress)
	if err != nil {
		return err
	}
	_, err = e.Client().Build(ctx, opt, product, frontend.BuildFunc(r.config()), show.channel())
	show.wait()
	if err != nil {
		return fmt.Errorf("keeping the tree %s in the store: %w", id, err)
	}
	return nil
}
