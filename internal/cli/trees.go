package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/ociindex"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/engine"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/private"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// Stored trees are images in one OCI layout below the store, tagged with
// their tree id. An image keeps owners, modes, links and capabilities, which
// a directory of files sent to a builder would not.

// treesStore is the name under which a session serves the stored trees.
const treesStore = "osbuildkit-trees"

func treesDir(store string) string { return filepath.Join(store, private.Trees) }

// treeRepository is the image name of stored trees.
const treeRepository = "osbuildkit/tree"

// treeTag is the tag of a stored tree among those of all platforms. The newest of
// them has the id alone as well.
func treeTag(id string, p ocispecs.Platform) string {
	return id + "-" + strings.ReplaceAll(platforms.Format(platforms.Normalize(p)), "/", "-")
}

// baseTree returns a stored tree: the one for the platform, or else the one that
// is there, whose platform it names.
func baseTree(store, id string, p ocispecs.Platform) (*graph.Stored, error) {
	missing := fmt.Errorf("the tree %s is not in the store %s: build the manifest that makes it with --checkpoint tree", id, store)
	dir := treesDir(store)
	if !isOCILayout(dir) {
		return nil, missing
	}
	index := ociindex.NewStoreIndex(dir)
	desc, err := index.Get(treeTag(id, p))
	if err == nil && desc == nil {
		desc, err = index.Get(id)
	}
	if err != nil {
		return nil, damagedIndex(store, err)
	}
	if desc == nil {
		return nil, missing
	}
	if err := checkTree(store, id, *desc, false); err != nil {
		return nil, err
	}
	s, err := readTree(dir, desc.Digest)
	if err != nil {
		return nil, &damagedTree{store: store, id: id, err: err}
	}
	s.Root = llb.OCILayout(treeRepository+"@"+desc.Digest.String(), llb.OCIStore("", treesStore),
		llb.Platform(s.Platform), llb.WithCustomName("load the tree "+id[:12]))
	return s, nil
}

// readTree reads what is kept with a stored tree.
func readTree(dir string, image digest.Digest) (*graph.Stored, error) {
	var m ocispecs.Manifest
	if err := readBlob(dir, image, &m); err != nil {
		return nil, err
	}
	var config ocispecs.Image
	if err := readBlob(dir, m.Config.Digest, &config); err != nil {
		return nil, err
	}
	return graph.ParseStored(&config)
}

// readBlob reads a blob of a layout, which is JSON, and verifies it.
func readBlob(dir string, d digest.Digest, into any) error {
	if err := d.Validate(); err != nil {
		return err
	}
	f, err := private.OpenRegular(filepath.Join(dir, ocispecs.ImageBlobsDir, d.Algorithm().String(), d.Encoded()))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImageMeta))
	if err != nil {
		return err
	}
	if d.Algorithm().FromBytes(data) != d {
		return fmt.Errorf("%s is damaged", f.Name())
	}
	return json.Unmarshal(data, into)
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

// checkpoint keeps the tree in the store if the flags ask for it: of several
// platforms, each as an image of its own.
func (r *request) checkpoint(ctx context.Context, e *engine.Engine) error {
	if len(r.flags.checkpoints) == 0 {
		return nil
	}
	id := r.manifest().TreeID()
	for _, c := range r.flags.checkpoints {
		if c != id && c != manifest.TreePipeline {
			return fmt.Errorf("--checkpoint %s: with this base the tree is %s", c, id)
		}
	}
	for _, platform := range strings.Split(r.flags.platform, ",") {
		if err := r.keepTree(ctx, e, id, platform); err != nil {
			return fmt.Errorf("keeping the tree %s in the store: %w", id, err)
		}
	}
	return nil
}

// keepTree builds the tree for a platform, which may be empty, into the store.
func (r *request) keepTree(ctx context.Context, e *engine.Engine, id, platform string) error {
	opt, err := r.solveOpt()
	if err != nil {
		return err
	}
	opt.FrontendAttrs["target"] = manifest.TreePipeline
	delete(opt.FrontendAttrs, "platform")
	if platform != "" {
		opt.FrontendAttrs["platform"] = platform
	}
	opt.CacheExports = nil
	if err := private.MakeDir(r.trees); err != nil {
		return err
	}
	unlock, err := prepareTrees(r.flags.store, id)
	if err != nil {
		return err
	}
	defer unlock()
	opt.Exports = []client.ExportEntry{{
		Type: client.ExporterOCI,
		Attrs: map[string]string{"tar": "false", "name": treeRepository + ":" + id, "compression": "zstd", "force-compression": "true",
			// Without it the tree would have the times at which its directories
			// were last written to, and be another one in each store.
			"rewrite-timestamp": "true"},
		// Not OutputStore: with it the client does not write the index.
		OutputDir: r.trees,
	}}
	show, err := r.app.newDisplay(r.flags.progress)
	if err != nil {
		return err
	}
	config := r.config()
	config.SBOM = false // it stands beside the result already
	_, err = e.Client().Build(ctx, opt, product, frontend.BuildFunc(config), show.channel())
	show.wait()
	if err != nil {
		return err
	}
	return r.tagTree(id)
}

// tagTree gives the newest tree with an id the tag of its platform too.
func (r *request) tagTree(id string) error {
	index := ociindex.NewStoreIndex(r.trees)
	desc, err := index.Get(id)
	if err != nil {
		return err
	}
	if desc == nil {
		return errors.New("it is not in the index")
	}
	s, err := readTree(r.trees, desc.Digest)
	if err != nil {
		return err
	}
	r.platforms = append(r.platforms, s.Platform)
	desc.Annotations = nil
	return index.Put(*desc, ociindex.Tag(treeTag(id, s.Platform)))
}
