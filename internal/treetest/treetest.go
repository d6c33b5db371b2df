// Package treetest writes and reads directory trees as Go values, so that a
// test of a stage can state the tree before and the tree after.
//
// A Tree maps slash-separated paths to Nodes. Directories above a path need
// not be listed; they are 0755. Nothing here needs root: without it, owners
// are neither set nor compared. Every file is written with the same old time,
// so that Unchanged can tell what a stage has touched.
package treetest

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Tree is a directory tree: nodes by path, without the root itself.
type Tree map[string]Node

// Node is one entry of a tree.
type Node struct {
	// Mode holds the type, the permissions and the set-id and sticky bits.
	Mode fs.FileMode
	// UID and GID are the numeric owner.
	UID, GID int
	// Data is the content of a regular file.
	Data string
	// Link is the text of a symbolic link.
	Link string
	// ModTime is the time of the last change; Write sets OldTime where it is
	// zero, and Diff ignores it.
	ModTime time.Time
}

// OldTime is the time that Write gives to files.
var OldTime = time.Unix(1_000_000_000, 0).UTC()

// Dir is a directory.
func Dir(perm fs.FileMode) Node { return Node{Mode: fs.ModeDir | perm} }

// File is a regular file of mode 0644.
func File(data string) Node { return Node{Mode: 0o644, Data: data} }

// Link is a symbolic link.
func Link(target string) Node { return Node{Mode: fs.ModeSymlink | 0o777, Link: target} }

// Fifo is a named pipe of mode 0644.
func Fifo() Node { return Node{Mode: fs.ModeNamedPipe | 0o644} }

// Perm returns the node with other permission, set-id and sticky bits.
func (n Node) Perm(perm fs.FileMode) Node {
	n.Mode = n.Mode.Type() | perm
	return n
}

// Owner returns the node with another owner.
func (n Node) Owner(uid, gid int) Node {
	n.UID, n.GID = uid, gid
	return n
}

// With returns a copy of the tree with the nodes of others put over it.
func (t Tree) With(others ...Tree) Tree {
	out := maps.Clone(t)
	if out == nil {
		out = Tree{}
	}
	for _, o := range others {
		maps.Copy(out, o)
	}
	return out
}

// Without returns a copy of the tree without the given paths.
func (t Tree) Without(paths ...string) Tree {
	out := maps.Clone(t)
	for _, p := range paths {
		delete(out, p)
	}
	return out
}

// complete adds the directories that are only implied.
func (t Tree) complete() Tree {
	out := maps.Clone(t)
	if out == nil {
		out = Tree{}
	}
	for p := range t {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			if _, ok := out[d]; !ok {
				out[d] = Dir(0o755)
			}
		}
	}
	return out
}

// New writes the tree into a new temporary directory and returns its name.
func New(tb testing.TB, t Tree) string {
	tb.Helper()
	dir := tb.TempDir()
	Write(tb, dir, t)
	return dir
}

// Write writes the tree into the existing directory dir.
func Write(tb testing.TB, dir string, t Tree) {
	tb.Helper()
	all := t.complete()
	names := slices.Sorted(maps.Keys(all))
	for _, name := range names {
		if err := create(filepath.Join(dir, name), all[name]); err != nil {
			tb.Fatalf("writing the tree: %s: %v", name, err)
		}
	}
	slices.Reverse(names)
	for _, name := range names {
		n, full := all[name], filepath.Join(dir, name)
		if n.Mode&fs.ModeSymlink != 0 {
			continue
		}
		when := n.ModTime
		if when.IsZero() {
			when = OldTime
		}
		// After the entries: a directory without write permission could not
		// be filled otherwise.
		if err := os.Chmod(full, n.Mode); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chtimes(full, when, when); err != nil {
			tb.Fatal(err)
		}
	}
}

func create(full string, n Node) error {
	var err error
	switch n.Mode.Type() {
	case fs.ModeDir:
		err = os.Mkdir(full, 0o700)
	case fs.ModeSymlink:
		err = os.Symlink(n.Link, full)
	case fs.ModeNamedPipe:
		err = syscall.Mkfifo(full, 0o600)
	default:
		err = writeFile(full, []byte(n.Data), 0o600)
	}
	if err == nil && os.Geteuid() == 0 {
		err = os.Lchown(full, n.UID, n.GID)
	}
	return err
}

// writeFile writes a file that may be run at once. A process that another test
// starts meanwhile would hold it open for writing, and then it is "text file busy".
func writeFile(name string, data []byte, perm fs.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, data, perm)
}

// Program writes a program that the test is to run, and the directories above it.
func Program(tb testing.TB, name string, data []byte) {
	tb.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = writeFile(name, data, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// Read returns the tree in directory dir.
func Read(tb testing.TB, dir string) Tree {
	tb.Helper()
	out := Tree{}
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil || full == dir {
			return err
		}
		name, err := filepath.Rel(dir, full)
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		n := Node{Mode: st.Mode(), ModTime: st.ModTime().UTC()}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			n.UID, n.GID = int(sys.Uid), int(sys.Gid)
		}
		switch n.Mode.Type() {
		case 0:
			data, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			n.Data = string(data)
		case fs.ModeSymlink:
			if n.Link, err = os.Readlink(full); err != nil {
				return err
			}
		}
		out[filepath.ToSlash(name)] = n
		return nil
	})
	if err != nil {
		tb.Fatalf("reading the tree: %v", err)
	}
	return out
}

// Diff compares two trees without regard to times, and to owners where the
// test does not run as root. It returns "" if they are equal.
func Diff(want, got Tree) string {
	opts := []cmp.Option{cmpopts.IgnoreFields(Node{}, "ModTime")}
	if os.Geteuid() != 0 {
		opts = append(opts, cmpopts.IgnoreFields(Node{}, "UID", "GID"))
	}
	return cmp.Diff(want.complete(), got.complete(), opts...)
}

// Unchanged compares all nodes of the two trees but those named, with their
// times; the times of directories that got or lost an entry are not compared.
// It returns "" if nothing else has changed.
func Unchanged(before, after Tree, but ...string) string {
	strip := func(t Tree) Tree {
		out := t.Without(but...)
		for name, n := range out {
			if n.Mode.IsDir() {
				n.ModTime = time.Time{}
				out[name] = n
			}
		}
		return out
	}
	return cmp.Diff(strip(before), strip(after))
}
