package content

import (
	"errors"
	"fmt"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// BlockSize is the unit in which data is counted.
const BlockSize = 4096

// Usage is what a tree takes in a file system, at the least.
type Usage struct {
	// Blocks is the number of data blocks, those of directories included.
	// Holes are not counted where the builder's file system knows them.
	Blocks int64
	// Inodes is the number of inodes: names of one hard link count once.
	Inodes int64
}

// Bytes returns an estimate of the bytes that the tree takes.
func (u Usage) Bytes() int64 { return u.Blocks*BlockSize + u.Inodes*256 }

// Usage returns what the tree takes.
func (t *Tree) Usage() Usage { return t.usage }

// Full returns what the tree takes if no file has holes, with what directories and
// attributes take at the most. It depends on the tree alone, and not on the file
// system of the builder that it lies on.
func (t *Tree) Full() Usage {
	var u Usage
	for _, f := range t.Files {
		u.Inodes++
		size := f.Size
		switch f.Kind() {
		case unix.S_IFDIR:
			// Blocks of directories that were split are half full.
			size = BlockSize
			for _, e := range f.Entries {
				size += 2 * int64(12+len(e.Name))
			}
		case unix.S_IFLNK:
			size = int64(len(f.Link))
		case unix.S_IFREG:
		default:
			size = 0
		}
		u.Blocks += (size + BlockSize - 1) / BlockSize
		for _, a := range f.Attributes {
			if len(a.Value) > 64 {
				u.Blocks++
			}
		}
	}
	return u
}

func (u *Usage) add(f *File) {
	u.Inodes++
	switch f.Kind() {
	case unix.S_IFDIR:
		u.Blocks++
	case unix.S_IFREG:
		u.Blocks += (min(f.Size, f.blocks*512) + BlockSize - 1) / BlockSize
	case unix.S_IFLNK:
		// Shorter links live in the inode.
		if len(f.Link) >= 60 {
			u.Blocks++
		}
	}
}

// TooSmallError says that a tree does not fit into its file system.
type TooSmallError struct {
	// Needed is an estimate of the bytes that the file system must have;
	// Available is what it has.
	Needed, Available int64
}

// Error gives both numbers.
func (e *TooSmallError) Error() string {
	return fmt.Sprintf("the tree does not fit: it needs a file system of about %d bytes (%d MiB), and there are %d bytes (%d MiB)",
		e.Needed, (e.Needed+1<<20-1)>>20, e.Available, e.Available>>20)
}

// At says which file an error is about, unless it is about all of them.
func At(f *File, err error) error {
	var small *TooSmallError
	if errors.As(err, &small) {
		return err
	}
	return fmt.Errorf("%q: %w", f.Path, err)
}
