package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// maxTreePath bounds the length of a path in a tree, as the kernel does. A
// tree can be deeper, but nothing could reach what is there.
const maxTreePath = 4096

// Entry is one file of a tree, as a walk meets it.
type Entry struct {
	// Path is that of the file from the root of the tree, without a leading
	// slash; the root is ".".
	Path string
	// Stat is what lstat says of it.
	Stat unix.Stat_t
	// dir is the directory that holds the file, as name.
	dir  int
	name string
}

// ID is what several names of one file have in common.
type ID struct{ Device, Inode uint64 }

// ID returns it.
func (e *Entry) ID() ID { return ID{uint64(e.Stat.Dev), e.Stat.Ino} }

// Kind returns the type bits of the mode, such as unix.S_IFREG.
func (e *Entry) Kind() uint32 { return e.Stat.Mode & unix.S_IFMT }

// Shared reports whether the file may have another name.
func (e *Entry) Shared() bool { return e.Kind() != unix.S_IFDIR && e.Stat.Nlink > 1 }

// AbsPath is the path of the file in a ledger.
func (e *Entry) AbsPath() string { return path.Join("/", e.Path) }

// Readlink returns the text of a link.
func (e *Entry) Readlink() (string, error) {
	buf := make([]byte, maxTreePath)
	n, err := unix.Readlinkat(e.dir, e.name, buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: e.Path, Err: err}
	}
	return string(buf[:n]), nil
}

// Open opens a regular file: that which was met, and no link, pipe or device
// in its place.
func (e *Entry) Open() (*os.File, error) {
	return openAt(e.dir, e.name, e.Path, e.ID(), 0)
}

func openAt(dir int, name, rel string, want ID, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
	}
	f := os.NewFile(uintptr(fd), rel)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || (ID{uint64(st.Dev), st.Ino}) != want {
		return nil, errors.Join(fmt.Errorf("%q has changed while it was read", rel), err, f.Close())
	}
	return f, nil
}

// CopyTo writes the content of a regular file, as many bytes as it had when it
// was met. Holes are read as the zeros that they stand for.
func (e *Entry) CopyTo(ctx context.Context, w io.Writer, buf []byte) error {
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	// The wrappers keep the copy to the buffer, and its end to that of the build.
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, ctxio.Reader(ctx, io.LimitReader(f, e.Stat.Size)), buf)
	if err == nil && n != e.Stat.Size {
		err = fmt.Errorf("%q has %d bytes less than it had: the tree is being changed", e.Path, e.Stat.Size-n)
	}
	return err
}

// Walk calls visit for every file of a tree: the root first, a directory
// before what is in it, and the names in one directory sorted by their bytes.
// Every step is from an open directory to a name in it that is no link, so
// that the walk does not leave the tree. What is in a directory for which visit
// returns fs.SkipDir is left out.
func Walk(ctx context.Context, tree string, visit func(*Entry) error) error {
	root := Entry{Path: ".", dir: unix.AT_FDCWD, name: tree}
	if err := unix.Stat(tree, &root.Stat); err != nil {
		return &fs.PathError{Op: "stat", Path: tree, Err: err}
	}
	if root.Kind() != unix.S_IFDIR {
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
func walkDir(ctx context.Context, dir *os.File, rel string, visit func(*Entry) error) (err error) {
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
		e := Entry{Path: path.Join(rel, name), dir: fd, name: name}
		if len(e.Path) >= maxTreePath {
			return fmt.Errorf("a path in the tree has %d bytes or more, and nothing could open it: %.200q…", maxTreePath, e.Path)
		}
		if err := unix.Fstatat(fd, name, &e.Stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: e.Path, Err: err}
		}
		err := visit(&e)
		if err != nil && !errors.Is(err, fs.SkipDir) {
			return err
		}
		if e.Kind() != unix.S_IFDIR || err != nil {
			continue
		}
		sub, err := openAt(fd, name, e.Path, e.ID(), unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		if err := walkDir(ctx, sub, e.Path, visit); err != nil {
			return err
		}
	}
	return nil
}
