//go:build e2e

package test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/osbuildkit/osbuildkit/engine"
)

// TestFrontendSharesCache builds one manifest through our command line and
// through buildx, on the same daemon: what one has built the other finds.
func TestFrontendSharesCache(t *testing.T) {
	needFrontend(t)
	m := syntax(small())
	dir := buildDir(t, m)
	file := filepath.Join(dir, "image.json")
	own, other := t.TempDir(), t.TempDir()
	build(t, "--builder", frontend.daemon.address, "--store", t.TempDir(), "-o", own, file)
	p := buildxBuild(t, frontend.daemon, "-o", other, "-f", file, dir)
	if len(p.ran()) > 0 || p.cached() == 0 {
		t.Errorf("after the command line, buildx ran %q; %d steps cached", p.ran(), p.cached())
	}
	if a, b := sha256File(t, filepath.Join(own, smallImage)), sha256File(t, filepath.Join(other, smallImage)); a != b {
		t.Error("the two routes give different images")
	}

	// The other way round, with a stage that is in no cache.
	m["stages"] = append(m["stages"].([]any), stage("org.osbuild.hostname", object{"hostname": "second"}))
	dir = buildDir(t, m)
	file = filepath.Join(dir, "image.json")
	p = buildxBuild(t, frontend.daemon, "-o", other, "-f", file, dir)
	if want := []string{"[assembler 1/1] org.osbuild.qemu", "[tree 3/3] org.osbuild.hostname"}; !slices.Equal(p.ran(), want) {
		t.Errorf("buildx ran %q, want %q", p.ran(), want)
	}
	p = build(t, "--builder", frontend.daemon.address, "--store", t.TempDir(), "-o", own, file)
	if len(p.ran()) > 0 || p.cached() == 0 {
		t.Errorf("after buildx, the command line ran %q; %d steps cached", p.ran(), p.cached())
	}
	if a, b := sha256File(t, filepath.Join(own, smallImage)), sha256File(t, filepath.Join(other, smallImage)); a != b {
		t.Error("the two routes give different images")
	}
}

// TestFrontendEmbedded uses the embedded engine, served on a socket, as the
// builder of buildx: a daemon that is not buildkitd.
func TestFrontendEmbedded(t *testing.T) {
	needFrontend(t)
	build(t, "-o", t.TempDir(), manifestFile(t, "small.json", small()))
	e, err := engine.Open(t.Context(), engine.Options{Builder: engine.EmbeddedName, Store: shared.store})
	if err != nil {
		t.Fatal(err)
	}
	socket := serveEngine(t, e)
	if err := createBuilder("embedded", "unix://"+socket); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	dir := buildDir(t, syntax(small()))
	p := buildxBuild(t, &daemon{name: "embedded"}, "-o", out, "-f", filepath.Join(dir, "image.json"), dir)
	if len(p.ran()) > 0 || p.cached() == 0 {
		t.Errorf("these ran: %q; %d steps cached", p.ran(), p.cached())
	}
	checkSums(t, out, smallImage)
}

// TestFrontendTargets builds each target of a manifest.
func TestFrontendTargets(t *testing.T) {
	needFrontend(t)
	m := syntax(small())
	m["build"] = object{"pipeline": object{"stages": []any{bootstrap(), stage("org.osbuildkit.apt", object{"packages": []string{"e2fsprogs"}})}}, "runner": "org.osbuild.linux"}
	m["assembler"] = qemu("raw", smallImage, smallSize)
	dir := buildDir(t, m)
	file := filepath.Join(dir, "image.json")
	at := func(target string, output ...string) {
		t.Helper()
		buildxBuild(t, frontend.daemon, append([]string{"--target", target, "-f", file, dir, "--provenance=false"}, output...)...)
	}
	archive := filepath.Join(t.TempDir(), "tree.tar")
	at("tree", "-o", tarOf(archive))
	wantHostname(t, archive, "small")
	if e := readTree(t, archive, nil)["etc/shadow"]; e.Header == nil || e.Gid != 42 || e.Mode != 0o640 {
		t.Errorf("/etc/shadow is %+v", e.Header)
	}
	at("build", "-o", tarOf(archive))
	if _, ok := readTree(t, archive, nil)["usr/sbin/mke2fs"]; !ok {
		t.Error("the build root has no mke2fs")
	}
	repository := frontend.registry + "/os"
	at("tree", "-o", "type=image,push=true,name="+repository+":tree", "--label", "com.example.made=here")
	config := pull(t, repository+":tree", map[string]func(*tar.Header){
		"etc/hostname": func(*tar.Header) {},
	})
	if !slices.Equal(config.Config.Cmd, []string{"/bin/sh"}) || len(config.Config.Env) != 1 || config.Config.Labels["com.example.made"] != "here" ||
		config.OS != "linux" || config.Created.Time.Before(time.Unix(1700000000, 0)) {
		t.Errorf("the tree's configuration is %+v", config)
	}
	at("containerdisk", "-o", "type=image,push=true,name="+repository+":disk")
	config = pull(t, repository+":disk", map[string]func(*tar.Header){
		"disk/" + smallImage: func(h *tar.Header) {
			if h.Uid != 107 || h.Gid != 107 || h.Size != smallSize || h.Mode != 0o440 {
				t.Errorf("the disk is %+v", h)
			}
		},
	})
	if len(config.Config.Cmd) > 0 || len(config.RootFS.DiffIDs) != 1 {
		t.Errorf("the container disk's configuration is %+v", config)
	}
	out := t.TempDir()
	at("assembler", "-o", out)
	checkSums(t, out, smallImage)
}

