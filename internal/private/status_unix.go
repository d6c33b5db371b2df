//go:build unix

package private

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// lstat looks at a path itself and not at what a link leads to.
func lstat(path string) (*status, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return statusOf(&st), nil
}

func statusOf(st *unix.Stat_t) *status {
	kind := fs.ModeIrregular // a pipe or a device
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		kind = 0
	case unix.S_IFDIR:
		kind = fs.ModeDir
	case unix.S_IFLNK:
		kind = fs.ModeSymlink
	case unix.S_IFSOCK:
		kind = fs.ModeSocket
	}
	return &status{kind: kind, mode: uint32(st.Mode) & 0o7777, owner: st.Uid, links: uint64(st.Nlink)}
}

// open opens a file without following a link, or waiting for the other end of a
// pipe.
func open(path string, flag int) (*os.File, *status, error) {
	fd, err := unix.Open(path, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, uint32(FileMode))
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, nil, &Fault{path, "is a link in the place of a file", remove}
	case errors.Is(err, unix.EISDIR):
		return nil, nil, &Fault{path, "is a directory in the place of a file", remove}
	case errors.Is(err, unix.ENXIO):
		return nil, nil, &Fault{path, "is a pipe or a socket in the place of a file", remove}
	case err != nil:
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, statusOf(&st), nil
}
