package fsread

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// ErrDamaged says that a file system contradicts itself.
var ErrDamaged = errors.New("the file system is damaged")

// ErrUnsupported says that a file system, or something in it, is of a kind that
// cannot be read here.
var ErrUnsupported = errors.New("cannot be read here")

// ErrNotExist says that there is no file of a name.
var ErrNotExist = errors.New("no such file or directory")

// FS is a file system that is read. Nodes are known by numbers: inodes, or on
// FAT the places of their directory entries.
type FS interface {
	// Root is the number of the root directory.
	Root() uint64
	// Node returns what is known about a file.
	Node(number uint64) (*Node, error)
	// ReadDir returns the entries of a directory without "." and "..", in the
	// order of the disk.
	ReadDir(number uint64) ([]Entry, error)
	// Open returns the content of a regular file, and its size in bytes.
	Open(number uint64) (sparse.Source, int64, error)
}

// Entry is a name in a directory.
type Entry struct {
	Name   string
	Number uint64
}

// The types of files, as they stand in a mode.
const (
	TypeMask    = 0xf000
	TypeFIFO    = 0x1000
	TypeChar    = 0x2000
	TypeDir     = 0x4000
	TypeBlock   = 0x6000
	TypeRegular = 0x8000
	TypeLink    = 0xa000
	TypeSocket  = 0xc000
)

// Node is what a file system says about a file.
type Node struct {
	// Mode is as stat(2) gives it, with the type.
	Mode     uint32
	UID, GID uint32
	// Size is in bytes.
	Size int64
	// Links is the number of names.
	Links uint32
	// ModTime is when the content was changed last.
	ModTime time.Time
	// Major and Minor are those of a device.
	Major, Minor uint32
	// Target is where a symbolic link points to.
	Target string
	// Attributes are the extended attributes, in the form that getxattr(2) has
	// them.
	Attributes map[string][]byte
}

// Type is the type of the file, one of the constants.
func (n *Node) Type() uint32 { return n.Mode & TypeMask }

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// Open opens the file system at the start of r, which has size bytes. One that
// can only be recognised is an error that wraps ErrUnsupported. What is read is
// counted in the budget, and ends with it.
func Open(b *limit.Budget, r io.ReaderAt, size int64) (FS, error) {
	info, err := Probe(r, size)
	if err != nil {
		return nil, err
	}
	switch info.Type {
	case "ext2", "ext3", "ext4":
		f, err := openExt(b, r, size)
		if err != nil {
			return nil, err
		}
		return f, nil
	case "vfat":
		f, err := openFAT(b, r, size)
		if err != nil {
			return nil, err
		}
		return f, nil
	case "":
		return nil, fmt.Errorf("no known file system: %w", ErrUnsupported)
	}
	return nil, fmt.Errorf("the content of %s %w: only ext2, ext3, ext4 and vfat can", info.Type, ErrUnsupported)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrDamaged)...)
}

// readFull fills b; what ends before is damaged.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	if at < 0 {
		return damaged("offset %d", at)
	}
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damaged("it ends at or before %d", at+int64(n))
	}
	return err
}

// part is a run of blocks of a file that lie one after the other.
type part struct {
	file, disk, size int64 // in bytes
}

// maxParts is the number of parts of a file. A file of 4 GiB that has no two
// blocks of 4 KiB in a row has as many, and such a disk would be of no use.
const maxParts = 1 << 20

// content is a file made of parts, which are in order; what is between them
// reads as zeros.
type content struct {
	r     io.ReaderAt
	parts []part
	size  int64
}

// find returns the number of the first part that ends behind off.
func (c *content) find(off int64) int {
	low, high := 0, len(c.parts)
	for low < high {
		mid := (low + high) / 2
		if c.parts[mid].file+c.parts[mid].size > off {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// ReadAt reads from the file.
func (c *content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	i := c.find(off)
	for n < len(p) {
		if off >= c.size {
			return n, io.EOF
		}
		k := min(int64(len(p)-n), c.size-off)
		if i == len(c.parts) || off < c.parts[i].file {
			if i < len(c.parts) {
				k = min(k, c.parts[i].file-off)
			}
			clear(p[n : n+int(k)])
		} else {
			e := c.parts[i]
			k = min(k, e.file+e.size-off)
			if err := readFull(c.r, p[n:n+int(k)], e.disk+off-e.file); err != nil {
				return n, err
			}
			i++
		}
		n, off = n+int(k), off+k
	}
	return n, nil
}

// Next finds what is not a hole; see sparse.Source.
func (c *content) Next(off int64) (start, end int64, err error) {
	i := c.find(off)
	if off >= c.size || i == len(c.parts) || c.parts[i].file >= c.size {
		return 0, 0, io.EOF
	}
	e := c.parts[i]
	return max(off, e.file), min(e.file+e.size, c.size), nil
}
