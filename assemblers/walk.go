package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// maxTreePath bounds the length of a path in a tree, as the kernel does. A
// tree can be deeper, but nothing could reach what is there.
const maxTreePath = 4096

// entry is one file of a tree, as a walk meets it.
type entry struct {
	// path is that of the file from the root of the tree, without a leading
	// slash; the root is ".".
	path string
	stat unix.Stat_t
	// dir is the directory that holds the file, as name.
	dir  int
	name string
}

// inode is what several names of one file have in common.
type inode struct{ dev, ino uint64 }

func (e *entry) inode() inode { return inode{uint64(e.stat.Dev), e.stat.Ino} }

func (e *entry) kind() uint32 { return e.stat.Mode & unix.S_IFMT }

// shared reports whether the file may have another name.
func (e *entry) shared() bool { return e.kind() != unix.S_IFDIR && e.stat.Nlink > 1 }

// ledgerPath is the path of the file in a ledger.
func (e *entry) ledgerPath() string { return path.Join("/", e.path) }

// readlink returns the text of a link.
func (e *entry) readlink() (string, error) {
	buf := make([]byte, maxTreePath)
	n, err := unix.Readlinkat(e.dir, e.name, buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: e.path, Err: err}
	}
	return string(buf[:n]), nil
}

// open opens a regular file: that which was met, and no link, pipe or device
// in its place.
func (e *entry) open() (*os.File, error) {
	return openAt(e.dir, e.name, e.path, &e.stat, 0)
}

func openAt(dir int, name, rel string, want *unix.Stat_t, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
	}
	f := os.NewFile(uintptr(fd), rel)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != want.Dev || st.Ino != want.Ino {
		return nil, errors.Join(fmt.Errorf("%q has changed while it was read", rel), err, f.Close())
	}
	return f, nil
}

// copyTo writes the content of a regular file, as many bytes as it had when it
// was met. Holes are read as the zeros that they stand for.
func (e *entry) copyTo(w io.Writer, buf []byte) error {
	f, err := e.open()
	if err != nil {
		return err
	}
	defer f.Close()
	// The wrappers keep the copy to the buffer.
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.LimitReader(f, e.stat.Size)}, buf)
	if err == nil && n != e.stat.Size {
		err = fmt.Errorf("%q has %d bytes less than it had: the tree is being changed", e.path, e.stat.Size-n)
	}
	return err
}

// walkTree calls visit for every file of a tree: the root first, a directory
// before what is in it, and the names in one directory sorted by their bytes.
// Every step is from an open directory to a name in it that is no link, so
// that the walk does not leave the tree.
func walkTree(ctx context.Context, tree string, visit func(*entry) error) error {
	root := entry{path: ".", dir: unix.AT_FDCWD, name: tree}
	if err := unix.Stat(tree, &root.stat); err != nil {
		return &fs.PathError{Op: "stat", Path: tree, Err: err}
	}
	if root.kind() != unix.S_IFDIR {
		return &fs.PathError{Op: "open", Path: tree, Err: unix.ENOTDIR}
	}
	f, err := os.Open(tree)
	if err != nil {
		return err
	}
	if err := visit(&root); err != nil {
		return errors.Join(err, f.Close())
	}
	return walkDir(ctx, f, "", visit)
}

// walkDir visits what is in a directory, and closes it.
func walkDir(ctx context.Context, dir *os.File, rel string, visit func(*entry) error) (err error) {
	defer func() { err = errors.Join(err, dir.Close()) }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	fd := int(dir.Fd())
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := entry{path: path.Join(rel, name), dir: fd, name: name}
		if len(e.path) >= maxTreePath {
			return fmt.Errorf("a path in the tree has %d bytes or more, and nothing could open it: %.200q…", maxTreePath, e.path)
		}
		if err := unix.Fstatat(fd, name, &e.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: e.path, Err: err}
		}
		if err := visit(&e); err != nil {
			return err
		}
		if e.kind() != unix.S_IFDIR {
			continue
		}
		sub, err := openAt(fd, name, e.path, &e.stat, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		if err := walkDir(ctx, sub, e.path, visit); err != nil {
			return err
		}
	}
	return nil
}
