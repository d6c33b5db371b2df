//go:build e2e

package test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// filesOnly is a manifest whose targets need no package, for tests of what is
// exported.
func filesOnly() object {
	return object{
		"stages": []any{
			stage("org.osbuild.hostname", object{"hostname": "images"}),
			stage("org.osbuildkit.attributes", object{"paths": object{"/etc/hostname": object{"mode": "0600", "xattrs": object{"user.note": "kept"}}}}),
		},
		"assembler": object{"name": "org.osbuild.tar", "options": object{"filename": "disk.raw"}},
	}
}

// imageTimes reads the one image of a layout, fails for each time in it that is
// not the epoch, and returns the image's digest.
func imageTimes(t *testing.T, dir string, epoch int64) string {
	t.Helper()
	blob := func(h v1.Hash) string { return filepath.Join(dir, "blobs", h.Algorithm, h.Hex) }
	decode := func(file string, into any) {
		t.Helper()
		if err := json.Unmarshal(readFile(t, file), into); err != nil {
			t.Fatal(err)
		}
	}
	var index v1.IndexManifest
	decode(filepath.Join(dir, "index.json"), &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("%s has %d images", dir, len(index.Manifests))
	}
	var m v1.Manifest
	decode(blob(index.Manifests[0].Digest), &m)
	var c v1.ConfigFile
	decode(blob(m.Config.Digest), &c)
	if c.Created.Unix() != epoch {
		t.Errorf("the image was made at %v", c.Created)
	}
	for _, h := range c.History {
		if h.Created.Unix() != epoch {
			t.Errorf("%q was made at %v", h.CreatedBy, h.Created)
		}
	}
	entries := 0
	for _, layer := range m.Layers {
		entries += layerTimes(t, blob(layer.Digest), epoch)
	}
	if entries == 0 {
		t.Errorf("the image in %s is empty, so that nothing is shown", dir)
	}
	return index.Manifests[0].Digest.String()
}

// layerTimes looks at the entries of one layer, and returns their number.
func layerTimes(t *testing.T, file string, epoch int64) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != epoch {
			t.Errorf("%s has the time %v", h.Name, h.ModTime)
		}
	}
}

// TestFrontendSameImages builds each target as a container image on two daemons
// that know nothing of each other.
func TestFrontendSameImages(t *testing.T) {
	needFrontend(t)
	const epoch = 1700000000
	dir := buildDir(t, syntax(filesOnly()))
	digests := map[string]string{}
	for _, name := range []string{"same-a", "same-b"} {
		d := newDaemon(t, name)
		for _, target := range []string{"tree", "assembler", "containerdisk"} {
			out := filepath.Join(t.TempDir(), target)
			buildxBuild(t, d, "--target", target, "--provenance=false", "--build-arg", "SOURCE_DATE_EPOCH=1700000000",
				"-o", "type=oci,tar=false,dest="+out, "-f", filepath.Join(dir, "image.json"), dir)
			got := imageTimes(t, out, epoch)
			if want := digests[target]; want != "" && got != want {
				t.Errorf("%s is %s on one daemon and %s on another", target, want, got)
			}
			digests[target] = got
		}
		// A bill of materials stands beside the image in an index.
		out := filepath.Join(t.TempDir(), "sbom")
		buildxBuild(t, d, "--target", "tree", "--provenance=false", "--sbom=true", "--build-arg", "SOURCE_DATE_EPOCH=1700000000",
			"-o", "type=oci,tar=false,dest="+out, "-f", filepath.Join(dir, "image.json"), dir)
		got := sha256File(t, filepath.Join(out, "index.json"))
		if want := digests["sbom"]; want != "" && got != want {
			t.Error("the image with a bill of materials is another one on each daemon")
		}
		if images := layoutManifests(t, out); len(images) != 2 {
			t.Errorf("%d manifests", len(images))
		}
		digests["sbom"] = got
	}
}

// TestSameImages builds the results that are images, and stored trees, into
// three stores, and checks that a second build is compared with the first.
func TestSameImages(t *testing.T) {
	need(t)
	file := manifestFile(t, "images.json", filesOnly())
	var sums, trees []string
	for range 3 {
		store, out := t.TempDir(), t.TempDir()
		p := build(t, "--store", store, "-o", out, "--target", "containerdisk", "--checkpoint", "tree", "--verify-reproducible", file)
		if !strings.Contains(p.text(), "reproducible: 1 files are the same bytes in both builds") {
			t.Errorf("nothing was compared: %s", p.text())
		}
		sums = append(sums, sha256File(t, filepath.Join(out, "containerdisk.oci.tar")))
		trees = append(trees, sha256File(t, filepath.Join(store, "trees", "index.json")))
	}
	for i := range sums {
		if sums[i] != sums[0] || trees[i] != trees[0] {
			t.Errorf("three stores give the container disks %q and the trees %q", sums, trees)
		}
	}
}
