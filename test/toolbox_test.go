//go:build e2e

package test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestToolbox keeps the toolbox as an image and gives it to a build: the image
// is the same, and no step of the built-in toolbox is looked at.
func TestToolbox(t *testing.T) {
	need(t)
	file, err := filepath.Abs("../examples/toolbox.json")
	if err != nil {
		t.Fatal(err)
	}
	dir, own, given := t.TempDir(), t.TempDir(), t.TempDir()
	p := build(t, "-o", dir, "--target", "tree", "--checkpoint", "tree", file)
	m := treeID.FindStringSubmatch(p.stdout.String())
	if m == nil {
		t.Fatalf("stdout names no tree: %q", &p.stdout)
	}
	image := manifestFile(t, "small.json", small())
	build(t, "-o", own, image)
	q := build(t, "-o", given, "--toolbox", filepath.Join(shared.store, "trees")+":"+m[1], image)
	for _, name := range q.ran() {
		if !strings.HasPrefix(name, "[assembler ") {
			t.Errorf("%s ran", name)
		}
	}
	if len(q.ran()) != 1 {
		t.Errorf("these ran: %q", q.ran())
	}
	if a, b := sha256File(t, filepath.Join(own, smallImage)), sha256File(t, filepath.Join(given, smallImage)); a != b {
		t.Errorf("the image differs with a given toolbox: %s, %s", a, b)
	}
}

// TestBuildEnvironment gives the toolbox's pipeline as the build environment:
// its base is that of the toolbox and so in the cache, and the image is the same.
// The times in it are those of the newest suite, and in the toolbox
// those of the release, so that packages are installed once more.
func TestBuildEnvironment(t *testing.T) {
	need(t)
	environment, err := filepath.Abs("../examples/toolbox.json")
	if err != nil {
		t.Fatal(err)
	}
	own, given := t.TempDir(), t.TempDir()
	image := manifestFile(t, "small.json", small())
	build(t, "-o", own, image)
	p := build(t, "-o", given, "--build-env", environment, image)
	for _, name := range p.ran() {
		if !strings.HasPrefix(name, "[build 2/2] org.osbuildkit.apt: ") && name != "[assembler 1/1] org.osbuild.qemu" {
			t.Errorf("%s ran", name)
		}
	}
	if a, b := sha256File(t, filepath.Join(own, smallImage)), sha256File(t, filepath.Join(given, smallImage)); a != b {
		t.Errorf("the image differs with the toolbox's pipeline as build environment: %s, %s", a, b)
	}
}
