package tree

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, err := range []error{
		r.Mkdir("d", 0o755), r.WriteFile("d/file", []byte("x"), 0o644), r.Symlink("d", "to-d"),
		r.Symlink(outside, "out"), r.Symlink(filepath.Join(outside, "secret"), "leak"),
		r.Link("to-d/file", "to-d/again"), r.Link("leak", "d/leak"), r.Mknod("to-d/pipe", unix.S_IFIFO|0o600, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	a, err := os.Stat(filepath.Join(dir, "d/file"))
	b, err2 := os.Stat(filepath.Join(dir, "d/again"))
	if err != nil || err2 != nil || !os.SameFile(a, b) {
		t.Errorf("no second name: %v, %v", err, err2)
	}
	// The link itself got a second name, and not what it leads to.
	if st, err := os.Lstat(filepath.Join(dir, "d/leak")); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v, %v", st, err)
	}
	if st, err := os.Lstat(filepath.Join(dir, "d/pipe")); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%v, %v", st, err)
	}
	when := time.Unix(1_000_000_000, 0)
	if err := r.Lchtimes("leak", when); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(filepath.Join(dir, "leak")); err != nil || !st.ModTime().Equal(when) {
		t.Errorf("%v, %v", st.ModTime(), err)
	}
	// A path through a link out of the tree is one inside it, where nothing is.
	for what, err := range map[string]error{
		"link":  r.Link("d/file", "out/new"),
		"from":  r.Link("out/secret", "d/new"),
		"mknod": r.Mknod("out/pipe", unix.S_IFIFO|0o600, 0),
		"times": r.Lchtimes("out/secret", when),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	entries, err := os.ReadDir(outside)
	if st, serr := os.Stat(filepath.Join(outside, "secret")); err != nil || len(entries) != 1 || serr != nil || st.ModTime().Equal(when) {
		t.Errorf("what is outside has changed: %v, %v, %v", entries, err, serr)
	}
}
