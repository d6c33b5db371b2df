package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/ociindex"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	graph "github.com/osbuildkit/osbuildkit/llb"
)

// keep puts an image into the trees of a store, as a checkpoint does, and returns
// the file of its configuration.
func keep(t *testing.T, r *request, id string, p ocispecs.Platform, labels map[string]string) string {
	t.Helper()
	write := func(v any) (ocispecs.Descriptor, string) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		d := digest.FromBytes(data)
		file := filepath.Join(r.trees, blobName(d))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return ocispecs.Descriptor{Digest: d, Size: int64(len(data)), MediaType: ocispecs.MediaTypeImageManifest}, file
	}
	img := ocispecs.Image{Platform: p}
	img.Config.Labels = labels
	config, file := write(img)
	image, _ := write(ocispecs.Manifest{Config: config})
	if err := ociindex.NewStoreIndex(r.trees).Put(image, ociindex.Name(treeRepository+":"+id)); err != nil {
		t.Fatal(err)
	}
	if err := r.tagTree(id); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBaseTree(t *testing.T) {
	t.Parallel()
	store, id := t.TempDir(), strings.Repeat("a", 64)
	r := &request{trees: treesDir(store)}
	if _, err := baseTree(store, id, ocispecs.Platform{}); err == nil || !strings.Contains(err.Error(), "is not in the store "+store) {
		t.Errorf("no store: %v", err)
	}
	amd64 := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	arm64 := ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	labels := func(epoch int64) map[string]string {
		l, err := graph.Tree{Epoch: epoch}.Store(id, nil).Labels()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	keep(t, r, id, amd64, labels(1))
	get := func(p ocispecs.Platform) *graph.Stored {
		t.Helper()
		s, err := baseTree(store, id, p)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// Of another platform it says which it is for.
	if s := get(arm64); s.Platform.Architecture != "amd64" || s.Epoch != 1 || s.ID != id {
		t.Errorf("%+v", s)
	}
	config := keep(t, r, id, arm64, labels(2))
	for want, p := range map[int64]ocispecs.Platform{1: amd64, 2: arm64} {
		if s := get(p); s.Epoch != want || s.Platform.Architecture != p.Architecture {
			t.Errorf("for %s: %+v", p.Architecture, s)
		}
	}
	if len(r.platforms) != 2 {
		t.Errorf("%v were kept", r.platforms)
	}
	for name, break_ := range map[string]func() error{
		"damaged": func() error { return os.WriteFile(config, []byte("{}"), 0o644) },
		"gone":    func() error { return os.Remove(config) },
	} {
		if err := break_(); err != nil {
			t.Fatal(err)
		}
		if _, err := baseTree(store, id, arm64); err == nil || !strings.Contains(err.Error(), "build the manifest that makes it with --checkpoint tree again") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
