package btrfs

import (
	"cmp"
	"slices"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

const (
	device          = 1 // its number
	firstChunk      = 256
	stripeSize      = 64 << 10
	defaultSubvol   = "default"
	rootTreeDir     = 6
	deviceItems     = 1
	typeDirectory   = 2
	metadataFlag    = 2 // of an extent
	dataFlag        = 1
	treeReference   = 176
	dataReference   = 178
	rootItemSize    = 439
	featureIncompat = 0x1 | 0x20 | 0x40 | 0x100 | 0x200 // mixed references, large metadata, long references, skinny metadata, no holes
	featureROCompat = 0x1 | 0x2                         // a tree of free space, which is valid
)

// deviceItem describes the device.
func (w *writer) deviceItem() []byte {
	allocated := uint64(0)
	for _, c := range w.chunks {
		allocated += uint64(c.size)
	}
	b := le.AppendUint64(nil, device)
	b = le.AppendUint64(le.AppendUint64(b, uint64(w.size)), allocated)
	for range 3 {
		b = le.AppendUint32(b, sectorSize)
	}
	b = append(b, make([]byte, 8+8+8+4+1+1)...)
	b = append(b, w.deviceUUID[:]...)
	return append(b, w.to.UUID[:]...)
}

// chunkItem says where a chunk is on the device.
func (w *writer) chunkItem(c *chunk) []byte {
	var b []byte
	for _, v := range []uint64{uint64(c.size), treeExtent, stripeSize, c.kind} {
		b = le.AppendUint64(b, v)
	}
	for _, v := range []uint32{stripeSize, stripeSize, sectorSize} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint16(le.AppendUint16(b, 1), 1)
	b = le.AppendUint64(le.AppendUint64(b, device), uint64(c.start))
	return append(b, w.deviceUUID[:]...)
}

func (w *writer) chunkItems() []item {
	items := add(nil, deviceItems, itemDevice, device, w.deviceItem())
	for _, c := range w.chunks {
		items = add(items, firstChunk, itemChunk, uint64(c.start), w.chunkItem(c))
	}
	return items
}

func (w *writer) deviceExtents() []item {
	var items []item
	for _, c := range w.chunks {
		var b []byte
		for _, v := range []uint64{treeChunk, firstChunk, uint64(c.start), uint64(c.size)} {
			b = le.AppendUint64(b, v)
		}
		items = add(items, device, itemDevExtent, uint64(c.start), append(b, w.chunkUUID[:]...))
	}
	return items
}

// extentItems lists all that is in use, with who uses it, and the chunks.
func (w *writer) extentItems(blocks []block) []item {
	var items []item
	extent := func(flag uint64) []byte {
		return le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, 1), generation), flag)
	}
	for _, b := range blocks {
		items = add(items, b.at, itemMetadata, uint64(b.level), le.AppendUint64(append(extent(metadataFlag), treeReference), b.owner))
	}
	for _, x := range w.extents {
		b := append(extent(dataFlag), dataReference)
		for _, v := range []uint64{treeFS, x.inode, x.start} {
			b = le.AppendUint64(b, v)
		}
		items = add(items, x.at, itemExtent, x.size, le.AppendUint32(b, 1))
	}
	for _, c := range w.chunks {
		b := le.AppendUint64(le.AppendUint64(le.AppendUint64(nil, uint64(c.used)), firstChunk), c.kind)
		items = add(items, uint64(c.start), itemBlockGroup, uint64(c.size), b)
	}
	slices.SortFunc(items, func(a, b item) int { return compareKeys(a.key, b.key) })
	return items
}

// freeItems lists what is free in each chunk.
func freeItems(chunks []*chunk) []item {
	var items []item
	for _, c := range chunks {
		var free [][2]int64
		at, end := c.next, c.start+c.size
		for _, s := range supers {
			if s+superSize <= at || s >= end {
				continue
			}
			if s > at {
				free = append(free, [2]int64{at, s})
			}
			at = max(at, s+superSize)
		}
		if at < end {
			free = append(free, [2]int64{at, end})
		}
		items = add(items, uint64(c.start), itemFreeInfo, uint64(c.size), le.AppendUint32(le.AppendUint32(nil, uint32(len(free))), 0))
		for _, r := range free {
			items = add(items, uint64(r[0]), itemFree, uint64(r[1]-r[0]), nil)
		}
	}
	slices.SortFunc(items, func(a, b item) int { return compareKeys(a.key, b.key) })
	return items
}

// rootItem says where a tree is.
func (w *writer) rootItem(t tree) []byte {
	b := make([]byte, rootItemSize)
	copy(b, inodeItem(3, nodeSize, 1, 0, 0, unix.S_IFDIR|0o755, 0, 0, 0))
	le.PutUint64(b[160:], generation)
	if t.id == treeFS || t.id == treeReloc {
		le.PutUint64(b[168:], firstInode)
	}
	le.PutUint64(b[176:], t.root)
	le.PutUint64(b[192:], uint64(t.count)*nodeSize)
	le.PutUint32(b[216:], 1)
	b[238] = t.level
	le.PutUint64(b[239:], generation)
	return b
}

// rootItems lists the trees.
func (w *writer) rootItems() []item {
	var items []item
	for _, id := range []uint64{treeExtent, treeDevice, treeFS, treeSums, treeFreeSpace, treeReloc} {
		items = add(items, id, itemRoot, 0, w.rootItem(w.trees[id]))
	}
	items = append(items, w.emptyDirectory(rootTreeDir)...)
	to := key{treeFS, itemRoot, ^uint64(0)}
	items = add(items, rootTreeDir, itemDirItem, uint64(hashName(defaultSubvol)), dirItem(to, typeDirectory, defaultSubvol, nil))
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(compareKeys(a.key, b.key), cmp.Compare(len(a.data), len(b.data)))
	})
	return items
}

// superblock returns the copy of the superblock for a place, without its
// checksum.
func (w *writer) superblock(at int64) []byte {
	b := make([]byte, 4096)
	used := int64(0)
	for _, c := range w.chunks {
		used += c.used
	}
	copy(b[32:], w.to.UUID[:])
	le.PutUint64(b[48:], uint64(at))
	le.PutUint64(b[56:], 1) // written
	copy(b[64:], "_BHRfS_M")
	for i, v := range []uint64{generation, w.trees[treeRoot].root, w.trees[treeChunk].root, 0, 0, uint64(w.size), uint64(used), rootTreeDir, 1} {
		le.PutUint64(b[72+8*i:], v)
	}
	system := key{firstChunk, itemChunk, uint64(w.chunks[0].start)}.append(nil)
	system = append(system, w.chunkItem(w.chunks[0])...)
	for i, v := range []uint32{sectorSize, nodeSize, nodeSize, sectorSize, uint32(len(system))} {
		le.PutUint32(b[144+4*i:], v)
	}
	le.PutUint64(b[164:], generation) // of the tree of chunks
	le.PutUint64(b[180:], featureROCompat)
	le.PutUint64(b[188:], featureIncompat)
	b[198], b[199] = w.trees[treeRoot].level, w.trees[treeChunk].level
	copy(b[201:], w.deviceItem())
	copy(b[299:], w.to.Label)
	copy(b[811:], system)
	return b
}
