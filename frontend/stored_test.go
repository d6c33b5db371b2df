package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/osbuildkit/osbuildkit/catalog"
	graph "github.com/osbuildkit/osbuildkit/llb"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// withImage is a gateway that knows one image.
type withImage struct {
	*fake
	image ocispecs.Image
}

func (f *withImage) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	data, err := json.Marshal(f.image)
	return ref, digest.FromBytes(data), data, err
}

func TestBaseContext(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 64)
	labels, err := graph.Tree{Epoch: 1650000000}.Store(id, nil).Labels()
	if err != nil {
		t.Fatal(err)
	}
	text := `{"base": "` + id + `", "stages": [{"name": "org.osbuild.noop"}]}`
	plain, err := manifest.Load("image.json", []byte(text), catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name     string
		opts     map[string]string
		image    func(*ocispecs.Image)
		warning  string
		err      string
		sameID   bool
		wantTime int64
	}{
		{name: "its own tree", sameID: true, wantTime: 1650000000},
		{name: "its own time", opts: map[string]string{"build-arg:SOURCE_DATE_EPOCH": "1650000000"}, sameID: true, wantTime: 1650000000},
		{name: "another time", opts: map[string]string{"build-arg:SOURCE_DATE_EPOCH": "1"}, warning: "the tree was built for the time 2022-04-15T05:20:00Z, and this build is for 1970-01-01T00:00:01Z", wantTime: 1},
		{name: "another tree", image: func(i *ocispecs.Image) { i.Config.Labels[graph.TreeIDLabel] = strings.Repeat("b", 64) }, warning: "the tree that is given is bbb", wantTime: 1650000000},
		{name: "unknown", image: func(i *ocispecs.Image) { i.Config.Labels = nil }, warning: "the image does not say which tree it is", wantTime: graph.DefaultEpoch},
		{name: "another platform", opts: map[string]string{"platform": "linux/arm64"}, err: "is for linux/amd64, and this build is for linux/arm64"},
		{name: "bad label", image: func(i *ocispecs.Image) { i.Config.Labels[graph.TreeStateLabel] = "?" }, err: "its label org.osbuildkit.tree.state"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &withImage{fake: newFake(text)}
			f.opts["context:base"] = "docker-image://example.org/tree"
			for k, v := range c.opts {
				f.opts[k] = v
			}
			f.image.Platform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
			f.image.Config.Labels = map[string]string{}
			for k, v := range labels {
				f.image.Config.Labels[k] = v
			}
			if c.image != nil {
				c.image(&f.image)
			}
			out, err := Build(t.Context(), f, config())
			if c.err != "" {
				var placed *graph.Error
				if !errors.As(err, &placed) || placed.Pointer != "/base" || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if same := out.Manifest.TreeID() == plain.TreeID(); same != c.sameID {
				t.Errorf("the tree has the id %s, that of the whole manifest is %s", out.Manifest.TreeID(), plain.TreeID())
			}
			var warned string
			for _, w := range f.warned {
				warned += w.text
			}
			if (warned != "") != (c.warning != "") || !strings.Contains(warned, c.warning) {
				t.Errorf("warned of %q, want %q", warned, c.warning)
			}
			var img ocispecs.Image
			if err := json.Unmarshal(out.Result.Metadata["containerimage.config"], &img); err != nil {
				t.Fatal(err)
			}
			if img.Created.Unix() != c.wantTime || img.Config.Labels[graph.TreeIDLabel] != out.Manifest.TreeID() {
				t.Errorf("the image is %+v", img)
			}
		})
	}
}
