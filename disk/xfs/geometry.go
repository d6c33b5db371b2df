package xfs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

const (
	blockSize  = 4096
	blockLog   = 12
	sectorSize = 512
	inodeSize  = 512
	inodeLog   = 9
	perBlock   = blockSize / inodeSize // inodes in a block
	perLog     = 3
	perChunk   = 64 // inodes are made in chunks
	chunkLen   = perChunk / perBlock
)

// Blocks of an allocation group that are in the same place in each, and the
// length of the list of blocks that trees grow with.
const (
	bnoRoot     = 1
	countRoot   = 2
	inodeRoot   = 3
	freeListLen = 4
)

// layout is what depends on the features: which structures an allocation group
// has, and where they are.
type layout struct {
	// bigTime says that time stamps have 64 bits, inodeCounts that a group
	// counts the blocks of its trees of inodes.
	bigTime, inodeCounts bool
	// sparse says that a chunk of inodes may have holes; inodeAlign is the
	// alignment of chunks in blocks.
	sparse     bool
	inodeAlign int64
	// freeInoRoot and refRoot are the roots of the trees of chunks with free
	// inodes and of shared extents; 0 means that there is none.
	freeInoRoot, refRoot int64
	// freeListAt is where the free list is.
	freeListAt int64
	// agStart is the first block behind the headers, the free list and a gap:
	// where the first inodes are, which xfs_repair works out from the features.
	agStart int64
}

// agFree is the gap between the free list and agStart.
func (l *layout) agFree() int64 { return l.freeListAt + freeListLen }

// layoutOf returns the layout for a profile, with the features that mkfs.xfs of
// its time gives by default.
func layoutOf(p content.Profile) layout {
	if !p.Reads(content.EL8) {
		// Chunks are aligned to a cluster, which is 16 KiB with these inodes.
		return layout{inodeAlign: 4, freeListAt: inodeRoot + 1, agStart: 8}
	}
	return layout{
		bigTime: p.Reads(content.EL9), inodeCounts: p.Reads(content.EL9),
		sparse: true, inodeAlign: chunkLen, freeInoRoot: inodeRoot + 1, refRoot: inodeRoot + 2,
		freeListAt: inodeRoot + 3, agStart: 16,
	}
}

// MinSize is the size in bytes of the smallest file system that Make makes.
const MinSize = 128 << 20

// MaxLabel is the length of the longest label in bytes.
const MaxLabel = 12

const (
	minGroups   = 4
	maxAGBlocks = 1<<28 - 1 // of a group of 1 TiB
)

// geometry is how the place is divided.
type geometry struct {
	layout
	groups    int64
	agBlocks  int64 // of each group
	agLog     uint
	logBlocks int64
	logGroup  int64
}

func (g *geometry) blocks() int64 { return g.groups * g.agBlocks }

// plan divides a place of the given number of bytes.
func plan(size int64, l layout) (geometry, error) {
	g := geometry{layout: l}
	if size < MinSize {
		return g, fmt.Errorf("an XFS file system of %d bytes is too small: make it at least %d", size, int64(MinSize))
	}
	blocks := size / blockSize
	g.groups = max(minGroups, (blocks+maxAGBlocks-1)/maxAGBlocks)
	g.agBlocks = blocks / g.groups
	g.agLog = uint(bits.Len64(uint64(g.agBlocks - 1)))
	g.logBlocks = logSize(size) / blockSize
	g.logGroup = g.groups / 2
	return g, nil
}

// logSize returns the bytes that the log gets.
func logSize(size int64) int64 {
	switch {
	case size < 1<<30:
		return 16 << 20
	case size < 128<<30:
		return 64 << 20
	}
	return min(size>>11, 1<<30) &^ (1<<16 - 1)
}

// Needed returns a lower bound for the bytes that content needs in a file
// system of the given size.
func Needed(use content.Usage, size int64) int64 {
	return use.Blocks*blockSize/2 + use.Inodes*inodeSize + logSize(size) + minGroups*layoutOf(content.EL7).agStart*blockSize
}

