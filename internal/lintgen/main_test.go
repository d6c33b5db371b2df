package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommittedPagesAreUpToDate(t *testing.T) {
	t.Parallel()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	stale, err := Stale(root, Generate())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		t.Errorf("%s does not match the rules; run \"go generate ./...\"", name)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := run([]string{root}); err != nil {
		t.Fatal(err)
	}
	files := Generate()
	if stale, err := Stale(root, files); err != nil || len(stale) > 0 {
		t.Errorf("stale after a run: %v, %v", stale, err)
	}
	index, old := filepath.Join(root, dir, "README.md"), filepath.Join(root, dir, "NoRule.md")
	for _, name := range []string{index, old} {
		if err := os.WriteFile(name, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stale, err := Stale(root, files)
	if d := cmp.Diff([]string{"docs/lint/NoRule.md", "docs/lint/README.md"}, stale); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if err := run([]string{root}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("a page without a rule is still there: %v", err)
	}
	if err := run([]string{root, root}); err == nil {
		t.Error("two roots are accepted")
	}
}
