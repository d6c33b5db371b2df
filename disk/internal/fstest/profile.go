package fstest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
)

// For returns make with a profile.
func For(p content.Profile, make Maker) Maker {
	return func(ctx context.Context, c *content.Tree, to content.Target) ([]string, error) {
		to.Profile = p
		return make(ctx, c, to)
	}
}

// GRUBReads asks the machine's GRUB for files of a file system that Make has
// made of Tree, and compares them with the tree's. No file begins with a hole,
// which GRUB does not read from any ext4. It skips the rest of the test where
// there is no GRUB.
func GRUBReads(t testing.TB, part, tree string) {
	t.Helper()
	program, err := tool.Find("grub-common", "grub-fstest")
	if err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"data/large", "data/holes", "node/a name with number 2999", "short/a name with number 4"} {
		want, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(program, part, "cat", "(loop0)/"+name).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("GRUB reads %d bytes of %s, want %d (%v)", len(got), name, len(want), err)
		}
	}
}
