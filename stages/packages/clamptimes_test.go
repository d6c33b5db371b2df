package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/tree"
)

// TestClampTimesKeepsHardLinks works on an overlay, as steps do: a change by one
// name of a file of a layer below makes a copy of it.
func TestClampTimesKeepsHardLinks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting an overlay needs root")
	}
	base := t.TempDir()
	dir := func(name string) string { return filepath.Join(base, name) }
	for _, name := range []string{"lower/a", "lower/b", "upper", "work", "tree"} {
		if err := os.MkdirAll(dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const epoch = 1600000000
	late, early := time.Unix(epoch+1000, 0), time.Unix(epoch-1000, 0)
	for name, when := range map[string]time.Time{"late": late, "early": early} {
		file := dir("lower/a/" + name)
		if err := os.WriteFile(file, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"lower/b/", "lower/"} {
			if err := os.Link(file, dir(other+name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("late", dir("lower/a/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(dir("lower/a/link"), dir("lower/b/link")); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir("lower"), dir("upper"), dir("work"))
	if err := unix.Mount("overlay", dir("tree"), "overlay", 0, options); err != nil {
		t.Skipf("no overlay can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir("tree"), 0); err != nil {
			t.Error(err)
		}
	})
	root, err := tree.Open(dir("tree"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := clampTimes(root, epoch); err != nil {
		t.Fatal(err)
	}
	for name, others := range map[string][]string{"a/late": {"b/late", "late"}, "a/early": {"b/early", "early"}, "a/link": {"b/link"}} {
		first, err := os.Lstat(dir("tree/" + name))
		if err != nil {
			t.Fatal(err)
		}
		if first.ModTime().Unix() > epoch {
			t.Errorf("%s has the time %v", name, first.ModTime())
		}
		for _, other := range others {
			st, err := os.Lstat(dir("tree/" + other))
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(first, st) {
				t.Errorf("%s and %s are two files", name, other)
			}
		}
	}
	for _, name := range []string{".", "a", "b"} {
		st, err := os.Stat(dir("tree/" + name))
		if err != nil {
			t.Fatal(err)
		}
		if st.ModTime().Unix() > epoch {
			t.Errorf("the directory %s has the time %v", name, st.ModTime())
		}
	}
	if _, err := os.Lstat(dir("upper/a/early")); err == nil {
		t.Error("a file that is old enough was copied")
	}
	left, err := filepath.Glob(dir("tree/*/.osbuildkit*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}
