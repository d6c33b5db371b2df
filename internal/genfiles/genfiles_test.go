package genfiles

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := Set{
		Files: func(string) (map[string][]byte, error) {
			return map[string][]byte{"docs/a.md": []byte("a"), "docs/b.md": []byte("b")}, nil
		},
		Patterns: []string{"docs/*.md"},
	}
	var out bytes.Buffer
	if err := s.Run([]string{root}, &out); err != nil || out.String() != "docs/a.md\ndocs/b.md\n" {
		t.Fatalf("%v: %q", err, &out)
	}
	for name, text := range map[string]string{"b.md": "changed", "old.md": "old", "other.txt": "not ours"} {
		if err := os.WriteFile(filepath.Join(root, "docs", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stale, err := s.Stale(root)
	if d := cmp.Diff([]string{"docs/b.md", "docs/old.md"}, stale); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	out.Reset()
	if err := s.Run([]string{root}, &out); err != nil || out.String() != "docs/b.md\ndocs/old.md\n" {
		t.Errorf("%v: %q", err, &out)
	}
	if stale, err := s.Stale(root); err != nil || len(stale) > 0 {
		t.Errorf("after a run these are stale: %q, %v", stale, err)
	}
	if _, err := os.Stat(filepath.Join(root, "docs/other.txt")); err != nil {
		t.Error(err)
	}
	if err := s.Run([]string{root, root}, &out); err == nil {
		t.Error("two roots are accepted")
	}
	s.Files = func(string) (map[string][]byte, error) { return nil, errors.New("broken") }
	if err := s.Run([]string{root}, &out); err == nil {
		t.Error("an error of the generator is lost")
	}
}
