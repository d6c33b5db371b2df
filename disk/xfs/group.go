package xfs

import (
	"cmp"
	"slices"
)

// How many records a block of a tree has room for.
const (
	treeHeader   = 56
	inodeRecord  = 16
	inodeRecords = (blockSize - treeHeader) / inodeRecord
	// maxPointers is that of a block with pointers to others of inodes.
	maxPointers = (blockSize - treeHeader) / 8
)

const none32 = 0xffffffff

// treeBlock returns a block of a tree with its records.
func (w *writer) treeBlock(g *group, magic string, level, records int, block int64, left, right uint32, body []byte) []byte {
	b := make([]byte, blockSize)
	copy(b, magic)
	be.PutUint16(b[4:], uint16(level))
	be.PutUint16(b[6:], uint16(records))
	be.PutUint32(b[8:], left)
	be.PutUint32(b[12:], right)
	be.PutUint64(b[16:], w.sector(w.fsBlock(g.number, block)))
	copy(b[32:], w.to.UUID[:])
	be.PutUint32(b[48:], uint32(g.number))
	copy(b[treeHeader:], body)
	sum(b, 52)
	return b
}

// run is a run of free blocks.
type run struct{ start, count int64 }

// writeGroup writes the headers and trees of a group.
func (w *writer) writeGroup(g *group, sb []byte) error {
	var free []run
	if n := w.agStart - w.agFree(); n > 0 {
		free = append(free, run{w.agFree(), n})
	}
	if n := w.agBlocks - g.next; n > 0 {
		free = append(free, run{g.next, n})
	}
	if err := w.writeFree(g, bnoRoot, "AB3B", free); err != nil {
		return err
	}
	slices.SortStableFunc(free, func(a, b run) int { return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.start, b.start)) })
	if err := w.writeFree(g, countRoot, "AB3C", free); err != nil {
		return err
	}
	blocks, levels, err := w.writeInodeTrees(g)
	if err != nil {
		return err
	}
	if at := w.refRoot; at != 0 {
		if err := w.writeBlock(w.fsBlock(g.number, at), w.treeBlock(g, "R3FC", 0, 0, at, none32, none32, nil)); err != nil {
			return err
		}
	}
	head := make([]byte, 4*sectorSize)
	copy(head, sb)
	w.freeSpaceHeader(g, head[sectorSize:2*sectorSize], free)
	w.inodeHeader(g, head[2*sectorSize:3*sectorSize], blocks, levels)
	w.freeList(g, head[3*sectorSize:])
	_, err = w.to.Disk.WriteAt(head, w.place(w.fsBlock(g.number, 0)))
	return err
}

func (w *writer) writeFree(g *group, at int64, magic string, free []run) error {
	var body []byte
	for _, r := range free {
		body = be.AppendUint32(be.AppendUint32(body, uint32(r.start)), uint32(r.count))
	}
	return w.writeBlock(w.fsBlock(g.number, at), w.treeBlock(g, magic, 0, len(free), at, none32, none32, body))
}

// freeSpaceHeader fills the sector about free space (AGF).
func (w *writer) freeSpaceHeader(g *group, b []byte, free []run) {
	total, longest := int64(0), int64(0)
	for _, r := range free {
		total += r.count
		longest = max(longest, r.count)
	}
	copy(b, "XAGF")
	for i, v := range []int64{
		1, g.number, w.agBlocks,
		bnoRoot, countRoot, 0,
		1, 1, 0, // levels
		0, freeListLen - 1, freeListLen,
		total, longest, 0,
	} {
		be.PutUint32(b[4+4*i:], uint32(v))
	}
	copy(b[64:], w.to.UUID[:])
	if w.refRoot != 0 {
		be.PutUint32(b[84:], 1)
		be.PutUint32(b[88:], uint32(w.refRoot))
		be.PutUint32(b[92:], 1)
	}
	sum(b, 216)
}

