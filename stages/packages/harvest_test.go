package packages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// noted returns the text of the ledger in a directory.
func noted(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, ledger.FileName))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func TestHarvesting(t *testing.T) {
	t.Parallel()
	root, book := makeTree(t, map[string]string{"var/log/a.log": "x", "var/cache/man/x": "y"}), t.TempDir()
	set := harvesting(func(_ context.Context, in *module.Input) error {
		for _, name := range []string{"var/log/a.log", "var/cache/man/x"} {
			if err := unix.Lsetxattr(filepath.Join(in.Tree, name), "user.a", []byte("b"), 0); err != nil {
				t.Skip("user attributes cannot be set here:", err)
			}
		}
		return nil
	})
	in := &module.Input{Tree: root, Ledger: book, Epoch: testEpoch}
	if err := set(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	const log = "/var/log/a.log\n user.a b\n"
	if got, want := noted(t, book), "osbuildkit ledger 1\n/var/cache/man/x\n user.a b\n"+log; got != want {
		t.Errorf("noted:\n%s\nwant\n%s", got, want)
	}
	// A file that is emptied keeps its attributes, one that is removed does not.
	if err := normalise(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if got, want := noted(t, book), "osbuildkit ledger 1\n"+log; got != want {
		t.Errorf("after normalising:\n%s\nwant\n%s", got, want)
	}
}

func TestHarvestingAfterAFailure(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	run := harvesting(func(context.Context, *module.Input) error { return failed })
	if err := run(t.Context(), &module.Input{Tree: "/nonexistent", Ledger: t.TempDir()}); err != failed {
		t.Error(err)
	}
	run = harvesting(func(context.Context, *module.Input) error { return nil })
	if err := run(t.Context(), &module.Input{Tree: "/nonexistent"}); err != nil {
		t.Errorf("by hand, without a ledger: %v", err)
	}
}
