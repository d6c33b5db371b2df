package packages

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/tree"
)

// While scripts run there is no boot menu for hooks to make anew; after them it
// is as it was, whatever they did.
func TestKeepBootMenu(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		again bool // a script makes one
	}{
		"a menu":             {map[string]string{bootMenu: "menu"}, false},
		"a menu, made again": {map[string]string{bootMenu: "menu"}, true},
		"none":               {map[string]string{"boot/vmlinuz-1": "kernel"}, false},
		"no boot":            {map[string]string{"etc/hostname": "x"}, false},
	} {
		root := makeTree(t, tt.files)
		r, err := tree.Open(root)
		if err != nil {
			t.Fatal(err)
		}
		before := contents(t, root)
		undo, err := keepBootMenu(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(root, bootMenu)); !os.IsNotExist(err) {
			t.Errorf("%s: it is there: %v", name, err)
		}
		if tt.again {
			if err := r.WriteFile(bootMenu, []byte("broken"), 0o600); err != nil {
				t.Error(err)
			}
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, contents(t, root)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		r.Close()
	}
	// A directory or a link of that name is left as it is.
	root := makeTree(t, map[string]string{"boot/grub/": "", "boot/other": "x"})
	if err := os.Symlink("../other", filepath.Join(root, bootMenu)); err != nil {
		t.Fatal(err)
	}
	r, err := tree.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := keepBootMenu(r); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Join(root, bootMenu)); err != nil || to != "../other" {
		t.Errorf("%q, %v", to, err)
	}
}