// pull reads an image of the tests' registry: its configuration, and the
// headers of files that must be in it.
func pull(t *testing.T, reference string, want map[string]func(*tar.Header)) *v1.ConfigFile {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	content := mutate.Extract(img)
	defer content.Close()
	seen := 0
	for in := tar.NewReader(content); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f := want[strings.TrimPrefix(h.Name, "/")]; f != nil {
			seen++
			f(h)
		}
	}
	if seen != len(want) {
		t.Errorf("%s holds %d of %d files", reference, seen, len(want))
	}
	return config
}

// TestFrontendPlatforms builds for two platforms at once: what only edits
// files needs no emulator; what runs the image's programs says that it does.
func TestFrontendPlatforms(t *testing.T) {
	needFrontend(t)
	dir := buildDir(t, syntax(edit("both")))
	out := filepath.Join(t.TempDir(), "both.tar")
	buildxBuild(t, frontend.daemon, "--platform", "linux/amd64,linux/arm64", "-o", tarOf(out), "-f", filepath.Join(dir, "image.json"), dir)
	found := map[string]string{}
	readTree(t, out, func(name string, data []byte) { found[name] = string(data) })
	for _, platform := range []string{"linux_amd64", "linux_arm64"} {
		if got := found[platform+"/etc/hostname"]; got != "both\n" {
			t.Errorf("%s: /etc/hostname is %q", platform, got)
		}
	}
	out = filepath.Join(t.TempDir(), "index.tar")
	buildxBuild(t, frontend.daemon, "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,tar=false,dest="+out, "--provenance=false", "-f", filepath.Join(dir, "image.json"), dir)
	var platforms []string
	for _, d := range layoutManifests(t, out) {
		platforms = append(platforms, d.Platform.String())
	}
	slices.Sort(platforms)
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("the index has %q", platforms)
	}

	dir = buildDir(t, syntax(small()))
	q := startBuildx(t, frontend.daemon, "--platform", "linux/s390x", "-o", t.TempDir(), "-f", filepath.Join(dir, "image.json"), dir).wait()
	want := "it runs programs of the image, which is for linux/s390x, and this builder runs only its own, for linux/"
	if q.code() == 0 || !strings.Contains(q.text(), want) || !strings.Contains(q.text(), ">>>") {
		t.Errorf("exit code %d, %s", q.code(), q.text())
	}
}

// layoutManifests lists the images of the one index in an OCI layout.
func layoutManifests(t *testing.T, dir string) []v1.Descriptor {
	t.Helper()
	read := func(file string) v1.IndexManifest {
		var index v1.IndexManifest
		if err := json.Unmarshal(readFile(t, filepath.Join(dir, file)), &index); err != nil {
			t.Fatal(err)
		}
		return index
	}
	top := read("index.json")
	if len(top.Manifests) != 1 {
		t.Fatalf("%d entries in the layout", len(top.Manifests))
	}
	d := top.Manifests[0].Digest
	return read(filepath.Join("blobs", d.Algorithm, d.Hex)).Manifests
}