// inodeHeader fills the sector about inodes (AGI).
func (w *writer) inodeHeader(g *group, b []byte, blocks, levels int64) {
	newest := uint32(none32)
	if g.chunks > 0 {
		newest = uint32((g.chunk + (g.chunks-1)*chunkLen) * perBlock)
	}
	copy(b, "XAGI")
	for i, v := range []uint32{
		1, uint32(g.number), uint32(w.agBlocks), uint32(g.chunks * perChunk), inodeRoot, uint32(levels),
		uint32(g.chunks*perChunk - g.inodes), newest, none32,
	} {
		be.PutUint32(b[4+4*i:], v)
	}
	for i := range 64 {
		be.PutUint32(b[40+4*i:], none32) // no inode is unlinked and open
	}
	copy(b[296:], w.to.UUID[:])
	if w.freeInoRoot != 0 {
		be.PutUint32(b[328:], uint32(w.freeInoRoot))
		be.PutUint32(b[332:], 1)
	}
	if w.inodeCounts {
		be.PutUint32(b[336:], uint32(blocks))
		be.PutUint32(b[340:], 1)
	}
	sum(b, 312)
}

// freeList fills the sector of blocks that trees grow with (AGFL).
func (w *writer) freeList(g *group, b []byte) {
	copy(b, "XAFL")
	be.PutUint32(b[4:], uint32(g.number))
	copy(b[8:], w.to.UUID[:])
	for i := 0; 36+4*i < sectorSize; i++ {
		v := uint32(none32)
		if i < freeListLen {
			v = uint32(w.freeListAt) + uint32(i)
		}
		be.PutUint32(b[36+4*i:], v)
	}
	sum(b, 32)
}

// writeInodeTrees writes the tree of all chunks of inodes and that of the
// chunks with free ones.
func (w *writer) writeInodeTrees(g *group) (blocks, levels int64, err error) {
	var all, free []byte
	for i := range g.chunks {
		used := min(perChunk, g.inodes-i*perChunk)
		record := be.AppendUint32(nil, uint32((g.chunk+i*chunkLen)*perBlock))
		if w.sparse {
			record = append(record, 0, 0, perChunk, byte(perChunk-used))
		} else {
			record = be.AppendUint32(record, uint32(perChunk-used))
		}
		mask := uint64(0)
		if used < perChunk {
			mask = ^uint64(0) << used
		}
		record = be.AppendUint64(record, mask)
		all = append(all, record...)
		if mask != 0 {
			free = append(free, record...)
		}
	}
	if at := w.freeInoRoot; at != 0 {
		if err := w.writeBlock(w.fsBlock(g.number, at), w.treeBlock(g, "FIB3", 0, len(free)/inodeRecord, at, none32, none32, free)); err != nil {
			return 0, 0, err
		}
	}
	if len(g.inodeLeaves) == 0 {
		return 1, 1, w.writeBlock(w.fsBlock(g.number, inodeRoot), w.treeBlock(g, "IAB3", 0, len(all)/inodeRecord, inodeRoot, none32, none32, all))
	}
	root := make([]byte, blockSize-treeHeader)
	for i, at := range g.inodeLeaves {
		// Evenly, as no block of a tree but its root may be less than half full.
		records := len(all) / inodeRecord / (len(g.inodeLeaves) - i)
		part := all[:records*inodeRecord]
		all = all[len(part):]
		left, right := uint32(none32), uint32(none32)
		if i > 0 {
			left = uint32(g.inodeLeaves[i-1])
		}
		if i+1 < len(g.inodeLeaves) {
			right = uint32(g.inodeLeaves[i+1])
		}
		copy(root[4*i:], part[:4])
		be.PutUint32(root[4*maxPointers+4*i:], uint32(at))
		if err := w.writeBlock(w.fsBlock(g.number, at), w.treeBlock(g, "IAB3", 0, len(part)/inodeRecord, at, left, right, part)); err != nil {
			return 0, 0, err
		}
	}
	n := len(g.inodeLeaves)
	return int64(n) + 1, 2, w.writeBlock(w.fsBlock(g.number, inodeRoot), w.treeBlock(g, "IAB3", 1, n, inodeRoot, none32, none32, root))
}
