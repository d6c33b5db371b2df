//go:build e2e

package test

import (
	"archive/tar"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// maxFrontendImage is how large the files of the frontend image may be
// together: every builder pulls it.
const maxFrontendImage = 45_000_000

// TestFrontendImage builds the image twice, with nothing of the first build in
// the second but the bytes of the programs, and looks at what is in it.
func TestFrontendImage(t *testing.T) {
	needFrontend(t)
	const programs = "../bin/image"
	first := frontendImage(t, programs)
	second := frontendImage(t, copyPrograms(t, filepath.Join(programs, "linux-"+runtime.GOARCH)))
	if a, b := imageDigest(t, first), imageDigest(t, second); a != b {
		t.Errorf("two builds give %s and %s", a, b)
	}

	config, err := first.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"moby.buildkit.frontend.network.none": "true",
		"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests," +
			"moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring",
		"org.opencontainers.image.title":   "osbuildkit frontend",
		"org.opencontainers.image.source":  "https://github.com/osbuildkit/osbuildkit",
		"org.opencontainers.image.version": "1.2.3",
	}
	if !maps.Equal(config.Config.Labels, want) {
		t.Errorf("the labels are %q, want %q", config.Config.Labels, want)
	}
	if !slices.Equal(config.Config.Entrypoint, []string{"/osbuildkit-frontend"}) || config.Architecture != runtime.GOARCH ||
		config.Config.User != "" || len(config.Config.Cmd) > 0 || !config.Created.Time.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("the configuration is %+v", config)
	}
	checkFrontendFiles(t, first)
}

// frontendImage builds the image from a directory of programs, without cache.
func frontendImage(t *testing.T, programs string) v1.Image {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	out, err := buildxCommand("build", "--builder", frontend.daemon.name, "--target", "frontend", "--no-cache", "--provenance=false",
		"--build-context", "binaries="+programs, "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--build-arg", "VERSION=1.2.3",
		"-o", "type=oci,tar=false,rewrite-timestamp=true,dest="+dir, "..").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("the layout's index is %+v, %v", manifest, err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// copyPrograms copies the programs of this platform, as another build of them
// could have left them: at another time, with another mode.
func copyPrograms(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	to := filepath.Join(dir, filepath.Base(from))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	when := time.Now().Add(-time.Hour)
	for _, name := range files(t, to) {
		name = filepath.Join(to, name)
		if err := errors.Join(os.Chmod(name, 0o700), os.Chtimes(name, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func imageDigest(t *testing.T, img v1.Image) v1.Hash {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkFrontendFiles expects the frontend, the runner of each group that the
// Makefile builds, and nothing else.
func checkFrontendFiles(t *testing.T, img v1.Image) {
	t.Helper()
	groups := regexp.MustCompile(`(?m)^GROUPS +:= (.*)$`).FindSubmatch(readFile(t, "../Makefile"))
	if groups == nil {
		t.Fatal("the Makefile has no GROUPS")
	}
	want := []string{"osbuildkit-frontend"}
	for _, g := range strings.Fields(string(groups[1])) {
		want = append(want, "osbuildkit-runner-"+g)
	}
	slices.Sort(want)

	content := mutate.Extract(img)
	defer content.Close()
	var got []string
	var size int64
	for in := tar.NewReader(content); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix(h.Name, "/"))
		size += h.Size
		if h.Typeflag != tar.TypeReg || h.Mode != 0o755 || h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s is %+v", h.Name, h)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the image holds %q, want %q", got, want)
	}
	if size > maxFrontendImage {
		t.Errorf("the files of the image have %d bytes, want at most %d", size, maxFrontendImage)
	}
}
