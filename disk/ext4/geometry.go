package ext4

import (
	"fmt"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

const (
	blockSize = 4096
	// blocksPerGroup is what a bitmap of one block describes.
	blocksPerGroup = 8 * blockSize
	inodeSize      = 256
	perBlock       = blockSize / inodeSize
	descSize       = 64
	descsPerBlock  = blockSize / descSize
	// maxInodesPerGroup is what a bitmap of one block describes.
	maxInodesPerGroup = 8 * blockSize
	// inodeRatio is the number of bytes for which there is an inode, if the
	// content does not need more.
	inodeRatio = 16384
	// maxFlex is the number of groups whose bitmaps and inodes lie together.
	maxFlex = 16
	// maxReserved is how many blocks the inode for growth can list.
	maxReserved = blockSize / 4
)

// MinSize is the size in bytes of the smallest file system that Make makes:
// less leaves no room for a journal.
const MinSize = 16 << 20

// maxSize bounds the table of groups.
const maxSize = 1 << 50

// MaxLabel is the length of the longest label in bytes.
const MaxLabel = 16

// geometry is where the parts of a file system are; see the chapters "Layout"
// and "Flexible Block Groups".
type geometry struct {
	// blocks and groups are how many there are; the last group may be short.
	blocks, groups int64
	// inodesPerGroup is the number of inodes of a group, tableBlocks that of
	// the blocks that they take.
	inodesPerGroup, tableBlocks int64
	// descBlocks is the length of the table of groups, reserved the number of
	// blocks behind it that it can grow into.
	descBlocks, reserved int64
	// flex is the number of groups, a power of two, that have their bitmaps
	// and inodes in the first one of them.
	flex int64
	// journal is the length of the journal in blocks.
	journal int64
}

// plan lays out a file system of up to size bytes with at least the given
// number of inodes.
func plan(size, inodes int64) (geometry, error) {
	if size < MinSize || size > maxSize {
		return geometry{}, fmt.Errorf("an ext4 file system of %d bytes is not possible: make it at least %d and at most %d", size, int64(MinSize), int64(maxSize))
	}
	g := geometry{blocks: size / blockSize}
	for {
		g.groups = ceil(g.blocks, blocksPerGroup)
		perGroup := ceil(max(inodes, size/inodeRatio), g.groups)
		g.inodesPerGroup = min(ceil(perGroup, perBlock)*perBlock, maxInodesPerGroup)
		g.tableBlocks = g.inodesPerGroup / perBlock
		g.descBlocks = ceil(g.groups, descsPerBlock)
		g.reserved = reserved(g.blocks, g.descBlocks)
		for g.flex = maxFlex; g.flex > 1 && g.flex*(g.tableBlocks+2) > blocksPerGroup/2; {
			g.flex /= 2
		}
		// A last group that can hold hardly more than its own description
		// is left away.
		const least = 50
		rest := g.blocks % blocksPerGroup
		if g.groups == 1 || rest == 0 || rest >= g.tableBlocks+2+1+g.descBlocks+g.reserved+least {
			break
		}
		g.blocks -= rest
	}
	g.journal = journalBlocks(g.blocks)
	return g, nil
}

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }

// reserved returns how many blocks are kept behind the table of groups, so that
// the file system can become a thousand times as large.
func reserved(blocks, descBlocks int64) int64 {
	const growth, most = 1024, 1<<32 - 1
	return max(0, min(ceil(ceil(min(blocks*growth, most), blocksPerGroup), descsPerBlock)-descBlocks, maxReserved))
}

// journalBlocks returns the length of the journal, which grows with the file
// system as mke2fs has it.
func journalBlocks(blocks int64) int64 {
	const k = 1024
	for _, step := range []struct{ below, length int64 }{
		{32 * k, k}, {256 * k, 4 * k}, {512 * k, 8 * k}, {4096 * k, 16 * k}, {8192 * k, 32 * k}, {16384 * k, 64 * k}, {32768 * k, 128 * k},
	} {
		if blocks < step.below {
			return step.length
		}
	}
	return 256 * k
}

// hasSuper reports whether a group begins with a copy of the superblock and of
// the table of groups: 0, 1 and the powers of 3, 5 and 7 do.
func hasSuper(group int64) bool {
	if group <= 1 {
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

// superLen returns the number of blocks that a group begins with as hasSuper
// says.
func (g *geometry) superLen(group int64) int64 {
	if !hasSuper(group) {
		return 0
	}
	return 1 + g.descBlocks + g.reserved
}

// groupLen returns the number of blocks of a group.
func (g *geometry) groupLen(group int64) int64 {
	return min(blocksPerGroup, g.blocks-group*blocksPerGroup)
}

// flexOf returns the first of the groups whose bitmaps lie together with those
// of group, and how many they are.
func (g *geometry) flexOf(group int64) (first, count int64) {
	first = group / g.flex * g.flex
	return first, min(g.flex, g.groups-first)
}

// blockBitmap, inodeBitmap and inodeTable return the first block of these parts
// of a group.
func (g *geometry) blockBitmap(group int64) int64 {
	first, _ := g.flexOf(group)
	return first*blocksPerGroup + g.superLen(first) + group - first
}

func (g *geometry) inodeBitmap(group int64) int64 {
	_, count := g.flexOf(group)
	return g.blockBitmap(group) + count
}

func (g *geometry) inodeTable(group int64) int64 {
	first, count := g.flexOf(group)
	return g.blockBitmap(first) + 2*count + (group-first)*g.tableBlocks
}

// firstFree returns the number of blocks at the start of a group that describe
// groups.
func (g *geometry) firstFree(group int64) int64 {
	n := g.superLen(group)
	if first, count := g.flexOf(group); first == group {
		n += count * (2 + g.tableBlocks)
	}
	return n
}

// free returns how many blocks are left to the content.
func (g *geometry) free() int64 {
	n := -g.journal - 1 // one is the inode's for growth
	for group := range g.groups {
		n += g.groupLen(group) - g.firstFree(group)
	}
	return n
}

// inodeCount returns how many inodes the file system should have at the least:
// those of the content, the reserved ones and some room to live.
func inodeCount(use content.Usage) int64 { return use.Inodes + use.Inodes/4 + 1024 }

// Needed returns a lower bound for the size in bytes that a file system must
// have to hold content, if it is to be made in size bytes; it is not larger than
// size if it may fit.
func Needed(use content.Usage, size int64) int64 {
	g, err := plan(size, inodeCount(use))
	if err != nil {
		return max(MinSize, use.Bytes())
	}
	missing := use.Blocks - g.free()
	if missing <= 0 {
		return size
	}
	// Every further block comes with its share of a table of inodes.
	return size + missing*(blockSize+blockSize*inodeSize/inodeRatio)
}
