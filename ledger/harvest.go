package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Collect harvests what the programs of a step have set on the files of the
// tree into the ledger in a directory, whose time becomes when, and returns the
// number of attributes. It belongs into the same step, as between two steps the
// tree may go through a layer, which loses them.
func Collect(ctx context.Context, dir, tree string, when time.Time) (found int, err error) {
	err = Update(dir, when, func(l *Ledger) error {
		found, err = l.Harvest(ctx, tree)
		return err
	})
	return found, err
}

// Harvest moves attributes from the files below dir, the root of a tree, into
// the ledger and then forgets the paths that are gone. It returns the number
// of attributes that it has found.
//
// They are taken off the files because they would stay there in this cache and
// be gone in another one: a tree with them and a tree without must not differ
// in what later steps do with them. So what is found was set since the last
// harvest, and replaces what the ledger has. Off a file that does not let go
// of an attribute it is only noted. Mount points are not entered, links not
// followed.
func (l *Ledger) Harvest(ctx context.Context, dir string) (int, error) {
	root, err := os.Lstat(dir)
	if err != nil {
		return 0, err
	}
	found := 0
	err = filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.IsDir() && full != dir {
			st, err := d.Info()
			if err != nil {
				return err
			}
			if device(st) != device(root) {
				return fs.SkipDir
			}
		}
		rel, err := filepath.Rel(dir, full)
		if err != nil {
			return err
		}
		n, err := l.take(full, rel)
		found += n
		return err
	})
	if err != nil {
		return found, fmt.Errorf("reading the extended attributes of the tree: %w", err)
	}
	return found, l.Prune(dir)
}

func device(st fs.FileInfo) uint64 {
	if sys, ok := st.Sys().(*unix.SysStat); ok {
		return uint64(sys.Dev)
	}
	return 0
}

// take moves the attributes of one file. The walk gave its name, so that no
// component of it is a link, and nothing else works on the tree.
func (l *Ledger) take(full, rel string) (int, error) {
	names, err := list(full)
	if err != nil {
		return 0, &fs.PathError{Op: "listxattr", Path: full, Err: err}
	}
	found := 0
	for _, name := range names {
		if !Carried(name) {
			continue
		}
		value, err := get(full, name)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue
		}
		if err != nil {
			return found, &fs.PathError{Op: "getxattr " + name, Path: full, Err: err}
		}
		if err := l.Set(rel, name, value); err != nil {
			return found, err
		}
		found++
		if err := unix.Lremovexattr(full, name); err != nil && !errors.Is(err, unix.ENODATA) &&
			!errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOTSUP) {
			return found, &fs.PathError{Op: "removexattr " + name, Path: full, Err: err}
		}
	}
	return found, nil
}

// list returns the names of a file's attributes.
func list(full string) ([]string, error) {
	// Most files have none, which takes one call without a buffer.
	size, err := unix.Llistxattr(full, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxValue)
	if size, err = unix.Llistxattr(full, buf); err != nil {
		return nil, err
	}
	var names []string
	for _, name := range bytes.Split(buf[:size], []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, nil
}

func get(full, name string) ([]byte, error) {
	buf := make([]byte, maxValue)
	n, err := unix.Lgetxattr(full, name, buf)
	if err != nil {
		return nil, err
	}
	return buf[:n:n], nil
}

// Prune forgets the paths that do not exist in the tree in dir, or to which a
// link now leads.
func (l *Ledger) Prune(dir string) error {
	if l.Len() == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	dirs := map[string]bool{"/": true}
	for _, p := range l.Paths() {
		ok, err := isReal(root, p, dirs)
		if err != nil {
			return err
		}
		if !ok {
			delete(l.files, p)
		}
	}
	return nil
}

// isReal reports whether a path exists and has only directories on its way.
// What is known of directories is kept in dirs.
func isReal(root *os.Root, p string, dirs map[string]bool) (bool, error) {
	for i := 1; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		dir := p[:i]
		ok, known := dirs[dir]
		if !known {
			st, err := root.Lstat(dir[1:])
			if err != nil && !gone(err) {
				return false, err
			}
			ok = err == nil && st.IsDir()
			dirs[dir] = ok
		}
		if !ok {
			return false, nil
		}
	}
	if p == "/" {
		return true, nil
	}
	_, err := root.Lstat(p[1:])
	if err != nil && gone(err) {
		return false, nil
	}
	return err == nil, err
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
