package tree_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/osbuildkit/osbuildkit/tree"
)

// TestReadText does not read what is larger than a file of its kind.
func TestReadText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, size := range map[string]int64{"good": tree.MaxEntry, "large": tree.MaxEntry + 1} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := r.ReadText("good", tree.MaxEntry); len(data) != tree.MaxEntry || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if _, err := r.ReadText("large", tree.MaxEntry); !errors.Is(err, tree.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
}
