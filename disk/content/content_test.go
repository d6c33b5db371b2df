package content

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{1}, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", 4096)
	write("b", 4097)
	write("empty", 0)
	for _, n := range []string{"c", "d"} {
		if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(strings.Repeat("x", 59), filepath.Join(dir, "short")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(strings.Repeat("x", 60), filepath.Join(dir, "long")); err != nil {
		t.Fatal(err)
	}
	write("sparse", 1)
	if err := os.Truncate(filepath.Join(dir, "sparse"), 1<<30); err != nil {
		t.Fatal(err)
	}
	c, err := Load(t.Context(), Options{Tree: dir})
	if err != nil {
		t.Fatal(err)
	}
	use := c.Usage()
	// Inodes: the root, a, b, empty, two links, sparse. Blocks: root 1, a 1,
	// b 2, long 1, sparse at least 1 where the file system knows holes.
	if use.Inodes != 7 || use.Blocks < 5 || use.Blocks > 7+1<<18 {
		t.Errorf("got %+v", use)
	}
	if _, err := Load(t.Context(), Options{Tree: filepath.Join(dir, "missing")}); err == nil {
		t.Error("a missing tree has a size")
	}
}
