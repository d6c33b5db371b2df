package btrfs

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// MinSize is the size in bytes of the smallest file system that Make makes.
const MinSize = 128 << 20

// MaxLabel is the length of the longest label in bytes.
const MaxLabel = 255

const mib = 1 << 20

// Where things are, in bytes. Addresses are places here.
const (
	systemStart = mib // nothing but superblocks lies before
	systemSize  = 4 * mib
	maxChunk    = 1 << 30
	chunkUnit   = 16 * mib
	// superSize is what stays free around a copy of the superblock.
	superSize = 64 << 10
)

// supers are the places of the superblock.
var supers = []int64{64 << 10, 64 << 20, 256 << 30}

// Kinds of chunks.
const (
	chunkData     = 1
	chunkSystem   = 2
	chunkMetadata = 4
)

// chunk is a part of the device for one kind of things.
type chunk struct {
	kind        uint64
	start, size int64
	next        int64 // first byte that nothing uses
	used        int64
}

// writer writes one file system.
type writer struct {
	c    *content.Tree
	to   content.Target
	buf  []byte
	size int64

	chunkUUID, deviceUUID disk.UUID
	chunks                []*chunk
	fs, sums              []item
	extents               []dataExtent
	trees                 map[uint64]tree
	blocks                []block
}

// Make writes the file system. The error is a *content.TooSmallError if the
// content does not fit.
func Make(ctx context.Context, c *content.Tree, to content.Target) (warnings []string, err error) {
	if to.Size < MinSize {
		return nil, fmt.Errorf("a Btrfs file system of %d bytes is too small: make it at least %d", to.Size, int64(MinSize))
	}
	if len(to.Label) > MaxLabel {
		return nil, fmt.Errorf("the Btrfs label is longer than %d bytes", MaxLabel)
	}
	w := &writer{
		c: c, to: to, buf: make([]byte, mib), size: to.Size &^ (sectorSize - 1),
		chunkUUID: to.UUID.Derive("chunk tree"), deviceUUID: to.UUID.Derive("device"), trees: map[uint64]tree{},
		chunks: []*chunk{{kind: chunkSystem, start: systemStart, size: systemSize, next: systemStart}},
	}
	if err := w.files(ctx); err != nil {
		return nil, err
	}
	if err := w.metadata(); err != nil {
		return nil, err
	}
	for _, b := range w.blocks {
		if _, err := w.to.Disk.WriteAt(b.data, w.to.Offset+int64(b.at)); err != nil {
			return nil, err
		}
	}
	return nil, w.superblocks()
}

// Needed returns a lower bound for the bytes that content needs.
func Needed(use content.Usage, _ int64) int64 { return use.Blocks*content.BlockSize/2 + 16*mib }

// full is the error for a device without free space.
func (w *writer) full() error {
	use := w.c.Usage()
	need := use.Blocks*content.BlockSize + use.Inodes*600 + 64*mib
	return &content.TooSmallError{Needed: max(need, w.to.Size+w.to.Size/20), Available: w.to.Size}
}

// last returns the last chunk.
func (w *writer) last() *chunk { return w.chunks[len(w.chunks)-1] }

// newChunk adds a chunk of up to size bytes behind the last.
func (w *writer) newChunk(kind uint64, size int64) (*chunk, error) {
	start := w.last().start + w.last().size
	size = min(size, (w.size-start)&^(superSize-1))
	if size <= 0 {
		return nil, w.full()
	}
	c := &chunk{kind: kind, start: start, size: size, next: start}
	w.chunks = append(w.chunks, c)
	return c, nil
}

// skip moves the next byte of a chunk over the copies of the superblock, and
// returns how much is free up to the next one or the end.
func (c *chunk) skip(n int64) int64 {
	end := c.start + c.size
	for _, s := range supers {
		if c.next < s+superSize && c.next+n > s && s < end {
			if c.next < s && n > s-c.next && s-c.next >= sectorSize && c.kind == chunkData {
				return s - c.next
			}
			c.next = s + superSize
		}
	}
	return end - c.next
}

// take takes up to n bytes for data, a multiple of a sector, in one piece.
func (w *writer) take(n int64) (int64, int64, error) {
	c := w.last()
	if c.kind != chunkData || c.skip(n) <= 0 {
		var err error
		if c, err = w.newChunk(chunkData, maxChunk); err != nil {
			return 0, 0, err
		}
	}
	n = min(n, c.skip(n))
	if n <= 0 {
		return 0, 0, w.full()
	}
	at := c.next
	c.next += n
	c.used += n
	return at, n, nil
}

// chunkStart reports whether a chunk starts at an address.
func (w *writer) chunkStart(at uint64) bool {
	return slices.ContainsFunc(w.chunks, func(c *chunk) bool { return uint64(c.start) == at })
}

// takeNode takes a block of a chunk for a tree.
func (c *chunk) takeNode() (uint64, bool) {
	if c.skip(nodeSize) < nodeSize {
		return 0, false
	}
	at := c.next
	c.next += nodeSize
	c.used += nodeSize
	return uint64(at), true
}

