package tree

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSetTimes(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "file")
	old := time.Unix(1000, 0)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755), os.WriteFile(filepath.Join(dir, "a/b/file"), []byte("x"), 0o600),
		os.WriteFile(outside, nil, 0o600), os.Chtimes(outside, old, old), os.Symlink(outside, filepath.Join(dir, "a/link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	want := time.Unix(1700000000, 0)
	if err := root.SetTimes(want); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "a", "a/b", "a/b/file", "a/link"} {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !st.ModTime().Equal(want) {
			t.Errorf("%s has the time %v", name, st.ModTime())
		}
	}
	if st, err := os.Stat(outside); err != nil || !st.ModTime().Equal(old) {
		t.Errorf("what the link leads to was changed: %v, %v", st.ModTime(), err)
	}
}
