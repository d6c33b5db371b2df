package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/internal/treetest"
	"github.com/osbuildkit/osbuildkit/tree"
)

func open(t *testing.T, nodes treetest.Tree) (*tree.Root, string) {
	t.Helper()
	dir := treetest.New(t, nodes)
	r, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

func TestResolve(t *testing.T) {
	t.Parallel()
	r, _ := open(t, treetest.Tree{
		"usr/lib/x":  treetest.File(""),
		"lib":        treetest.Link("usr/lib"),
		"abs":        treetest.Link("/usr/lib"),
		"up":         treetest.Link("../../../../usr"),
		"usr/back":   treetest.Link("../lib/x"),
		"proc/self":  treetest.Dir(0o755),
		"self":       treetest.Link("/proc/self/root/etc"),
		"dangling":   treetest.Link("nowhere/at/all"),
		"loop":       treetest.Link("loop2"),
		"loop2":      treetest.Link("/loop"),
		"chain":      treetest.Link("lib/../../lib/../back"),
		"file":       treetest.File(""),
		"usr/to/dot": treetest.Link("."),
	})
	for _, c := range []struct {
		name   string
		follow bool
		want   string
		err    error
	}{
		{"", true, ".", nil},
		{"/", false, ".", nil},
		{"../..", true, ".", nil},
		{"/lib/x", true, "usr/lib/x", nil},
		{"abs//./x", true, "usr/lib/x", nil},
		{"lib", false, "lib", nil},
		{"lib/", true, "usr/lib", nil},
		{"up/lib/x", true, "usr/lib/x", nil},
		{"usr/back", true, "usr/lib/x", nil},
		{"usr/back", false, "usr/back", nil},
		{"self/passwd", true, "proc/self/root/etc/passwd", nil},
		{"dangling", true, "nowhere/at/all", nil},
		{"dangling/x", false, "nowhere/at/all/x", nil},
		{"chain", true, "usr/lib/x", nil},
		{"usr/to/dot/dot/x", true, "usr/to/x", nil},
		{"loop", true, "", syscall.ELOOP},
		{"loop", false, "loop", nil},
		{"loop/x", false, "", syscall.ELOOP},
		{"file/below", true, "file/below", nil},
	} {
		got, err := r.Resolve(c.name, c.follow)
		if !errors.Is(err, c.err) || got != c.want {
			t.Errorf("Resolve(%q, %t) = %q, %v; want %q, %v", c.name, c.follow, got, err, c.want, c.err)
		}
	}
}

// hostile is a tree whose names lead out of it wherever they can. The one
// argument is the absolute path of a directory outside.
func hostile(outside string) treetest.Tree {
	return treetest.Tree{
		"abs":      treetest.Link(outside),
		"rel":      treetest.Link(strings.Repeat("../", 30) + strings.TrimPrefix(outside, "/")),
		"root":     treetest.Link("/proc/self/root" + outside),
		"cwd":      treetest.Link("/proc/self/cwd"),
		"loop":     treetest.Link("loop"),
		"fifo":     treetest.Fifo(),
		"dir":      treetest.Dir(0o755),
		"file":     treetest.File("x"),
		"deep/abs": treetest.Link("../abs"),
	}
}

func TestNothingLeavesTheTree(t *testing.T) {
	t.Parallel()
	outside := treetest.New(t, treetest.Tree{"canary": treetest.File("alive"), "sub/canary": treetest.File("alive")})
	before := treetest.Read(t, outside)
	ops := map[string]func(r *tree.Root, name string) error{
		"WriteFile":   func(r *tree.Root, n string) error { return r.WriteFile(n, []byte("dead"), 0o644) },
		"ReplaceFile": func(r *tree.Root, n string) error { return r.ReplaceFile(n, []byte("dead"), 0o644, -1, -1) },
		"Mkdir":       func(r *tree.Root, n string) error { return r.Mkdir(n, 0o700) },
		"MkdirAll":    func(r *tree.Root, n string) error { return r.MkdirAll(n+"/a/b", 0o700) },
		"Symlink":     func(r *tree.Root, n string) error { return r.Symlink("x", n) },
		"Remove":      func(r *tree.Root, n string) error { return r.Remove(n) },
		"RemoveAll":   func(r *tree.Root, n string) error { return r.RemoveAll(n) },
		"Rename":      func(r *tree.Root, n string) error { return r.Rename(n, "moved") },
		"RenameTo":    func(r *tree.Root, n string) error { return r.Rename("file", n) },
		"Chmod":       func(r *tree.Root, n string) error { return r.Chmod(n, 0o700) },
		"Lchown":      func(r *tree.Root, n string) error { return r.Lchown(n, os.Getuid(), os.Getgid()) },
		"Chtimes":     func(r *tree.Root, n string) error { return r.Chtimes(n, time.Unix(1, 0)) },
		"ReadFile": func(r *tree.Root, n string) error {
			data, err := r.ReadFile(n)
			if string(data) == "alive" {
				return errors.New("LEAK")
			}
			return err
		},
		"Walk": func(r *tree.Root, n string) error {
			return r.Walk(n, func(rel string, _ fs.DirEntry) error {
				if strings.Contains(rel, "canary") {
					return errors.New("LEAK")
				}
				return nil
			})
		},
	}
	for op, do := range ops {
		for _, link := range []string{"abs", "rel", "root", "cwd", "loop", "fifo", "dir", "file", "deep/abs"} {
			for _, below := range []string{"", "/canary", "/sub/canary", "/../canary", "/new"} {
				r, dir := open(t, hostile(outside))
				err := do(r, link+below)
				if err != nil && strings.Contains(err.Error(), "LEAK") {
					t.Errorf("%s %s%s reads a file outside", op, link, below)
				}
				if _, err := os.Stat(dir); err != nil {
					t.Fatalf("%s %s%s: the tree is gone", op, link, below)
				}
			}
		}
	}
	if diff := treetest.Unchanged(before, treetest.Read(t, outside)); diff != "" {
		t.Errorf("a directory outside has changed (-want +got):\n%s", diff)
	}
}

func TestWriteFileKeepsModeAndPlace(t *testing.T) {
	t.Parallel()
	r, dir := open(t, treetest.Tree{
		"etc/shadow": treetest.File("old").Perm(0o640),
		"etc/link":   treetest.Link("/etc/shadow"),
	})
	if err := r.WriteFile("etc/link", []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFile("etc/fresh", []byte("1"), 0o666); err != nil {
		t.Fatal(err)
	}
	want := treetest.Tree{
		"etc/shadow": treetest.File("new").Perm(0o640),
		"etc/link":   treetest.Link("/etc/shadow"),
		"etc/fresh":  treetest.File("1").Perm(0o666),
	}
	if diff := treetest.Diff(want, treetest.Read(t, dir)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	r, dir := open(t, treetest.Tree{"etc/a": treetest.Link("b"), "etc/b": treetest.File("b"), "etc/d": treetest.Dir(0o755)})
	uid, gid := os.Getuid(), os.Getgid()
	if err := r.ReplaceFile("etc/a", []byte("a"), 0o755, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := r.ReplaceFile("etc/d", []byte("d"), 0o644, uid, gid); err == nil {
		t.Error("a directory was replaced")
	}
	want := treetest.Tree{"etc/a": treetest.File("a").Perm(0o755), "etc/b": treetest.File("b"), "etc/d": treetest.Dir(0o755)}
	if os.Geteuid() != 0 {
		uid, gid = 0, 0
	}
	want["etc/a"] = want["etc/a"].Owner(uid, gid)
	if diff := treetest.Diff(want, treetest.Read(t, dir)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestFifoDoesNotBlock(t *testing.T) {
	t.Parallel()
	r, _ := open(t, treetest.Tree{"fifo": treetest.Fifo(), "link": treetest.Link("fifo")})
	for _, name := range []string{"fifo", "link"} {
		if _, err := r.ReadFile(name); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("reading %s: %v", name, err)
		}
		if _, err := r.ReadDir(name); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("listing %s: %v", name, err)
		}
		if err := r.WriteFile(name, nil, 0o644); err == nil {
			t.Errorf("writing %s: no error", name)
		}
	}
}

func TestReadFileIsBounded(t *testing.T) {
	t.Parallel()
	r, dir := open(t, treetest.Tree{"huge": treetest.File("")})
	if err := os.Truncate(filepath.Join(dir, "huge"), 1<<40); err != nil {
		t.Skipf("no sparse file: %v", err)
	}
	if _, err := r.ReadFile("huge"); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("reading a file of 1 TiB: %v", err)
	}
}

func TestRemoveAllRefusesTheRoot(t *testing.T) {
	t.Parallel()
	r, dir := open(t, treetest.Tree{"a": treetest.File("")})
	for _, name := range []string{"", "/", "..", "a/.."} {
		if err := r.RemoveAll(name); err == nil {
			t.Errorf("RemoveAll(%q): no error", name)
		}
	}
	if diff := treetest.Diff(treetest.Tree{"a": treetest.File("")}, treetest.Read(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestWalkIsSortedAndFollowsNothing(t *testing.T) {
	t.Parallel()
	r, _ := open(t, treetest.Tree{
		"etc/b/x": treetest.File(""), "etc/a": treetest.Link("/usr"), "etc/c": treetest.Fifo(), "usr/y": treetest.File(""),
		"conf": treetest.Link("/etc"),
	})
	var got []string
	if err := r.Walk("conf", func(rel string, _ fs.DirEntry) error { got = append(got, rel); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"etc/a", "etc/b", "etc/b/x", "etc/c"}, got); diff != "" {
		t.Errorf("walk (-want +got):\n%s", diff)
	}
}

func TestExists(t *testing.T) {
	t.Parallel()
	r, _ := open(t, treetest.Tree{"a": treetest.File(""), "l": treetest.Link("a"), "d": treetest.Link("gone"), "loop": treetest.Link("loop")})
	for name, want := range map[string]bool{"a": true, "l": true, "d": false, "a/b": false, "none/x": false, "": true} {
		if got, err := r.Exists(name); err != nil || got != want {
			t.Errorf("Exists(%q) = %t, %v; want %t", name, got, err, want)
		}
	}
	if _, err := r.Exists("loop"); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Exists of a loop: %v", err)
	}
}