// emptyDirectory returns the items of a tree with nothing but a directory.
func (w *writer) emptyDirectory(object uint64) []item {
	items := add(nil, object, itemInode, 0, inodeItem(0, 0, 1, 0, 0, unix.S_IFDIR|0o755, 0, w.to.Epoch, w.to.Epoch))
	return add(items, object, itemInodeRef, object, append(le.AppendUint16(make([]byte, 8, 12), 2), ".."...))
}

// metadata makes all trees.
func (w *writer) metadata() error {
	if c := w.last(); c.kind == chunkData {
		// Only as much as is used, so that the system can use the rest for
		// what it likes.
		c.size = min(c.size, (c.next-c.start+chunkUnit-1)/chunkUnit*chunkUnit)
	}
	leaves := map[uint64][][]item{treeFS: split(w.fs), treeSums: split(w.sums), treeReloc: split(w.emptyDirectory(firstInode))}
	fixed := 2 // the tree of trees, and that of the device
	for _, l := range leaves {
		fixed += blocksOf(len(l))
	}
	// How many chunks there are is known: one more than now.
	fixed += blocksOf(len(split(freeItems(append(slices.Clone(w.chunks), &chunk{size: 1})))))
	extentLeaves := w.extentLeaves(fixed)
	total := fixed + blocksOf(extentLeaves)
	size := (int64(total)*nodeSize*5/4 + 2*superSize + 2*chunkUnit - 1) / chunkUnit * chunkUnit
	meta, err := w.newChunk(chunkMetadata, size)
	if err != nil {
		return err
	}
	short := false
	next := func() uint64 {
		at, ok := meta.takeNode()
		short = short || !ok
		return at
	}
	put := func(id uint64, l [][]item, next func() uint64) {
		t, blocks := w.makeTree(id, l, next)
		w.trees[id] = t
		w.blocks = append(w.blocks, blocks...)
	}
	for _, id := range []uint64{treeFS, treeSums, treeReloc} {
		put(id, leaves[id], next)
	}
	put(treeDevice, split(w.deviceExtents()), next)
	put(treeChunk, split(w.chunkItems()), func() uint64 { at, _ := w.chunks[0].takeNode(); return at })
	// What is left describes itself: its blocks get their addresses first.
	var later []uint64
	for range total - (len(w.blocks) - w.trees[treeChunk].count) {
		later = append(later, next())
	}
	if short {
		return w.full()
	}
	w.selfDescribing(extentLeaves, later, put)
	return nil
}

// extentLeaves returns how many leaves the tree of extents needs when there are
// so many other blocks. Its own blocks are in it as well.
func (w *writer) extentLeaves(others int) int {
	const perBlock, perData, perGroup = itemSize + 33, itemSize + 53, itemSize + 24
	for n := 1; ; n++ {
		total := (others+blocksOf(n)+1)*perBlock + len(w.extents)*perData + (len(w.chunks)+1)*perGroup
		// A leaf may have no room for one more item.
		if need := (total + nodeSize - headerSize - perData - 1) / (nodeSize - headerSize - perData); need <= n {
			return n
		} else if need > n+1 {
			n = need - 2
		}
	}
}

// selfDescribing makes the trees of free space, extents and trees, whose
// content depends on where their own blocks are.
func (w *writer) selfDescribing(extentLeaves int, later []uint64, put func(uint64, [][]item, func() uint64)) {
	next := func() uint64 {
		at := later[0]
		later = later[1:]
		return at
	}
	put(treeFreeSpace, split(freeItems(w.chunks)), next)
	rootAt := next()
	mine := slices.Clone(later)
	owners := make([]block, 0, len(w.blocks)+len(mine)+1)
	for _, b := range w.blocks {
		owners = append(owners, block{at: b.at, owner: b.owner, level: b.level})
	}
	owners = append(owners, block{at: rootAt, owner: treeRoot})
	// The leaves come first, then the levels above them.
	level, left, width := byte(0), extentLeaves, extentLeaves
	for _, at := range mine {
		if left == 0 {
			width = (width + pointers - 1) / pointers
			level, left = level+1, width
		}
		owners = append(owners, block{at: at, owner: treeExtent, level: level})
		left--
	}
	put(treeExtent, spread(split(w.extentItems(owners)), extentLeaves), next)
	put(treeRoot, split(w.rootItems()), func() uint64 { return rootAt })
}

// superblocks writes the superblock and its copies, the first one last.
func (w *writer) superblocks() error {
	for _, at := range slices.Backward(supers) {
		if at+superSize > w.size {
			continue
		}
		b := w.superblock(at)
		le.PutUint32(b, crc32.Checksum(b[32:], castagnoli))
		if _, err := w.to.Disk.WriteAt(b, w.to.Offset+at); err != nil {
			return err
		}
	}
	return nil
}
