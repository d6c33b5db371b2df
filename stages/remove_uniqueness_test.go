package stages

import (
	"testing"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

func TestRemoveUniqueness(t *testing.T) {
	t.Parallel()
	const id, seed = "etc/machine-id", "var/lib/systemd/random-seed"
	file := treetest.File
	other := treetest.Tree{"var/lib/systemd/catalog": file("x"), "etc/hostname": file("x")}
	runCases(t, "org.osbuild.remove-uniqueness", []treeCase{
		{name: "both", before: other.With(treetest.Tree{id: file("f\n").Perm(0o444), seed: file("x").Perm(0o600)}), options: `{}`, gone: []string{id, seed}},
		{name: "only the seed", before: other.With(treetest.Tree{seed: file("x")}), options: `{}`, gone: []string{seed}},
		{name: "only the id", before: other.With(treetest.Tree{id: file("f\n")}), options: `{}`, gone: []string{id}},
		{name: "a link", before: treetest.Tree{id: treetest.Link("x"), "etc/x": file("f\n")}, options: `{}`, gone: []string{id}},
		{name: "neither", before: treetest.Tree{"var": file("")}, options: `{}`},
		{name: "a directory", before: treetest.Tree{id: file("f\n"), seed: treetest.Dir(0o755)}, options: `{}`, err: "is a directory"},
		{name: "an option", before: treetest.Tree{id: file("f\n")}, options: `{"x": 1}`, err: `"x"`},
	})
}
