package ext4

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// Directories; see the chapters "Linear Directories" and "Hash Tree
// Directories".
const (
	direntHeader = 8
	// dirTail is an entry without a name at the end of a block that holds its
	// checksum.
	dirTail     = 12
	dirTailType = 0xde
	typeDir     = 2
	maxName     = 255

	indexSize  = 8
	indexTail  = 8
	rootAt     = 32 // of the entries in the first block
	nodeAt     = 8  // and in others
	hashMD4    = 1
	indexInfo  = 8 // size of what the first block says about the index
	sameHashes = 1 // bit of a block's hash: the block before ends with it too
)

// dirent is an entry of a directory.
type dirent struct {
	name   string
	number uint32
	kind   byte
	hash   uint32
}

// dirRoom returns how many bytes a block has for entries.
func (w *writer) dirRoom() int {
	if w.sums {
		return blockSize - dirTail
	}
	return blockSize
}

// indexLimit returns how many entries an index has in a block, where they begin
// at the given byte.
func (w *writer) indexLimit(at int) int {
	if w.sums {
		at += indexTail
	}
	return (blockSize - at) / indexSize
}

func (d *dirent) size() int { return direntHeader + padded(len(d.name)) }

// directory writes a directory and reports whether it has an index, which one
// of more than one block gets.
func (w *writer) directory(f, parent *content.File, seed uint32) (list []extent, indexed bool, err error) {
	dots := []dirent{{name: ".", number: w.numbers[f], kind: typeDir}, {name: "..", number: w.numbers[parent], kind: typeDir}}
	names := make([]dirent, 0, len(f.Entries))
	size := 0
	for _, e := range f.Entries {
		if len(e.Name) > maxName {
			return nil, false, fmt.Errorf("the name %.40q… has %d bytes, and ext4 takes %d", e.Name, len(e.Name), maxName)
		}
		d := dirent{name: e.Name, number: w.numbers[e.File], kind: e.File.TypeCode()}
		size += d.size()
		names = append(names, d)
	}
	var blocks [][]byte
	if size+dots[0].size()+dots[1].size() <= w.dirRoom() {
		blocks = [][]byte{w.leaf(append(dots, names...), seed)}
	} else if blocks, err = w.index(dots, names, seed); err != nil {
		return nil, false, err
	}
	if f.Path == "/"+lostAndFound && len(names) == 0 {
		// Room for what e2fsck finds, so that it need not look for more.
		const room = 4
		for len(blocks) < room {
			blocks = append(blocks, w.leaf(nil, seed))
		}
	}
	list, err = w.grow(nil, 0, int64(len(blocks)), func(x extent) error {
		for i, b := range blocks[x.file : x.file+x.count] {
			if err := w.writeBlocks(x.disk+int64(i), b); err != nil {
				return err
			}
		}
		return nil
	})
	return list, len(blocks) > 1 && len(names) > 0, err
}

// leaf returns a block with entries.
func (w *writer) leaf(list []dirent, seed uint32) []byte {
	b := make([]byte, blockSize)
	room, at := w.dirRoom(), 0
	if len(list) == 0 {
		le.PutUint16(b[4:], uint16(room))
	}
	for i, d := range list {
		length := d.size()
		if i == len(list)-1 {
			length = room - at
		}
		putDirent(b[at:], d, length)
		at += length
	}
	if !w.sums {
		return b
	}
	tail := b[room:]
	le.PutUint16(tail[4:], dirTail)
	tail[7] = dirTailType
	le.PutUint32(tail[8:], crc32c(seed, b[:room]))
	return b
}

func putDirent(b []byte, d dirent, length int) {
	le.PutUint32(b, d.number)
	le.PutUint16(b[4:], uint16(length))
	b[6], b[7] = byte(len(d.name)), d.kind
	copy(b[direntHeader:], d.name)
}

// pointer is an entry of an index: the first hash below a block of the
// directory.
type pointer struct{ hash, block uint32 }

// index returns the blocks of a directory with an index: the root of the index,
// then the entries in the order of their hashes, then, if the root does not hold
// all, the inner nodes.
func (w *writer) index(dots, names []dirent, seed uint32) ([][]byte, error) {
	hashSeed := hashSeed(w.to.UUID)
	for i := range names {
		names[i].hash = hashName(names[i].name, hashSeed)
	}
	slices.SortFunc(names, func(a, b dirent) int { return cmp.Or(cmp.Compare(a.hash, b.hash), strings.Compare(a.name, b.name)) })
	blocks := [][]byte{nil} // the root comes last
	var below []pointer
	for start := 0; start < len(names); {
		end, size := start, 0
		for end < len(names) && size+names[end].size() <= w.dirRoom() {
			size += names[end].size()
			end++
		}
		hash := names[start].hash
		if start > 0 && names[start-1].hash == hash {
			hash |= sameHashes
		}
		below = append(below, pointer{hash, uint32(len(blocks))})
		blocks = append(blocks, w.leaf(names[start:end], seed))
		start = end
	}
	levels, limit := 0, w.indexLimit(rootAt)
	if len(below) > limit {
		levels = 1
		var above []pointer
		for part := range slices.Chunk(below, w.indexLimit(nodeAt)) {
			above = append(above, pointer{part[0].hash, uint32(len(blocks))})
			b := make([]byte, blockSize)
			le.PutUint16(b[4:], blockSize)
			w.putIndex(b, nodeAt, part, seed)
			blocks = append(blocks, b)
		}
		below = above
	}
	if len(below) > limit {
		return nil, fmt.Errorf("the directory has %d names, and those are more than an index of ext4 holds", len(names))
	}
	root := make([]byte, blockSize)
	putDirent(root, dots[0], dots[0].size())
	putDirent(root[dots[0].size():], dots[1], blockSize-dots[0].size())
	info := root[rootAt-indexInfo:]
	info[4], info[5], info[6] = hashMD4, indexInfo, byte(levels)
	w.putIndex(root, rootAt, below, seed)
	blocks[0] = root
	return blocks, nil
}

// putIndex writes the entries of a node of an index, which begin at the given
// byte, and the checksum behind them. The place of the first hash holds how many there are and can be.
func (w *writer) putIndex(b []byte, at int, list []pointer, seed uint32) {
	for i, p := range list {
		le.PutUint32(b[at+i*indexSize:], p.hash)
		le.PutUint32(b[at+i*indexSize+4:], p.block)
	}
	limit := w.indexLimit(at)
	le.PutUint16(b[at:], uint16(limit))
	le.PutUint16(b[at+2:], uint16(len(list)))
	if !w.sums {
		return
	}
	// The checksum is over what is used, and over itself as zero.
	tail := b[at+limit*indexSize:]
	sum := crc32c(seed, b[:at+len(list)*indexSize])
	le.PutUint32(tail[4:], crc32c(sum, tail[:indexTail]))
}
