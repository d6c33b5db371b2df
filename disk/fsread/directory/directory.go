// Package directory shows a directory of the running system as a file system of
// package fsread, so that what was made of a directory can be compared with it.
// It is for tests: it follows no links but trusts the directory not to change.
package directory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// FS is a directory. Its nodes are numbered in the order in which they are seen;
// names of one file have one number.
type FS struct {
	paths  []string
	inodes map[[2]uint64]uint64
}

// Open returns the directory with the given path.
func Open(path string) *FS {
	f := &FS{inodes: map[[2]uint64]uint64{}}
	f.add(path)
	return f
}

func (f *FS) add(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	key := [2]uint64{uint64(st.Dev), st.Ino}
	if n, ok := f.inodes[key]; ok {
		return n, nil
	}
	f.paths = append(f.paths, path)
	f.inodes[key] = uint64(len(f.paths) - 1)
	return f.inodes[key], nil
}

// Root is 0.
func (f *FS) Root() uint64 { return 0 }

// Node calls lstat(2) and reads the attributes.
func (f *FS) Node(number uint64) (*fsread.Node, error) {
	path := f.paths[number]
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, err
	}
	n := &fsread.Node{
		Mode: st.Mode, UID: st.Uid, GID: st.Gid, Size: st.Size, Links: uint32(st.Nlink),
		ModTime: time.Unix(st.Mtim.Sec, st.Mtim.Nsec).UTC(),
	}
	switch n.Type() {
	case fsread.TypeChar, fsread.TypeBlock:
		n.Major, n.Minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	case fsread.TypeLink:
		var err error
		if n.Target, err = os.Readlink(path); err != nil {
			return nil, err
		}
	}
	var err error
	n.Attributes, err = attributes(path)
	return n, err
}

func attributes(path string) (map[string][]byte, error) {
	out := map[string][]byte{}
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if errors.Is(err, unix.ENOTSUP) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(string(names[:n]), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		out[name] = value[:n]
	}
	return out, nil
}

// ReadDir reads a directory.
func (f *FS) ReadDir(number uint64) ([]fsread.Entry, error) {
	path := f.paths[number]
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []fsread.Entry
	for _, e := range entries {
		n, err := f.add(filepath.Join(path, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, fsread.Entry{Name: e.Name(), Number: n})
	}
	return out, nil
}

// Open opens a file, which is closed when nothing refers to it any more.
func (f *FS) Open(number uint64) (sparse.Source, int64, error) {
	file, err := os.Open(f.paths[number])
	if err != nil {
		return nil, 0, err
	}
	st, err := file.Stat()
	return sparse.File{File: file}, st.Size(), err
}
