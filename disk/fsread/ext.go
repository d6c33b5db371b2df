package fsread

import (
	"fmt"
	"io"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// ext is a file system of the family of ext4.
type ext struct {
	r         io.ReaderAt
	block     int64
	blocks    int64
	inodes    uint64
	inodeSize int64
	perGroup  uint64
	groups    *groupLayout
	budget    *limit.Budget
	dirs      map[uint64][]Entry
}

// Places in an inode.
const (
	inodeBlocks = 0x28 // where the content is, 60 bytes
	flagExtents = 0x80000
	flagInline  = 0x10000000
	flagEncrypt = 0x800
	maxTarget   = 64 << 10
	// maxDirectory is the most that a directory may have in bytes: over a
	// million names of usual length.
	maxDirectory = 64 << 20
	// keepDirs bounds the directories whose entries are kept for lookups, and
	// keepEntries the entries of one.
	keepDirs    = 64
	keepEntries = 4096
)

func openExt(b *limit.Budget, r io.ReaderAt, size int64) (*ext, error) {
	sb := make([]byte, 1024)
	if err := readFull(r, sb, 1024); err != nil {
		return nil, err
	}
	incompat := le.Uint32(sb[0x60:])
	if unknown := incompat &^ uint32(extKnown); unknown != 0 {
		return nil, fmt.Errorf("ext4 with %s %w", featureNames(unknown), ErrUnsupported)
	}
	shift := le.Uint32(sb[0x18:])
	if shift > 6 {
		return nil, damaged("blocks of 2^%d KiB", shift)
	}
	f := &ext{r: r, budget: b, block: 1024 << shift, inodeSize: 128, perGroup: uint64(le.Uint32(sb[0x28:])), inodes: uint64(le.Uint32(sb[0:])), dirs: map[uint64][]Entry{}}
	if le.Uint32(sb[0x4c:]) > 0 {
		f.inodeSize = int64(le.Uint16(sb[0x58:]))
	}
	f.blocks = int64(le.Uint32(sb[4:]))
	descSize := int64(32)
	if incompat&ext64Bit != 0 {
		f.blocks |= int64(le.Uint32(sb[0x150:])) << 32
		descSize = int64(le.Uint16(sb[0xfe:]))
	}
	first, groupBlocks := int64(le.Uint32(sb[0x14:])), int64(le.Uint32(sb[0x20:]))
	if le.Uint32(sb[0x64:])&extBigalloc != 0 && first != 0 {
		return nil, damaged("clusters of blocks that do not start at block 0")
	}
	switch {
	case f.inodeSize < 128 || f.inodeSize > f.block || f.inodeSize&(f.inodeSize-1) != 0,
		descSize < 32 || descSize > 1024, f.perGroup == 0, groupBlocks == 0, first >= f.blocks, first > 1:
		return nil, damaged("the superblock")
	case f.blocks > size/f.block:
		return nil, damaged("it has %d blocks of %d bytes and lies in %d bytes", f.blocks, f.block, size)
	}
	groups := (f.blocks - first + groupBlocks - 1) / groupBlocks
	if groups > 1<<22 || uint64(groups)*f.perGroup < f.inodes {
		return nil, damaged("%d groups of %d inodes", groups, f.perGroup)
	}
	l := &groupLayout{ext: f, count: groups, descSize: descSize, first: first, blocks: groupBlocks}
	if incompat&extMetaBG != 0 {
		l.firstMeta = int64(le.Uint32(sb[0x104:]))
		l.meta = true
	}
	l.sparse = le.Uint32(sb[0x64:])&extSparseSuper != 0
	if le.Uint32(sb[0x5c:])&extSparseSuper2 != 0 {
		l.backups = []int64{int64(le.Uint32(sb[0x24c:])), int64(le.Uint32(sb[0x250:]))}
	}
	f.groups = l
	if l.block < l.descSize {
		return nil, damaged("descriptors of %d bytes", l.descSize)
	}
	// What cannot be read of the first group is damaged as a whole.
	if _, err := l.table(0); err != nil {
		return nil, err
	}
	return f, nil
}

// Root is inode 2.
func (f *ext) Root() uint64 { return 2 }

// inode reads an inode as it is on the disk.
func (f *ext) inode(number uint64) ([]byte, error) {
	if number == 0 || number > f.inodes {
		return nil, damaged("inode %d of %d", number, f.inodes)
	}
	group := (number - 1) / f.perGroup
	table, err := f.groups.table(int64(group))
	if err != nil {
		return nil, err
	}
	at := table*f.block + int64((number-1)%f.perGroup)*f.inodeSize
	if table <= 0 || table >= f.blocks || at > f.blocks*f.block {
		return nil, damaged("the inode table of group %d", group)
	}
	b := make([]byte, f.inodeSize)
	return b, readFull(f.r, b, at)
}

// Node reads an inode.
func (f *ext) Node(number uint64) (*Node, error) {
	b, err := f.inode(number)
	if err != nil {
		return nil, err
	}
	n := &Node{
		Mode:  uint32(le.Uint16(b)),
		UID:   uint32(le.Uint16(b[2:])) | uint32(le.Uint16(b[0x78:]))<<16,
		GID:   uint32(le.Uint16(b[0x18:])) | uint32(le.Uint16(b[0x7a:]))<<16,
		Links: uint32(le.Uint16(b[0x1a:])),
		Size:  f.size(b),
	}
	seconds, nanos := int64(int32(le.Uint32(b[0x10:]))), int64(0)
	if extra := f.extra(b); extra >= 0x8c-128 {
		e := le.Uint32(b[0x88:])
		seconds, nanos = seconds+int64(e&3)<<32, int64(e>>2)
	}
	n.ModTime = time.Unix(seconds, nanos).UTC()
	switch n.Type() {
	case TypeChar, TypeBlock:
		if v := le.Uint32(b[inodeBlocks:]); v != 0 {
			n.Major, n.Minor = v>>8&0xff, v&0xff
		} else {
			v = le.Uint32(b[inodeBlocks+4:])
			n.Major, n.Minor = v>>8&0xfff, v&0xff|v>>12&0xfff00
		}
	case TypeLink:
		if n.Target, err = f.target(b, n.Size); err != nil {
			return nil, err
		}
	}
	n.Attributes, err = f.attributes(b)
	return n, err
}

// size is the size of a file in bytes; one that cannot be is -1.
func (f *ext) size(b []byte) int64 {
	size := int64(le.Uint32(b[4:]))
	if t := le.Uint16(b) & TypeMask; t == TypeRegular || t == TypeDir {
		size |= int64(le.Uint32(b[0x6c:])) << 32
	}
	if size < 0 {
		return -1
	}
	return size
}

// extra is the number of bytes that an inode has in use behind the first 128.
func (f *ext) extra(b []byte) int64 {
	if f.inodeSize <= 128 {
		return 0
	}
	extra := int64(le.Uint16(b[0x80:]))
	if extra > f.inodeSize-128 {
		return 0
	}
	return extra
}

// target reads a symbolic link.
func (f *ext) target(b []byte, size int64) (string, error) {
	if size < 60 && le.Uint32(b[0x20:])&(flagExtents|flagInline) == 0 {
		return string(b[inodeBlocks : inodeBlocks+size]), nil
	}
	if size > maxTarget {
		return "", damaged("a symbolic link of %d bytes", size)
	}
	c, err := f.content(b)
	if err != nil {
		return "", err
	}
	out := make([]byte, size)
	if _, err := c.ReadAt(out, 0); err != nil {
		return "", err
	}
	return string(out), nil
}

// Open returns the content of a regular file.
func (f *ext) Open(number uint64) (sparse.Source, int64, error) {
	b, err := f.inode(number)
	if err != nil {
		return nil, 0, err
	}
	if le.Uint16(b)&TypeMask != TypeRegular {
		return nil, 0, fmt.Errorf("not a regular file, so its content %w", ErrUnsupported)
	}
	c, err := f.content(b)
	if err != nil {
		return nil, 0, err
	}
	return c, c.size, nil
}

// ReadDir reads a directory. Its blocks hold lists of entries also where there
// is an index, whose blocks look like unused entries.
func (f *ext) ReadDir(number uint64) ([]Entry, error) {
	if entries, ok := f.dirs[number]; ok {
		return append([]Entry(nil), entries...), nil
	}
	b, err := f.inode(number)
	if err != nil {
		return nil, err
	}
	if le.Uint16(b)&TypeMask != TypeDir {
		return nil, damaged("inode %d is not a directory", number)
	}
	c, err := f.content(b)
	if err != nil {
		return nil, err
	}
	if c.size > maxDirectory {
		return nil, damaged("a directory of %d bytes", c.size)
	}
	var out []Entry
	block := make([]byte, f.block)
	for at := int64(0); at < c.size; at += f.block {
		if err := f.budget.Err(); err != nil {
			return nil, err
		}
		if err := readFull(c, block[:min(f.block, c.size-at)], at); err != nil {
			return nil, err
		}
		if out, err = f.entries(block, out); err != nil {
			return nil, fmt.Errorf("directory %d: %w", number, err)
		}
	}
	if len(out) > keepEntries {
		return out, nil
	}
	if len(f.dirs) >= keepDirs {
		clear(f.dirs)
	}
	f.dirs[number] = out
	return append([]Entry(nil), out...), nil
}

// entries reads one block of a directory.
func (f *ext) entries(b []byte, out []Entry) ([]Entry, error) {
	for len(b) >= 8 {
		ino, size, length := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6])
		if size == 0 || size == 0xffff {
			size = 1 << 16 // in blocks of 64 KiB
		}
		if size < 8 || size > len(b) || 8+length > size {
			return nil, damaged("an entry of %d bytes", size)
		}
		if name := string(b[8 : 8+length]); ino != 0 && name != "." && name != ".." {
			if !validName(name) {
				return nil, damaged("the name %q", name)
			}
			out = append(out, Entry{name, uint64(ino)})
		}
		b = b[size:]
	}
	return out, nil
}

// validName tells whether a name can be one: it cannot lead elsewhere.
func validName(name string) bool {
	if name == "" || name == "." || name == ".." {
		return false
	}
	for i := range len(name) {
		if name[i] == 0 || name[i] == '/' {
			return false
		}
	}
	return true
}
