package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Root is an opened tree.
type Root struct {
	dir string
	r   *os.Root
}

// Open opens the tree in directory dir.
func Open(dir string) (*Root, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{dir: dir, r: r}, nil
}

// Close releases the tree.
func (t *Root) Close() error { return t.r.Close() }

// Dir returns the directory that the tree was opened from.
func (t *Root) Dir() string { return t.dir }

// maxLinks is the number of links after which Resolve gives up, as Linux does.
const maxLinks = 40

// Resolve returns the path of name relative to the root of the tree, without
// a leading slash and with every link on the way resolved inside the tree;
// "." is the root. Components that do not exist are kept as they are. With
// follow the last component is resolved as well.
func (t *Root) Resolve(name string, follow bool) (string, error) {
	todo := splitPath(name)
	var done []string
	links := 0
	for len(todo) > 0 {
		c := todo[0]
		todo = todo[1:]
		if c == ".." {
			if len(done) > 0 {
				done = done[:len(done)-1]
			}
			continue
		}
		cur := path.Join(path.Join(done...), c)
		if len(todo) == 0 && !follow {
			done = append(done, c)
			break
		}
		st, err := t.r.Lstat(cur)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
				done = append(done, c)
				continue
			}
			return "", err
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			done = append(done, c)
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve", Path: name, Err: syscall.ELOOP}
		}
		target, err := t.r.Readlink(cur)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(target, "/") {
			done = done[:0]
		}
		todo = append(splitPath(target), todo...)
	}
	if len(done) == 0 {
		return ".", nil
	}
	return path.Join(done...), nil
}

func splitPath(name string) []string {
	var out []string
	for _, c := range strings.Split(name, "/") {
		if c != "" && c != "." {
			out = append(out, c)
		}
	}
	return out
}

// Path returns the path of name for a program that has to be given one: the
// directory of the tree joined with what Resolve returns.
func (t *Root) Path(name string, follow bool) (string, error) {
	rel, err := t.Resolve(name, follow)
	if err != nil {
		return "", err
	}
	return path.Join(t.dir, rel), nil
}

// Lstat describes name itself, be it a link or not.
func (t *Root) Lstat(name string) (fs.FileInfo, error) {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return nil, err
	}
	return t.r.Lstat(rel)
}

// Stat describes what name leads to inside the tree.
func (t *Root) Stat(name string) (fs.FileInfo, error) {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return nil, err
	}
	return t.r.Lstat(rel)
}

// Exists reports whether name, or what it leads to, exists.
func (t *Root) Exists(name string) (bool, error) {
	_, err := t.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

// Readlink returns the text of the link name.
func (t *Root) Readlink(name string) (string, error) {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return "", err
	}
	return t.r.Readlink(rel)
}

// ReadDir lists the directory name, sorted by name.
func (t *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return nil, err
	}
	// Opening anything else might block or reach the builder's hardware.
	st, err := t.r.Lstat(rel)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	return fs.ReadDir(t.r.FS(), rel)
}

// OpenFile opens name, following links inside the tree. Only a regular file
// or a directory is opened: a fifo or a device in a tree would block or reach
// the builder's hardware.
func (t *Root) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return nil, err
	}
	st, err := t.r.Lstat(rel)
	if err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("not a regular file but %s", st.Mode().Type())}
	}
	return t.r.OpenFile(rel, flag|unix.O_NOFOLLOW|syscall.O_NONBLOCK, perm)
}

// WriteFile makes name hold data. An existing file keeps its owner, mode,
// links and place, as writing to it would; a link is followed inside the tree;
// a new file gets perm, whatever the umask is. The parent directory must exist.
func (t *Root) WriteFile(name string, data []byte, perm fs.FileMode) error {
	old, err := t.Exists(name)
	if err != nil {
		return err
	}
	f, err := t.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm.Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && !old {
		err = f.Chmod(perm)
	}
	return errors.Join(err, f.Close())
}

// ReplaceFile puts a new file with the given content, mode and owner in the
// place of name, which may be anything but a directory and is not followed.
func (t *Root) ReplaceFile(name string, data []byte, perm fs.FileMode, uid, gid int) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	tmp := path.Join(path.Dir(rel), "."+path.Base(rel)+".osbuildkit-new")
	if err := t.r.RemoveAll(tmp); err != nil {
		return err
	}
	f, err := t.r.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chown(uid, gid)
	}
	if err == nil {
		err = f.Chmod(perm)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = t.r.Rename(tmp, rel)
	}
	if err != nil {
		t.r.Remove(tmp)
	}
	return err
}

// Mkdir makes the directory name; that it exists already is an error.
func (t *Root) Mkdir(name string, perm fs.FileMode) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	if err := t.r.Mkdir(rel, perm); err != nil {
		return err
	}
	return t.r.Chmod(rel, perm)
}

// MkdirAll makes the directory name and its missing parents, following links
// to directories inside the tree. Existing directories are left as they are.
func (t *Root) MkdirAll(name string, perm fs.FileMode) error {
	rel, err := t.Resolve(name, true)
	if err != nil || rel == "." {
		return err
	}
	cur := ""
	for _, c := range strings.Split(rel, "/") {
		cur = path.Join(cur, c)
		st, err := t.r.Lstat(cur)
		switch {
		case err == nil && st.IsDir():
			continue
		case err == nil:
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := t.r.Mkdir(cur, perm); err != nil {
			return err
		}
		if err := t.r.Chmod(cur, perm); err != nil {
			return err
		}
	}
	return nil
}

// MkdirIn makes the directory name, and its missing parents with the usual mode
// 0755. A link in its place is followed, and so are those on the way.
func (t *Root) MkdirIn(name string, perm fs.FileMode) error {
	rel, err := t.Resolve(name, true)
	if err != nil || rel == "." {
		return err
	}
	// What the links lead to is what has parents that may be missing.
	if err := t.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return err
	}
	return t.MkdirAll(rel, perm)
}

// Symlink makes the link name that holds target. The target is stored as it
// is; that something exists at name is an error.
func (t *Root) Symlink(target, name string) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	return t.r.Symlink(target, rel)
}

// Remove removes the file, link or empty directory name.
func (t *Root) Remove(name string) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	return t.r.Remove(rel)
}

// RemoveAll removes name and all below it; that it does not exist is no error.
func (t *Root) RemoveAll(name string) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	if rel == "." {
		return &fs.PathError{Op: "removeall", Path: name, Err: errors.New("refusing to remove the root of the tree")}
	}
	return t.r.RemoveAll(rel)
}

// Rename moves from to to. Neither is followed.
func (t *Root) Rename(from, to string) error {
	a, err := t.Resolve(from, false)
	if err != nil {
		return err
	}
	b, err := t.Resolve(to, false)
	if err != nil {
		return err
	}
	return t.r.Rename(a, b)
}

// Chmod sets the mode of what name leads to; perm may hold the set-user-id,
// set-group-id and sticky bits.
func (t *Root) Chmod(name string, perm fs.FileMode) error {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return err
	}
	return t.r.Chmod(rel, perm)
}

// Lchown sets the owner of name itself.
func (t *Root) Lchown(name string, uid, gid int) error {
	rel, err := t.Resolve(name, false)
	if err != nil {
		return err
	}
	return t.r.Lchown(rel, uid, gid)
}

// Chtimes sets the modification and access time of what name leads to.
func (t *Root) Chtimes(name string, when time.Time) error {
	rel, err := t.Resolve(name, true)
	if err != nil {
		return err
	}
	return t.r.Chtimes(rel, when, when)
}
