package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// testArchive is a tar archive of files, whose time is when.
func testArchive(t *testing.T, files map[string]string, when int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(when, 0)}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func testGzip(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func testZstd(t *testing.T, data []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

// testLayout is an OCI layout of one image with the given configuration and
// layers.
func testLayout(t *testing.T, config string, layers ...[]byte) map[string]string {
	t.Helper()
	files := map[string]string{"oci-layout": `{"imageLayoutVersion": "1.0.0"}`}
	add := func(data []byte) ocispecs.Descriptor {
		d := digest.FromBytes(data)
		files[blobName(d)] = string(data)
		return ocispecs.Descriptor{Digest: d, Size: int64(len(data)), MediaType: ocispecs.MediaTypeImageManifest}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	m := ocispecs.Manifest{Config: add([]byte(config))}
	for _, l := range layers {
		m.Layers = append(m.Layers, add(l))
	}
	image := add(encode(m))
	image.Annotations = map[string]string{ocispecs.AnnotationRefName: "tag"}
	files["index.json"] = string(encode(ocispecs.Index{Manifests: []ocispecs.Descriptor{image}}))
	return files
}

func TestCompareImages(t *testing.T) {
	t.Parallel()
	old := testArchive(t, map[string]string{"disk/a": "1", "disk/b": "2"}, 1)
	newer := testArchive(t, map[string]string{"disk/a": "1", "disk/b": "2"}, 2)
	other := testArchive(t, map[string]string{"disk/a": "1", "disk/b": "3"}, 1)
	first := testLayout(t, "{}", testGzip(t, old))
	cases := []struct {
		name   string
		second map[string]string
		want   string
	}{
		{"the same", testLayout(t, "{}", testGzip(t, old)), ""},
		{"time", testLayout(t, "{}", testGzip(t, newer)), `layer 1: the file "disk/a": what the archive says about it differs`},
		{"content", testLayout(t, "{}", testZstd(t, other)), `layer 1: the file "disk/b": its content differs from byte 0 on`},
		{"packing", testLayout(t, "{}", testZstd(t, old)), "layer 1: its files are the same, but are packed in another way"},
		{"layers", testLayout(t, "{}", testGzip(t, old), old), "the images have 1 and 2 layers"},
		{"configuration", testLayout(t, `{"a": 1}`, testGzip(t, old)), "the configurations of the images differ"},
		{"nothing", map[string]string{"oci-layout": "{}", "index.json": "{}"}, "there are 1 and 0 images"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			a, b := filepath.Join(dir, "a.tar"), filepath.Join(dir, "b.tar")
			for file, layout := range map[string]map[string]string{a: first, b: c.second} {
				if err := os.WriteFile(file, testArchive(t, layout, 1), 0o600); err != nil {
					t.Fatal(err)
				}
				for name, data := range layout {
					name = filepath.Join(strings.TrimSuffix(file, ".tar"), name)
					if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			got, err := compareImageArchives(a, b)
			if err != nil || !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("archives: %q, %v, want %q", got, err, c.want)
			}
			got, err = compareImages(directoryImage(strings.TrimSuffix(a, ".tar")), directoryImage(strings.TrimSuffix(b, ".tar")), "tag")
			if err != nil || !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("directories: %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestCompareNoImages gives archives that are no images, and bad ones.
func TestCompareNoImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain, bad := filepath.Join(dir, "plain.tar"), filepath.Join(dir, "bad.tar")
	for file, files := range map[string]map[string]string{
		plain: {"etc/hostname": "a"},
		bad:   {"oci-layout": "{}", "index.json": `{"manifests": [{"digest": "../../etc/passwd"}]}`},
	} {
		if err := os.WriteFile(file, testArchive(t, files, 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if what, err := compareImageArchives(plain, plain); what != "" || err != nil {
		t.Errorf("%q, %v", what, err)
	}
	if _, err := compareImageArchives(bad, bad); err == nil {
		t.Error("a digest that is none is taken")
	}
}
