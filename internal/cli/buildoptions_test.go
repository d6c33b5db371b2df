package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"github.com/moby/buildkit/client"
)

// A local cache that is not there is named before the build, and nothing is made in
// its place.
func TestNoCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	absent, empty, whole := filepath.Join(dir, "absent"), filepath.Join(dir, "empty"), filepath.Join(dir, "whole")
	const content = `{}`
	sum := digest.FromString(content)
	for _, d := range []string{empty, filepath.Join(whole, "blobs/sha256")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"whole/blobs/sha256/" + sum.Encoded(): content,
		"file":                                "",
		"whole/index.json": `{"schemaVersion": 2, "manifests": [{"digest": "` + sum.String() + `", "size": 2, "annotations": {"org.opencontainers.image.ref.name": "latest"}},
			{"digest": "` + digest.FromString("gone").String() + `", "size": 4, "annotations": {"org.opencontainers.image.ref.name": "gone"}}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		kind string
		want string
		attr map[string]string
	}{
		{"registry", "", map[string]string{"ref": "a"}},
		{"local", "", map[string]string{"src": whole}},
		{"local", "", map[string]string{"src": whole, "tag": "latest"}},
		{"local", "", map[string]string{"src": whole, "digest": sum.String()}},
		{"local", "there is no directory " + absent, map[string]string{"src": absent}},
		{"local", "there is no directory " + filepath.Join(dir, "file"), map[string]string{"src": filepath.Join(dir, "file")}},
		{"local", `has no cache with the tag "latest"`, map[string]string{"src": empty}},
		{"local", `has no cache with the tag "branch"`, map[string]string{"src": whole, "tag": "branch"}},
		{"local", "has no cache with the digest sha256:", map[string]string{"src": whole, "tag": "gone"}},
		{"local", "has no cache with the digest sha256:", map[string]string{"src": whole, "digest": digest.FromString("other").String()}},
		{"local", `the digest "../../x" is none`, map[string]string{"src": whole, "digest": "../../x"}},
	} {
		got := noCache(client.CacheOptionsEntry{Type: c.kind, Attrs: c.attr})
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.attr, got, c.want)
		}
	}
	f := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(f, []byte(`{"stages": [{"name": "org.osbuild.noop"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, stderr := execute(t, "", "build", "--builder", "unix:///nonexistent", "--store", t.TempDir(), "--cache-from", "type=local,src="+absent, f)
	if want := "warning: --cache-from: there is no directory " + absent + ", so nothing is imported from there\n"; strings.Count(stderr, want) != 1 {
		t.Errorf("%q, want %q in it once", stderr, want)
	}
	if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

// A store that is named and is not there is an error, and is not made.
func TestNoStore(t *testing.T) {
	t.Parallel()
	absent := filepath.Join(t.TempDir(), "absent")
	for _, command := range []string{"du", "prune"} {
		code, stdout, stderr := execute(t, "", command, "--store", absent)
		if want := "osbuildkit: --store: there is no store at " + absent + "\n"; code != exitInvalid || stdout != "" || stderr != want {
			t.Errorf("%s: exit code %d, %q, %q", command, code, stdout, stderr)
		}
		if code, _, stderr := execute(t, "", command, "--store", ""); code != exitInvalid || !strings.Contains(stderr, "--store: it is empty") {
			t.Errorf("%s: exit code %d, %q", command, code, stderr)
		}
		if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s has made it: %v", command, err)
		}
	}
}
