package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osbuildkit/osbuildkit/tree"
)

// deepTree makes a directory with that many directories in one another, and a file
// beside the first and in the last.
func deepTree(t testing.TB, depth int) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { removeDeep(t, dir) })
	if err := os.WriteFile(filepath.Join(dir, "z"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := unix.Mkdirat(fd, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	last, err := unix.Openat(fd, "last", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(last)
	unix.Close(fd)
	return dir
}

// removeDeep removes a tree that is deeper than paths can be: it takes the
// directories out of one another.
func removeDeep(t testing.TB, dir string) {
	for i := 0; ; i++ {
		inner := filepath.Join(dir, strings.Repeat("d/", 1000))
		if _, err := os.Lstat(inner); err != nil {
			break
		}
		if err := os.Rename(inner, filepath.Join(dir, "x")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "d")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "d")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// A walk takes the time that the entries take, also where the paths are longer than
// the kernel takes and the directories more than a process may open.
func TestWalkDeepTree(t *testing.T) {
	t.Parallel()
	const depth = 8000
	r, err := tree.Open(deepTree(t, depth))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	count, longest, last, open := 0, "", "", 0
	err = r.Walk(".", func(rel string, d fs.DirEntry) error {
		if _, err := d.Info(); err != nil {
			return err
		}
		if count++; count%1000 == 0 {
			if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
				open = max(open, len(fds))
			}
		}
		if len(rel) > len(longest) {
			longest = rel
		}
		last = rel
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count != depth+2 || len(longest) != 2*depth+len("last") || last != "z" {
		t.Errorf("%d entries, the longest path has %d bytes, the last is %.20s", count, len(longest), last)
	}
	if open > 900 {
		t.Errorf("%d files are open", open)
	}
}

// The walk is that of the standard library, with the same entries and errors.
func TestWalkIsWalkDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, d := range []string{"a/b/c", "a-", "b", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"a/b/c/file", "a/x", "a/y", "a-/f", "b/1", "b/2", "b/3"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(f), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink("/etc", filepath.Join(dir, "link")), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		os.Link(filepath.Join(dir, "b/1"), filepath.Join(dir, "b/other")), os.Chmod(filepath.Join(dir, "b/2"), 0o755|fs.ModeSetuid|fs.ModeSticky),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := tree.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	failed := errors.New("failed")
	for name, answer := range map[string]error{"": nil, "a": fs.SkipDir, "a/x": fs.SkipDir, "b/1": fs.SkipAll, "b": fs.SkipAll, "a/b/c": failed, "link": fs.SkipDir} {
		var got, want []string
		fn := func(list *[]string) func(rel string, d fs.DirEntry) error {
			return func(rel string, d fs.DirEntry) error {
				st, err := d.Info()
				if err != nil {
					return err
				}
				ref, err := os.Lstat(filepath.Join(dir, rel))
				if err != nil {
					return err
				}
				if st.Name() != ref.Name() || st.Size() != ref.Size() || st.Mode() != ref.Mode() || !st.ModTime().Equal(ref.ModTime()) || st.IsDir() != ref.IsDir() || d.Type() != ref.Mode().Type() || !reflect.DeepEqual(st.Sys(), ref.Sys()) {
					t.Errorf("%s: %+v, want %+v", rel, st, ref)
				}
				*list = append(*list, rel)
				if rel == name {
					return answer
				}
				return nil
			}
		}
		gotErr := r.Walk("/", fn(&got))
		visit := fn(&want)
		wantErr := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || p == "." {
				return err
			}
			return visit(p, d)
		})
		if !reflect.DeepEqual(got, want) || !errors.Is(gotErr, wantErr) {
			t.Errorf("%s, %v: %v, %v; want %v, %v", name, answer, got, gotErr, want, wantErr)
		}
	}
	if err := r.Walk("a/x", func(rel string, _ fs.DirEntry) error { return errors.New(rel) }); err != nil {
		t.Errorf("below a file: %v", err)
	}
	if err := r.Walk("none", func(string, fs.DirEntry) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below nothing: %v", err)
	}
}

func BenchmarkWalkDeep(b *testing.B) {
	r, err := tree.Open(deepTree(b, 8000))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for b.Loop() {
		if err := r.Walk(".", func(string, fs.DirEntry) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
