//go:build e2e

package test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// data is a disk without an operating system: nothing of it has to run.
func data() object {
	m := edit("data")
	m["assembler"] = qemu("qcow2", "data.qcow2", 128<<20)
	return m
}

// TestPlatforms builds for two platforms at once with the command line: the
// files of each are in a directory of its own.
func TestPlatforms(t *testing.T) {
	need(t)
	out := t.TempDir()
	p := build(t, "--platform", "linux/amd64,linux/arm64", "-o", out, manifestFile(t, "data.json", data()))
	for _, platform := range []string{"linux_amd64", "linux_arm64"} {
		checkSums(t, filepath.Join(out, platform), "data.qcow2")
	}
	if got := files(t, out); len(got) != 2 {
		t.Errorf("the output is %q", got)
	}
	// The two graphs are one here, as nothing in them depends on the platform.
	if n := p.count("[linux/"); n != 2 {
		t.Errorf("%d steps are shown with their platform", n)
	}
}

// TestContainerDisk writes the image for KubeVirt as an archive.
func TestContainerDisk(t *testing.T) {
	need(t)
	out := t.TempDir()
	build(t, "--target", "containerdisk", "-o", out, manifestFile(t, "data.json", data()))
	if got := files(t, out); !slices.Equal(got, []string{"containerdisk.oci.tar"}) {
		t.Fatalf("the output is %q", got)
	}
	f, err := os.Open(filepath.Join(out, "containerdisk.oci.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if !slices.Contains(names, "index.json") || !slices.Contains(names, "oci-layout") {
		t.Errorf("the archive holds %q", names)
	}
}