// fsBlock is the number of a block as extents have it: the group in the upper
// bits.
func (g *geometry) fsBlock(group, block int64) uint64 { return uint64(group)<<g.agLog | uint64(block) }

// inode returns the number of an inode.
func (g *geometry) inode(group, block, index int64) uint64 {
	return g.fsBlock(group, block)<<perLog | uint64(index)
}

// linear returns the place of a block, counted from the start.
func (g *geometry) linear(fsBlock uint64) int64 {
	return int64(fsBlock>>g.agLog)*g.agBlocks + int64(fsBlock&(1<<g.agLog-1))
}

// sector returns the number by which checked blocks know where they are.
func (g *geometry) sector(fsBlock uint64) uint64 {
	return uint64(g.linear(fsBlock)) * (blockSize / sectorSize)
}

var be = binary.BigEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum stores the checksum of a structure at its place, where zeros are.
func sum(b []byte, at int) {
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b, castagnoli))
}

// Features, from xfs_format.h.
const (
	versionBits = 0xb4b5 // version 5, attributes, links, aligned inodes, log 2, directories 2, further features
	features2   = 0x18a  // counters that are written late, attributes 2, 32 bits of project, checksums

	roFreeInodes, roReflink, roInodeCounts = 0x1, 0x4, 0x8

	featFileTypes, featSparse, featBigTime = 0x1, 0x2, 0x8
)

// features returns the words of features that a kernel must know to write
// (first) and to read at all.
func (l *layout) features() (readOnly, incompatible uint32) {
	incompatible = featFileTypes
	for _, f := range []struct {
		has  bool
		word *uint32
		bit  uint32
	}{
		{l.freeInoRoot != 0, &readOnly, roFreeInodes}, {l.refRoot != 0, &readOnly, roReflink}, {l.inodeCounts, &readOnly, roInodeCounts},
		{l.sparse, &incompatible, featSparse}, {l.bigTime, &incompatible, featBigTime},
	} {
		if f.has {
			*f.word |= f.bit
		}
	}
	return readOnly, incompatible
}

// superblock returns the first sector of every group.
func (w *writer) superblock() []byte {
	b := make([]byte, sectorSize)
	g := &w.geometry
	copy(b, "XFSB")
	be.PutUint32(b[4:], blockSize)
	be.PutUint64(b[8:], uint64(g.blocks()))
	copy(b[32:], w.to.UUID[:])
	be.PutUint64(b[48:], g.fsBlock(g.logGroup, g.agStart))
	be.PutUint64(b[56:], w.special(0)) // root
	be.PutUint64(b[64:], w.special(1)) // bitmap and summary of a real-time part
	be.PutUint64(b[72:], w.special(2))
	be.PutUint32(b[80:], 1)
	be.PutUint32(b[84:], uint32(g.agBlocks))
	be.PutUint32(b[88:], uint32(g.groups))
	be.PutUint32(b[96:], uint32(g.logBlocks))
	be.PutUint16(b[100:], versionBits)
	be.PutUint16(b[102:], sectorSize)
	be.PutUint16(b[104:], inodeSize)
	be.PutUint16(b[106:], perBlock)
	copy(b[108:120], w.to.Label)
	copy(b[120:], []byte{blockLog, 9, inodeLog, perLog, byte(g.agLog), 0, 0, 25})
	be.PutUint64(b[128:], uint64(w.chunks*perChunk))
	be.PutUint64(b[136:], uint64(w.chunks*perChunk-w.used))
	be.PutUint64(b[144:], uint64(w.freeBlocks()))
	be.PutUint32(b[180:], uint32(g.inodeAlign))
	be.PutUint32(b[196:], 1)
	be.PutUint32(b[200:], features2)
	be.PutUint32(b[204:], features2)
	readOnly, incompatible := g.features()
	be.PutUint32(b[212:], readOnly)
	be.PutUint32(b[216:], incompatible)
	if g.sparse {
		be.PutUint32(b[228:], 4)
	}
	sum(b, 224)
	return b
}
