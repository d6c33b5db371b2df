//go:build linux

package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// halfStore is a store of content that reads the half of its layer and then waits.
type halfStore struct {
	content.Store
	layer digest.Digest
	half  func()
}

func (s halfStore) ReaderAt(ctx context.Context, desc ocispecs.Descriptor) (content.ReaderAt, error) {
	r, err := s.Store.ReaderAt(ctx, desc)
	if err == nil && desc.Digest == s.layer {
		r = &halfReader{ReaderAt: r, ctx: ctx, half: s.half}
	}
	return r, err
}

type halfReader struct {
	content.ReaderAt
	ctx  context.Context
	half func()
}

func (r *halfReader) ReadAt(p []byte, off int64) (int, error) {
	if off > r.Size()/2 {
		r.half()
		<-r.ctx.Done()
		return 0, r.ctx.Err()
	}
	return r.ReaderAt.ReadAt(p, off)
}

// storedImage makes a store of content with an image of one layer, which holds the
// file "file".
func storedImage(t *testing.T) (store content.Store, manifest, layer ocispecs.Descriptor) {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(kind string, data []byte) ocispecs.Descriptor {
		d := ocispecs.Descriptor{MediaType: kind, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := content.WriteBlob(t.Context(), store, d.Digest.String(), bytes.NewReader(data), d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	big := make([]byte, 32<<20)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(big)
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, f := range []struct {
		name string
		data []byte
	}{{"big", big}, {"file", []byte("loaded")}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer = put(ocispecs.MediaTypeImageLayer, text.Bytes())
	config := put(ocispecs.MediaTypeImageConfig, encode(ocispecs.Image{
		Platform: ocispecs.Platform{Architecture: "amd64", OS: "linux"},
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	}))
	manifest = put(ocispecs.MediaTypeImageManifest, encode(ocispecs.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest, Config: config, Layers: []ocispecs.Descriptor{layer},
	}))
	return store, manifest, layer
}

// loadImage reads the file of the image of a store.
func loadImage(ctx context.Context, c *client.Client, store content.Store, manifest digest.Digest) (got string, err error) {
	_, err = c.Build(ctx, client.SolveOpt{
		FrontendAttrs: map[string]string{},
		OCIStores:     map[string]content.Store{"images": store},
	}, "", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		var err error
		got, err = readFile(ctx, gw, llb.OCILayout("some/image@"+manifest.String(), llb.OCIStore("", "images")), "file")
		return gateway.NewResult(), err
	}, nil)
	return got, err
}

// An engine that ends in whatever way while it loads an image from its client, such
// as a stored tree, does not go on at that place: it loads the image anew.
func TestPartialContent(t *testing.T) {
	needEmbedded(t)
	store, manifest, layer := storedImage(t)
	for name, end := range map[string]func(t *testing.T, dir string, cancel func()){
		"killed":    func(t *testing.T, dir string, _ func()) { _ = syscall.Kill(engineOf(t, dir), syscall.SIGKILL) },
		"cancelled": func(_ *testing.T, _ string, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := open(t, dir)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once sync.Once
			half := halfStore{store, layer.Digest, func() { once.Do(func() { end(t, dir, cancel) }) }}
			if got, err := loadImage(ctx, e.Client(), half, manifest.Digest); err == nil {
				t.Fatalf("half an image gives %q", got)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			partial, err := filepath.Glob(filepath.Join(dir, "buildkit", "runc-*", "content", "ingest", "*", "data"))
			if err != nil || len(partial) == 0 {
				t.Errorf("nothing is left of the load: this test shows nothing (%v)", err)
			}
			e = open(t, dir)
			if got, err := loadImage(t.Context(), e.Client(), store, manifest.Digest); err != nil || got != "loaded" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
