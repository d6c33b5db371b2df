package assemblers

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/ledger"
)

const imageOptions = `{"architecture": "arm64", "filename": "i.tar", "config": {
	"Cmd": ["-c", "x"], "Entrypoint": ["/bin/sh"], "Env": ["A=b", "C="], "ExposedPorts": ["80/tcp", "53/udp"], "User": "www:www",
	"Labels": {"k": "v"}, "StopSiganl": "SIGINT", "Volumes": ["/data"], "WorkingDir": "/srv"}}`

// openImage unpacks the archive of an OCI layout and opens the image in it.
func openImage(t *testing.T, archive string) v1.Image {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir, last := t.TempDir(), ""
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name <= last || h.ModTime.Unix() != testEpoch || h.Uid != 0 || h.Uname != "" {
			t.Errorf("entry %+v after %s", h, last)
		}
		last = h.Name
		p := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.Mkdir(p, 0o755)
		} else {
			var data []byte
			data, err = io.ReadAll(tr)
			err = errors.Join(err, os.WriteFile(p, data, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Platform.String() != "linux/arm64" {
		t.Fatalf("index %+v: %v", m, err)
	}
	image, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestOCIArchive(t *testing.T) {
	t.Parallel()
	tree := wholeTree(t)
	out, log, err := run(t, "org.osbuild.oci-archive", tree, wholeLedger(t), imageOptions)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, out); got != "SHA256SUMS i.tar" || !strings.Contains(log, "i.tar: image sha256:") {
		t.Errorf("output %s, log %s", got, log)
	}
	image := openImage(t, filepath.Join(out, "i.tar"))
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		Cmd: []string{"-c", "x"}, Entrypoint: []string{"/bin/sh"}, Env: []string{"A=b", "C="},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}}, User: "www:www", Labels: map[string]string{"k": "v"},
		StopSignal: "SIGINT", Volumes: map[string]struct{}{"/data": {}}, WorkingDir: "/srv",
	}
	if diff := cmp.Diff(want, c.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if c.Architecture != "arm64" || c.OS != "linux" || c.Created.Unix() != testEpoch || len(c.History) != 1 {
		t.Errorf("config file: %+v", c)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	entries := list(t, r)
	text := strings.Join(entries, "\n")
	for _, s := range []string{`0 "a" 0644`, `5 "etc/" 0750`, `1 "usr/lib/z" 0644`, `-> "a-link"`, `SCHILY.xattr.user.b=`, "SCHILY.acl.access="} {
		if !strings.Contains(text, s) {
			t.Errorf("the layer has no %s:\n%s", s, text)
		}
	}
	for _, s := range []string{"selinux", "trusted", "xattr.system", `"./`} {
		if strings.Contains(text, s) {
			t.Errorf("the layer has %s:\n%s", s, text)
		}
	}

	again, _, err := run(t, "org.osbuild.oci-archive", tree, wholeLedger(t), imageOptions)
	if err != nil {
		t.Fatal(err)
	}
	a, err1 := os.ReadFile(filepath.Join(out, "i.tar"))
	b, err2 := os.ReadFile(filepath.Join(again, "i.tar"))
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
		t.Errorf("two runs differ: %v", err)
	}
}

func TestOCIArchiveErrors(t *testing.T) {
	t.Parallel()
	plain := treetest.Tree{"file": treetest.File("x")}
	for _, tc := range []struct {
		name, options, message string
		tree                   treetest.Tree
		book                   string
	}{
		{name: "whiteout", options: imageOptions, message: `"etc/.wh.x" cannot be put into a layer`, tree: treetest.Tree{"etc/.wh.x": treetest.File("")}},
		{name: "list", options: imageOptions, message: "layer: attribute", tree: plain, book: book(t, noted{"/file", ledger.AccessACL, "x"})},
		{name: "name", options: `{"architecture": "a", "filename": ".."}`, message: "/filename: ", tree: plain},
		{name: "architecture", options: `{"architecture": "A B", "filename": "f"}`, message: "/architecture: ", tree: plain},
		{name: "no architecture", options: `{"filename": "f"}`, message: "/architecture: ", tree: plain},
		{name: "environment", options: `{"architecture": "a", "filename": "f", "config": {"Env": ["A=", "=B"]}}`, message: "/config/Env/1: ", tree: plain},
		{name: "signal", options: `{"architecture": "a", "filename": "f", "config": {"StopSignal": "1", "StopSiganl": "2"}}`, message: "/config/StopSiganl: ", tree: plain},
		{name: "unknown", options: `{"architecture": "a", "filename": "f", "config": {"cmdline": []}}`, message: "unknown field", tree: plain},
	} {
		out, _, err := run(t, "org.osbuild.oci-archive", treetest.New(t, tc.tree), tc.book, tc.options)
		if err == nil || !strings.Contains(err.Error(), tc.message) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.message)
		}
		if left := names(t, out); left != "" {
			t.Errorf("%s: left: %s", tc.name, left)
		}
	}
	if p := checkOCIArchive(json.RawMessage(`{"architecture": "x86_64", "filename": "f"}`)); len(p) > 0 {
		t.Errorf("without config: %v", p)
	}
	_, log, err := run(t, "org.osbuild.oci-archive", treetest.New(t, plain), "", `{"architecture": "x86_64", "filename": "f"}`)
	if err != nil || !strings.Contains(log, "called amd64 in images") {
		t.Errorf("%v: %s", err, log)
	}
}
