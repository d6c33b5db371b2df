package ext4

import (
	"errors"
	"fmt"
	"strings"
)

// Offsets of what is needed to read directories and to place attributes, as
// the kernel's documentation of ext4 gives them (filesystems/ext4: inodes.rst,
// directory.rst, ifork.rst).
const (
	inBlocksLo  = 0x1c
	inFlags     = 0x20
	inData      = 0x28
	inFileACLLo = 0x68
	inSizeLo    = 0x04
	inBlocksHi  = 0x74
	inFileACLHi = 0x76

	flagHugeFile = 0x40000
	flagExtents  = 0x80000

	extentMagic = 0xf30a
	extentSize  = 12
	maxDepth    = 5

	modeType = 0xf000
	modeDir  = 0x4000
)

// errDamaged says that mke2fs has made what this package does not understand.
var errDamaged = errors.New("the file system is not of a form that is known here")

// place returns the group of an inode and its number in the group's table.
func (t *inodes) place(number uint32) (group, index int) {
	return int(number-1) / t.perGroup, int(number-1) % t.perGroup
}

// read returns an inode and where it is.
func (t *inodes) read(number uint32) (inode []byte, at int64, err error) {
	group, index := t.place(number)
	if number == 0 || group >= len(t.descs)/t.descSize {
		return nil, 0, fmt.Errorf("inode %d: %w", number, errDamaged)
	}
	at, _ = t.table(group)
	at += int64(index) * int64(t.size)
	inode = make([]byte, t.size)
	_, err = t.f.ReadAt(inode, at)
	return inode, at, err
}

func (t *inodes) block(number int64) ([]byte, error) {
	b := make([]byte, BlockSize)
	_, err := t.f.ReadAt(b, t.offset+number*BlockSize)
	return b, err
}

// directories finds files by their paths.
type directories struct {
	t *inodes
	// entries are the inodes of the names in a directory; nil is kept for
	// what is none.
	entries map[uint32]map[string]uint32
}

// find returns the inode of an absolute path, or 0 if there is none. Links
// are not followed.
func (d *directories) find(path string) (uint32, error) {
	number := uint32(rootInode)
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		entries, ok := d.entries[number]
		if !ok {
			var err error
			if entries, err = d.list(number); err != nil {
				return 0, err
			}
			d.entries[number] = entries
		}
		if number = entries[name]; number == 0 {
			return 0, nil
		}
	}
	return number, nil
}

// list reads a directory. Its blocks hold lists of entries also where there is
// an index, whose blocks look like unused entries.
func (d *directories) list(number uint32) (map[string]uint32, error) {
	inode, _, err := d.t.read(number)
	if err != nil {
		return nil, err
	}
	if le.Uint16(inode[inMode:])&modeType != modeDir {
		return nil, nil
	}
	if le.Uint32(inode[inFlags:])&flagExtents == 0 {
		return nil, fmt.Errorf("directory %d has no extents: %w", number, errDamaged)
	}
	blocks, err := d.t.extents(inode[inData:inData+60], maxDepth)
	if err != nil {
		return nil, fmt.Errorf("directory %d: %w", number, err)
	}
	entries := map[string]uint32{}
	for _, n := range blocks {
		b, err := d.t.block(n)
		if err != nil {
			return nil, err
		}
		for len(b) >= 8 {
			ino, size, length := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6])
			if size < 8 || size > len(b) || 8+length > size {
				return nil, fmt.Errorf("directory %d: %w", number, errDamaged)
			}
			if name := string(b[8 : 8+length]); ino != 0 && name != "." && name != ".." {
				entries[name] = ino
			}
			b = b[size:]
		}
	}
	return entries, nil
}

// extents returns the blocks of a file, given a node of its tree of extents.
func (t *inodes) extents(node []byte, depth int) ([]int64, error) {
	count, level := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != extentMagic || (count+1)*extentSize > len(node) || level > depth {
		return nil, errDamaged
	}
	var out []int64
	for i := range count {
		e := node[(i+1)*extentSize:]
		if level == 0 {
			start := int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))
			length := int64(le.Uint16(e[4:]))
			if length > 1<<15 {
				return nil, errDamaged
			}
			for n := range length {
				out = append(out, start+n)
			}
			continue
		}
		child, err := t.block(int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:])))
		if err != nil {
			return nil, err
		}
		below, err := t.extents(child, level-1)
		if err != nil {
			return nil, err
		}
		out = append(out, below...)
	}
	return out, nil
}
