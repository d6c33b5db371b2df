package ledger

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
)

// setAttribute sets an attribute or skips the test where that is not possible.
func setAttribute(t *testing.T, file, name, value string) {
	t.Helper()
	if err := unix.Lsetxattr(file, name, []byte(value), 0); err != nil {
		t.Skipf("%s cannot be set here: %v", name, err)
	}
}

// accessACL is user::rw-,user:1:r--,group::r--,mask::r--,other::r--.
var accessACL = func() string {
	b, err := hex.DecodeString("0200000001000600ffffffff020004000100000004000400ffffffff10000400ffffffff20000400ffffffff")
	if err != nil {
		panic(err)
	}
	return string(b)
}()

func TestHarvest(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{
		"a":      treetest.File("a"),
		"d/f":    treetest.File("f"),
		"d/l":    treetest.Link("f"),
		"d/away": treetest.Link("/etc"),
		"pipe":   treetest.Fifo(),
	})
	setAttribute(t, filepath.Join(dir, "a"), "user.note", "x")
	setAttribute(t, filepath.Join(dir, "a"), "user.empty", "")
	setAttribute(t, filepath.Join(dir, "d"), "user.dir", "\x00\xff")
	setAttribute(t, filepath.Join(dir, "d/f"), AccessACL, accessACL)
	setAttribute(t, dir, "user.root", "r")
	l := &Ledger{}
	for _, p := range []string{"/a", "/gone", "/d/l/below", "/d/away/passwd", "/d/l", "/pipe/x"} {
		if err := l.Set(p, "user.note", []byte("old")); err != nil {
			t.Fatal(err)
		}
	}
	before := treetest.Read(t, dir)
	want := map[string]Attributes{
		"/":    {"user.root": []byte("r")},
		"/a":   {"user.note": []byte("x"), "user.empty": {}},
		"/d":   {"user.dir": []byte("\x00\xff")},
		"/d/f": {AccessACL: []byte(accessACL)},
		"/d/l": {"user.note": []byte("old")},
	}
	for _, found := range []int{5, 0} {
		n, err := l.Harvest(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if n != found {
			t.Errorf("%d attributes found, want %d", n, found)
		}
		if d := cmp.Diff(want, l.files); d != "" {
			t.Error(d)
		}
	}
	for _, name := range []string{"a", "d", "d/f", "."} {
		if names, err := list(filepath.Join(dir, name)); err != nil || len(names) > 0 {
			t.Errorf("%s still has %q (%v)", name, names, err)
		}
	}
	if d := treetest.Unchanged(before, treetest.Read(t, dir)); d != "" {
		t.Errorf("more than attributes has changed: %s", d)
	}
}

func TestHarvestLeavesCapabilities(t *testing.T) {
	t.Parallel()
	dir := treetest.New(t, treetest.Tree{"ping": treetest.File("")})
	name := filepath.Join(dir, "ping")
	setAttribute(t, name, Capability, "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	l := &Ledger{}
	if n, err := l.Harvest(t.Context(), dir); err != nil || n != 0 || l.Len() != 0 {
		t.Error(n, err, l.Paths())
	}
	if names, err := list(name); err != nil || len(names) != 1 {
		t.Errorf("the file has %q (%v)", names, err)
	}
	if _, err := l.Harvest(t.Context(), filepath.Join(dir, "missing")); !os.IsNotExist(err) {
		t.Error(err)
	}
}
