package packages

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/tree"
)

// treeWriter puts the files of packages into a tree that nobody else writes
// to. Packages hold thousands of files in few directories, so it keeps the
// directories open and remembers where names lead; links are resolved inside
// the tree, as by tree.Root.
type treeWriter struct {
	opts unpackOptions
	tree *tree.Root
	root *os.Root
	// dirs maps the name of a directory in a package to the open directory.
	dirs map[string]*openDir
	// owners maps the real path of a file to the package that it came from.
	owners map[string]owner
	// times holds the time of each directory that a package made, to be set
	// when all files are in place.
	times map[string]time.Time
	owner *record
	// examples are the examples of apt's sources, by their names.
	examples map[string]string
	buf      []byte
	// budget counts what the package becomes that is being unpacked.
	budget expand.Budget
	count  int
}

// openDir is an open directory of the tree.
type openDir struct {
	rel  string
	root *os.Root
}

// owner is the package that a file came from, and the name it has there.
type owner struct {
	rec  *record
	name string
}

// maxOpenDirs bounds the number of directories that are kept open.
const maxOpenDirs = 400

func newTreeWriter(dir string, opts unpackOptions) (*treeWriter, error) {
	t, err := tree.Open(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Close()
		return nil, err
	}
	return &treeWriter{
		opts: opts, tree: t, root: root,
		dirs: map[string]*openDir{}, owners: map[string]owner{}, times: map[string]time.Time{},
		buf: make([]byte, 256<<10),
	}, nil
}

func (w *treeWriter) close() {
	w.closeDirs()
	w.root.Close()
	w.tree.Close()
}

func (w *treeWriter) closeDirs() {
	for name, d := range w.dirs {
		d.root.Close()
		delete(w.dirs, name)
	}
}

// parent opens the directory that holds name, which must exist: packages list
// directories before what is in them.
func (w *treeWriter) parent(name string) (*openDir, string, error) {
	dirName, base := path.Split(name)
	dirName = path.Clean("./" + dirName)
	if d := w.dirs[dirName]; d != nil {
		return d, base, nil
	}
	rel, err := w.tree.Resolve(dirName, true)
	if err != nil {
		return nil, "", err
	}
	root, err := w.root.OpenRoot(rel)
	if errors.Is(err, fs.ErrNotExist) {
		// Hand-made packages leave parents out; dpkg makes them as well.
		if err := w.mkdirAll(rel); err != nil {
			return nil, "", err
		}
		root, err = w.root.OpenRoot(rel)
	}
	if err != nil {
		return nil, "", err
	}
	if len(w.dirs) >= maxOpenDirs {
		w.closeDirs()
	}
	d := &openDir{rel, root}
	w.dirs[dirName] = d
	return d, base, nil
}

// mergedDirs makes the directories of a merged /usr: the top-level names are
// links from the start, so that nothing ever has to be moved.
func (w *treeWriter) mergedDirs() error {
	entries, err := w.tree.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		// What a builder leaves in a tree that was a root file system.
		case "proc", "sys", "dev", "run", "etc", "tmp":
		default:
			return fmt.Errorf("the tree is not empty: it holds %q; a system can be made in an empty tree only, so let this be the first stage", e.Name())
		}
	}
	if err := w.mkdirAll("usr"); err != nil {
		return err
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := w.mkdirAll("usr/" + name); err != nil {
			return err
		}
		if err := w.root.Symlink("usr/"+name, name); err != nil {
			return err
		}
		if err := w.tree.Lchtimes(name, w.when(time.Unix(w.opts.epoch, 0))); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWriter) rootDir(h *tar.Header) error {
	if _, done := w.times["."]; done {
		return nil
	}
	w.times["."] = w.when(h.ModTime)
	if !w.opts.ignoreOwners {
		if err := w.root.Lchown(".", h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return w.root.Chmod(".", h.FileInfo().Mode()&modeBits)
}

func (w *treeWriter) directory(dir *openDir, base, real string, h *tar.Header) error {
	st, err := dir.root.Lstat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := dir.root.Mkdir(base, 0o700); err != nil {
			return err
		}
	case err != nil:
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		// A link to a directory stays, as with dpkg: /lib leads to /usr/lib.
		to, err := w.tree.Stat(real)
		if err != nil || !to.IsDir() {
			return errors.New("there is a link of this name that leads to no directory")
		}
		return nil
	case !st.IsDir():
		return errors.New("there is a file of this name")
	}
	if _, done := w.times[real]; done {
		return nil // the first package that holds a directory decides
	}
	w.times[real] = w.when(h.ModTime)
	if !w.opts.ignoreOwners {
		if err := dir.root.Lchown(base, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return dir.root.Chmod(base, h.FileInfo().Mode()&modeBits)
}

// mkdirAll makes a directory and its parents with mode 0755; they belong to
// no package and get the epoch as their time.
func (w *treeWriter) mkdirAll(name string) error {
	rel, err := w.tree.Resolve(name, true)
	if err != nil || rel == "." {
		return err
	}
	cur := ""
	for _, c := range strings.Split(rel, "/") {
		cur = path.Join(cur, c)
		err := w.root.Mkdir(cur, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := w.root.Chmod(cur, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// write makes a new file that belongs to no package.
func (w *treeWriter) write(name string, data []byte, mode fs.FileMode) error {
	dir, base, err := w.parent(name)
	if err != nil {
		return err
	}
	if err := dir.root.Remove(base); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.root.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	when := time.Unix(w.opts.epoch, 0)
	return dir.root.Chtimes(base, when, when)
}

// finish sets the times of the directories.
func (w *treeWriter) finish() error {
	names := make([]string, 0, len(w.times))
	for name := range w.times {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		when := w.times[name]
		if err := w.root.Chtimes(name, when, when); err != nil {
			return err
		}
	}
	return nil
}
