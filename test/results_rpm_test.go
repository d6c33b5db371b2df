//go:build e2e

package test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/osbuildkit/osbuildkit/test/rpmdistro"
)

// TestRPMBase installs and removes RPM packages in one manifest, and in two of
// which the second starts from the tree of the first.
func TestRPMBase(t *testing.T) {
	needDistribution(t)
	repo := repository(t, rpmdistro.Base)
	first := dnf(repo, nil, "example-data", "example-optional")
	second := dnf(repo, object{"operation": "remove"}, "example-optional")
	assembler := object{"name": "org.osbuild.tar", "options": object{"filename": "tree.tar"}}
	whole, out := t.TempDir(), t.TempDir()
	want := ids(t, build(t, "-o", whole, manifestFile(t, "whole.json", object{"stages": []any{first, second}, "assembler": assembler})))
	base := ids(t, build(t, "-o", t.TempDir(), "--target", "tree", "--checkpoint", "tree", manifestFile(t, "first.json", object{"stages": []any{first}})))
	got := ids(t, build(t, "-o", out, manifestFile(t, "second.json", object{"base": base[0], "stages": []any{second}, "assembler": assembler})))
	if got != want {
		t.Errorf("the ids are %q, of the whole manifest %q", got, want)
	}
	for _, name := range []string{"tree.tar", "packages.json"} {
		if sha256File(t, filepath.Join(out, name)) != sha256File(t, filepath.Join(whole, name)) {
			t.Errorf("%s differs from that of the whole manifest", name)
		}
	}
	names := packageNames(t, out)
	if !slices.Contains(names, "example-data") || slices.Contains(names, "example-optional") {
		t.Errorf("packages.json lists %q", names)
	}
}
