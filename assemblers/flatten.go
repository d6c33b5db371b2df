package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/internal/ctxio"
	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/module"
)

// runFlatten copies the tree into the output directory, for a container image of
// one layer. The layers of the steps would have in them what a later step has
// removed, such as the keys that a package makes for its host, and the times at
// which directories were written to.
func runFlatten(ctx context.Context, in *module.Input) (err error) {
	out, err := os.Open(in.OutputDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := content.CheckHoles(ctx, in.Tree, "a layer of a container image"); err != nil {
		return err
	}
	f := flattener{ctx: ctx, in: in, out: out, names: map[content.ID]string{}}
	if err := content.Walk(ctx, in.Tree, f.add); err != nil {
		return err
	}
	// From the inside to the outside, as each of them was written to.
	for _, d := range slices.Backward(f.dirs) {
		if err := f.finish(d, in.Epoch); err != nil {
			return err
		}
	}
	in.Logf("%d files with %d bytes", f.files, f.bytes)
	return nil
}

// flattener copies a tree. All below its directory is its own work, so that no
// component of a name there is a link.
type flattener struct {
	ctx context.Context
	in  *module.Input
	out *os.File
	// names holds the first name of each file with several.
	names map[content.ID]string
	// dirs are the directories, each after the one that it is in.
	dirs         []*content.Entry
	files, bytes int64
	buf          []byte
}

func (f *flattener) fd() int { return int(f.out.Fd()) }

// add copies one file.
func (f *flattener) add(e *content.Entry) error {
	if err := f.create(e); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	return nil
}

func (f *flattener) create(e *content.Entry) error {
	if strings.HasPrefix(filepath.Base(e.Path), ".wh.") {
		return errors.New("it cannot be put into a layer, where a name that begins with .wh. says that a file is removed")
	}
	f.files++
	if e.Shared() {
		if first, ok := f.names[e.ID()]; ok {
			return unix.Linkat(f.fd(), first, f.fd(), e.Path, 0)
		}
		f.names[e.ID()] = e.Path
	}
	var err error
	switch e.Kind() {
	case unix.S_IFDIR:
		f.dirs = append(f.dirs, e)
		if e.Path == "." {
			return nil
		}
		return unix.Mkdirat(f.fd(), e.Path, 0o700)
	case unix.S_IFSOCK:
		f.in.Logf("warning: %q is a socket, which a layer cannot hold: left out", e.Path)
		return nil
	case unix.S_IFREG:
		err = f.copy(e)
	case unix.S_IFLNK:
		var target string
		if target, err = e.Readlink(); err == nil {
			err = unix.Symlinkat(target, f.fd(), e.Path)
		}
	case unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
		err = unix.Mknodat(f.fd(), e.Path, e.Kind()|0o600, int(e.Stat.Rdev))
	default:
		err = fmt.Errorf("it is of a kind that is not known: mode %#o", e.Stat.Mode)
	}
	if err != nil {
		return err
	}
	return f.finish(e, min(int64(e.Stat.Mtim.Sec), f.in.Epoch))
}

func (f *flattener) copy(e *content.Entry) (err error) {
	from, err := e.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.Openat(f.fd(), e.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), e.Path)
	defer func() { err = errors.Join(err, to.Close()) }()
	// Holes stay holes, which also is less to read for what comes after.
	w := sparse.NewWriter(to)
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, ctxio.Reader(f.ctx, from), f.buffer())
	f.bytes += w.Written()
	if err != nil {
		return err
	}
	return to.Truncate(w.Written())
}

// buffer is memory for copies.
func (f *flattener) buffer() []byte {
	if f.buf == nil {
		f.buf = make([]byte, 1<<20)
	}
	return f.buf
}

// finish gives a copy the owner, the mode, the capabilities and the time of the
// file, in an order in which none of them undoes another.
func (f *flattener) finish(e *content.Entry, seconds int64) error {
	if err := unix.Fchownat(f.fd(), e.Path, int(e.Stat.Uid), int(e.Stat.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "chown", Path: e.Path, Err: err}
	}
	if e.Kind() != unix.S_IFLNK {
		if err := unix.Fchmodat(f.fd(), e.Path, e.Stat.Mode&0o7777, 0); err != nil {
			return &fs.PathError{Op: "chmod", Path: e.Path, Err: err}
		}
	}
	if e.Kind() == unix.S_IFREG {
		value, err := content.ReadCapability(filepath.Join(f.in.Tree, e.Path))
		if err != nil {
			return err
		}
		if len(value) > 0 {
			if err := unix.Lsetxattr(filepath.Join(f.in.OutputDir, e.Path), content.Capability, value, 0); err != nil {
				return &fs.PathError{Op: "setxattr", Path: e.Path, Err: err}
			}
		}
	}
	ts, err := unix.TimeToTimespec(time.Unix(seconds, 0))
	if err == nil {
		err = unix.UtimesNanoAt(f.fd(), e.Path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &fs.PathError{Op: "utimensat", Path: e.Path, Err: err}
	}
	return nil
}
