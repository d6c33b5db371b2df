package btrfs

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

const (
	sectorSize = 4096
	nodeSize   = 16384
	headerSize = 101
	itemSize   = 25
	pointers   = (nodeSize - headerSize) / 33 // of a block that points to others
	// generation is that of everything in a new file system.
	generation = 1
)

// Numbers of trees.
const (
	treeRoot      = 1
	treeExtent    = 2
	treeChunk     = 3
	treeDevice    = 4
	treeFS        = 5
	treeSums      = 7
	treeFreeSpace = 10
	treeReloc     = ^uint64(8) // -9
)

// Types of items.
const (
	itemInode      = 1
	itemInodeRef   = 12
	itemLongRef    = 13
	itemXattr      = 24
	itemDirItem    = 84
	itemDirIndex   = 96
	itemData       = 108
	itemSums       = 128
	itemRoot       = 132
	itemExtent     = 168
	itemMetadata   = 169
	itemBlockGroup = 192
	itemFreeInfo   = 198
	itemFree       = 199
	itemDevExtent  = 204
	itemDevice     = 216
	itemChunk      = 228
)

var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hashName is the hash by which names are found: CRC-32C without the inversion
// at its end, from a start of its own.
func hashName(name string) uint32 { return ^crc32.Update(1, castagnoli, []byte(name)) }

// hashReference is the hash by which a name of an inode is found in the items of
// long references.
func hashReference(parent uint64, name string) uint32 {
	return ^crc32.Update(^uint32(parent), castagnoli, []byte(name))
}

// key is where an item is in a tree.
type key struct {
	object uint64
	kind   byte
	offset uint64
}

func (k key) append(b []byte) []byte {
	b = append(le.AppendUint64(b, k.object), k.kind)
	return le.AppendUint64(b, k.offset)
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.kind, b.kind), cmp.Compare(a.offset, b.offset))
}

// item is what a tree holds under a key.
type item struct {
	key
	data []byte
}

func (i *item) size() int { return itemSize + len(i.data) }

// maxItem is the size of the largest item: it has a leaf for itself.
const maxItem = nodeSize - headerSize - itemSize

// add appends the items of a list to others.
func add(list []item, object uint64, kind byte, offset uint64, data []byte) []item {
	return append(list, item{key{object, kind, offset}, data})
}

// split divides sorted items into leaves.
func split(items []item) [][]item {
	var out [][]item
	start, used := 0, 0
	for i := range items {
		if n := items[i].size(); used+n > nodeSize-headerSize {
			out = append(out, items[start:i])
			start, used = i, n
		} else {
			used += n
		}
	}
	return append(out, items[start:])
}

// spread divides leaves further until there are n.
func spread(leaves [][]item, n int) [][]item {
	for i := 0; len(leaves) < n; {
		if l := leaves[i]; len(l) > 1 {
			leaves = slices.Replace(leaves, i, i+1, l[:len(l)/2], l[len(l)/2:])
			i++
		}
		i = (i + 1) % len(leaves)
	}
	return leaves
}

// blocksOf returns how many blocks a tree with so many leaves has.
func blocksOf(leaves int) int {
	total := leaves
	for n := leaves; n > 1; {
		n = (n + pointers - 1) / pointers
		total += n
	}
	return total
}

// block is a block of a tree.
type block struct {
	at    uint64
	owner uint64
	level byte
	data  []byte
}

// tree is a finished tree.
type tree struct {
	id    uint64
	root  uint64
	level byte
	count int
}

// makeTree makes the blocks of a tree; next gives the address of each.
func (w *writer) makeTree(id uint64, leaves [][]item, next func() uint64) (tree, []block) {
	type child struct {
		first key
		at    uint64
	}
	var blocks []block
	var level []child
	for _, l := range leaves {
		at := next()
		b := w.header(at, id, 0, len(l))
		end := nodeSize
		for i, it := range l {
			end -= len(it.data)
			e := it.append(make([]byte, 0, itemSize))
			e = le.AppendUint32(e, uint32(end-headerSize))
			e = le.AppendUint32(e, uint32(len(it.data)))
			copy(b[headerSize+itemSize*i:], e)
			copy(b[end:], it.data)
		}
		first := key{}
		if len(l) > 0 {
			first = l[0].key
		}
		level = append(level, child{first, at})
		blocks = append(blocks, block{at, id, 0, seal(b)})
	}
	height := byte(0)
	for len(level) > 1 {
		height++
		var above []child
		for part := range slices.Chunk(level, pointers) {
			at := next()
			b := w.header(at, id, height, len(part))
			for i, c := range part {
				e := c.first.append(make([]byte, 0, 33))
				e = le.AppendUint64(le.AppendUint64(e, c.at), generation)
				copy(b[headerSize+33*i:], e)
			}
			above = append(above, child{part[0].first, at})
			blocks = append(blocks, block{at, id, height, seal(b)})
		}
		level = above
	}
	return tree{id, level[0].at, height, len(blocks)}, blocks
}

// header returns a block with its header.
func (w *writer) header(at, owner uint64, level byte, items int) []byte {
	const written, mixedReferences = 1, 1 << 56
	b := make([]byte, nodeSize)
	copy(b[32:], w.to.UUID[:])
	le.PutUint64(b[48:], at)
	le.PutUint64(b[56:], written|mixedReferences)
	copy(b[64:], w.chunkUUID[:])
	le.PutUint64(b[80:], generation)
	le.PutUint64(b[88:], owner)
	le.PutUint32(b[96:], uint32(items))
	b[100] = level
	return b
}

// seal stores the checksum of a block.
func seal(b []byte) []byte {
	le.PutUint32(b, crc32.Checksum(b[32:], castagnoli))
	return b
}
