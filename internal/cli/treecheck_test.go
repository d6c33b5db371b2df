package cli

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/ociindex"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// storedTree makes a store with one tree, and returns the parts of the tree.
func storedTree(t *testing.T, id string) (store string, manifest, config, layer ocispecs.Descriptor) {
	t.Helper()
	store = t.TempDir()
	put := func(kind, text string) ocispecs.Descriptor {
		d := ocispecs.Descriptor{MediaType: kind, Digest: digest.FromString(text), Size: int64(len(text))}
		path := blobPath(store, d.Digest)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return d
	}
	layer = put(ocispecs.MediaTypeImageLayerZstd, "a layer")
	config = put(ocispecs.MediaTypeImageConfig, "{}")
	data, err := json.Marshal(ocispecs.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest, Config: config, Layers: []ocispecs.Descriptor{layer},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest = put(ocispecs.MediaTypeImageManifest, string(data))
	if err := ociindex.NewStoreIndex(treesDir(store)).Put(manifest, ociindex.Name(treeRepository+":"+id)); err != nil {
		t.Fatal(err)
	}
	return store, manifest, config, layer
}

// What is wrong with a stored tree is found before a build where it costs nothing,
// and the next checkpoint removes it.
func TestDamagedTree(t *testing.T) {
	t.Parallel()
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	store, manifest, _, _ := storedTree(t, id)
	if _, err := baseTree(store, id, ocispecs.Platform{OS: "linux", Architecture: "amd64"}); err != nil {
		t.Fatal("a whole tree:", err)
	}
	if err := checkTree(store, id, manifest, true); err != nil {
		t.Fatal("a whole tree:", err)
	}
	for _, part := range []string{"manifest", "config", "layer"} {
		for how, tt := range map[string]struct {
			spoil func(path string) error
			cheap bool // found without a look at the content
			want  string
		}{
			"missing": {os.Remove, true, " is missing"},
			"short":   {func(path string) error { return os.Truncate(path, 1) }, true, " has 1 bytes in the place of "},
			"changed": {func(path string) error {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				data[0] ^= 1
				return os.WriteFile(path, data, 0o644)
			}, part != "layer", "the content of sha256:"},
		} {
			store, manifest, config, layer := storedTree(t, id)
			d := map[string]ocispecs.Descriptor{"manifest": manifest, "config": config, "layer": layer}[part]
			if err := tt.spoil(blobPath(store, d.Digest)); err != nil {
				t.Fatal(err)
			}
			_, err := baseTree(store, id, ocispecs.Platform{OS: "linux", Architecture: "amd64"})
			if tt.cheap != (err != nil) {
				t.Errorf("%s %s: at the start of a build: %v", how, part, err)
			}
			err = checkTree(store, id, manifest, true)
			var damage *damagedTree
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--checkpoint tree again") ||
				!strings.Contains(err.Error(), d.Digest.String()) {
				t.Errorf("%s %s: error %v, want %q", how, part, err, tt.want)
			}
			left := filepath.Join(treesDir(store), "ingest", "x", "data")
			if err := os.MkdirAll(filepath.Dir(left), 0o755); err != nil {
				t.Fatal(err)
			}
			unlock, err := prepareTrees(store, id)
			if err != nil {
				t.Fatal(err)
			}
			if err := unlock(); err != nil {
				t.Error(err)
			}
			for name, other := range map[string]ocispecs.Descriptor{"manifest": manifest, "config": config, "layer": layer} {
				if _, err := os.Stat(blobPath(store, other.Digest)); (err == nil) != (name != part) {
					t.Errorf("%s %s: after the preparation for a checkpoint the %s: %v", how, part, name, err)
				}
			}
			if _, err := os.Stat(filepath.Dir(left)); err == nil {
				t.Errorf("%s %s: what a killed process was writing is left", how, part)
			}
		}
	}
}

// A list of trees that cannot be read is said to be one.
func TestDamagedTreeList(t *testing.T) {
	t.Parallel()
	const id = "ab23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	store, _, _, _ := storedTree(t, id)
	if err := os.Truncate(filepath.Join(treesDir(store), "index.json"), 20); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"base": func() error {
			_, err := baseTree(store, id, ocispecs.Platform{OS: "linux", Architecture: "amd64"})
			return err
		}(),
		"checkpoint": func() error { _, err := prepareTrees(store, id); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "the list of trees in the store "+store+" is damaged: remove "+treesDir(store)) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
