package fsread

import (
	"fmt"
	"slices"
	"strings"
)

// Features that a reader must know, and those that are known here.
const (
	extFiletype   = 0x2
	extRecover    = 0x4
	extMetaBG     = 0x10
	extExtents    = 0x40
	ext64Bit      = 0x80
	extMMP        = 0x100
	extFlexBG     = 0x200
	extEAInode    = 0x400
	extCsumSeed   = 0x2000
	extLargeDir   = 0x4000
	extInlineData = 0x8000
	extCasefold   = 0x20000
	extKnown      = extFiletype | extRecover | extMetaBG | extExtents | ext64Bit | extMMP | extFlexBG | extEAInode | extCsumSeed | extLargeDir | extInlineData | extCasefold
)

// Features that do not keep a reader from reading, and have to do with where
// things are.
const (
	extSparseSuper2 = 0x200 // of those that no one has to know
	extSparseSuper  = 0x1   // of those that a writer must know, as the next one
	extBigalloc     = 0x200
)

// featureNames names features as mke2fs does.
func featureNames(bits uint32) string {
	names := map[uint32]string{0x1: "compression", 0x8: "journal_dev", 0x1000: "dirdata", 0x10000: "encrypt"}
	var out []string
	for i := range 32 {
		if bit := uint32(1) << i; bits&bit != 0 {
			name := names[bit]
			if name == "" {
				name = fmt.Sprintf("%#x", bit)
			}
			out = append(out, name)
		}
	}
	if len(out) == 1 {
		return "the feature " + out[0]
	}
	return "the features " + strings.Join(out, ", ")
}

// groupLayout says where the descriptors of the groups of blocks are.
type groupLayout struct {
	*ext
	count         int64 // of groups
	descSize      int64 // in bytes
	first, blocks int64 // the first block of the first group, and how many a group has
	// meta says that from the block of descriptors firstMeta on each is in the
	// first of the groups that it describes.
	meta      bool
	firstMeta int64
	// sparse and backups say which groups begin with a copy of the superblock.
	sparse  bool
	backups []int64

	cache  []byte // a block of descriptors
	cached int64  // its number
}

// table returns the first block of a group's table of inodes. Descriptors are
// read when they are needed: a superblock may promise millions of them.
func (l *groupLayout) table(group int64) (int64, error) {
	if group < 0 || group >= l.count {
		return 0, damaged("group %d of %d", group, l.count)
	}
	perBlock := l.block / l.descSize
	if i := group / perBlock; l.cache == nil || l.cached != i {
		if l.cache == nil {
			l.cache = make([]byte, l.block)
		}
		l.cached = -1
		if err := readFull(l.r, l.cache[:min(perBlock, l.count-i*perBlock)*l.descSize], l.place(i)*l.block); err != nil {
			return 0, err
		}
		l.cached = i
	}
	d := l.cache[group%perBlock*l.descSize:]
	table := int64(le.Uint32(d[8:]))
	if l.descSize >= 64 {
		table |= int64(le.Uint32(d[0x28:])) << 32
	}
	return table, nil
}

// place returns the block of the disk that holds a block of descriptors. They
// follow the superblock, which is in the second KiB of the disk.
func (l *groupLayout) place(i int64) int64 {
	super := 1024 / l.block
	if !l.meta || i < l.firstMeta {
		return super + 1 + i
	}
	group := i * (l.block / l.descSize)
	at := l.first + group*l.blocks
	if l.hasSuper(group) {
		at++
	}
	if group == 0 && super > l.first {
		at++ // the block before the superblock is in the group
	}
	return at
}

// hasSuper tells whether a group begins with a copy of the superblock.
func (l *groupLayout) hasSuper(group int64) bool {
	switch {
	case group == 0:
		return true
	case l.backups != nil:
		return slices.Contains(l.backups, group)
	case group == 1 || !l.sparse:
		return true
	}
	for _, base := range []int64{3, 5, 7} {
		n := base
		for n < group {
			n *= base
		}
		if n == group {
			return true
		}
	}
	return false
}
