package xfs

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// Where the parts of a directory are, in blocks of its file: names, leaves with
// hashes, and the table of what is free.
const (
	leafStart = 32 << 30 / blockSize
	freeStart = 64 << 30 / blockSize
)

const (
	dataHeader = 64
	leafHeader = 64
	leafEntry  = 8
	// perLeaf is how many hashes a leaf has room for, perFree how many blocks
	// a block of the table of free space is about.
	perLeaf = (blockSize - leafHeader) / leafEntry
	perFree = (blockSize - leafHeader) / 2
)

// dirEntry is a name in a directory.
type dirEntry struct {
	name   string
	number uint64
	kind   byte
}

func (e *dirEntry) size() int { return (8 + 1 + len(e.name) + 1 + 2 + 7) &^ 7 }

// leaf is the hash of a name and where the name is.
type leaf struct{ hash, address uint32 }

// directory writes the names of a directory, in the inode if limit bytes are
// enough, and returns the size that the inode shows.
func (w *writer) directory(f, parent *content.File, limit int) (fork, int64, error) {
	owner := w.numbers[f]
	entries := []dirEntry{{".", owner, 2}, {"..", w.numbers[parent], 2}}
	for _, e := range f.Entries {
		if len(e.Name) > 255 {
			return fork{}, 0, fmt.Errorf("the name %q has %d bytes, and XFS takes 255", e.Name, len(e.Name))
		}
		entries = append(entries, dirEntry{e.Name, w.numbers[e.File], e.File.TypeCode()})
	}
	if body := shortDirectory(entries); len(body) <= limit {
		return fork{form: formLocal, body: body}, int64(len(body)), nil
	}
	d := &directoryWriter{w: w, owner: owner}
	x, err := d.write(entries)
	if err != nil {
		return fork{}, 0, err
	}
	return extentFork(x), int64(len(d.blocks)) * blockSize, nil
}

// shortDirectory returns the names as an inode holds them.
func shortDirectory(entries []dirEntry) []byte {
	const first = dataHeader + 16 + 16 // where the first name would be in a block
	parent, list := entries[1], entries[2:]
	wide := 0
	for _, e := range entries[1:] {
		if e.number > math.MaxUint32 {
			wide++
		}
	}
	number := func(b []byte, n uint64) []byte {
		if wide > 0 {
			return be.AppendUint64(b, n)
		}
		return be.AppendUint32(b, uint32(n))
	}
	if len(list) > 255 {
		return make([]byte, room+1) // never short
	}
	b := number([]byte{byte(len(list)), byte(wide)}, parent.number)
	at := first
	for _, e := range list {
		b = be.AppendUint16(append(b, byte(len(e.name))), uint16(at))
		b = number(append(append(b, e.name...), e.kind), e.number)
		at += e.size()
	}
	return b
}

// directoryWriter writes a directory that has blocks.
type directoryWriter struct {
	w      *writer
	owner  uint64
	blocks [][]byte // of names
	ends   []int    // what of each is used
	leaves []leaf
}

func (d *directoryWriter) write(entries []dirEntry) ([]extent, error) {
	const tail = 8
	total := dataHeader
	for _, e := range entries {
		total += e.size()
	}
	if total+leafEntry*len(entries)+tail <= blockSize {
		return d.single(entries)
	}
	d.fill(entries, blockSize)
	if leafHeader+leafEntry*len(d.leaves)+2*len(d.blocks)+4 <= blockSize {
		return d.oneLeaf()
	}
	return d.manyLeaves()
}

// fill puts names into blocks of which limit bytes are for names.
func (d *directoryWriter) fill(entries []dirEntry, limit int) {
	at := limit
	for _, e := range entries {
		if at+e.size() > limit {
			if len(d.blocks) > 0 {
				d.ends = append(d.ends, at)
			}
			d.blocks = append(d.blocks, make([]byte, blockSize))
			at = dataHeader
		}
		b := d.blocks[len(d.blocks)-1]
		be.PutUint64(b[at:], e.number)
		b[at+8] = byte(len(e.name))
		copy(b[at+9:], e.name)
		b[at+9+len(e.name)] = e.kind
		be.PutUint16(b[at+e.size()-2:], uint16(at))
		d.leaves = append(d.leaves, leaf{hashName(e.name), uint32(((len(d.blocks)-1)*blockSize + at) / 8)})
		at += e.size()
	}
	d.ends = append(d.ends, at)
	slices.SortFunc(d.leaves, func(a, b leaf) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.address, b.address)) })
}

// finishBlock completes a block of names of which limit bytes are for names.
func (d *directoryWriter) finishBlock(i, limit int, magic string, fsBlock uint64) []byte {
	b, end := d.blocks[i], d.ends[i]
	copy(b, magic)
	be.PutUint64(b[8:], d.w.sector(fsBlock))
	copy(b[24:], d.w.to.UUID[:])
	be.PutUint64(b[40:], d.owner)
	if free := limit - end; free > 0 {
		be.PutUint16(b[end:], 0xffff)
		be.PutUint16(b[end+2:], uint16(free))
		be.PutUint16(b[limit-2:], uint16(end))
		be.PutUint16(b[48:], uint16(end))
		be.PutUint16(b[50:], uint16(free))
	}
	sum(b, 4)
	return b
}

func (d *directoryWriter) putLeaves(b []byte, list []leaf) {
	for i, l := range list {
		be.PutUint32(b[leafEntry*i:], l.hash)
		be.PutUint32(b[leafEntry*i+4:], l.address)
	}
}

// single writes a directory of one block, which has the hashes at its end.
func (d *directoryWriter) single(entries []dirEntry) ([]extent, error) {
	const tail = 8
	limit := blockSize - tail - leafEntry*len(entries)
	d.fill(entries, limit)
	x, err := d.w.grow(nil, 0, 1, nil)
	if err != nil {
		return nil, err
	}
	b := d.blocks[0]
	d.putLeaves(b[limit:], d.leaves)
	be.PutUint32(b[blockSize-tail:], uint32(len(entries)))
	return x, d.w.writeBlock(x[0].disk, d.finishBlock(0, limit, "XDB3", x[0].disk))
}

// names writes the blocks of names and returns how much is free in each.
func (d *directoryWriter) names() (x []extent, free []byte, err error) {
	x, err = d.w.grow(nil, 0, int64(len(d.blocks)), func(x extent) error {
		for i := range x.count {
			at := x.disk + uint64(i)
			if err := d.w.writeBlock(at, d.finishBlock(int(x.file)+int(i), blockSize, "XDD3", at)); err != nil {
				return err
			}
		}
		return nil
	})
	for _, end := range d.ends {
		free = be.AppendUint16(free, uint16(blockSize-end))
	}
	return x, free, err
}

// oneLeaf writes a directory whose hashes fit into one block.
func (d *directoryWriter) oneLeaf() ([]extent, error) {
	x, free, err := d.names()
	if err != nil {
		return nil, err
	}
	return d.w.grow(x, leafStart, 1, func(x extent) error {
		b := make([]byte, blockSize)
		d.w.treeInfo(b, 0x3df1, d.owner, x.disk, 0, 0)
		be.PutUint16(b[56:], uint16(len(d.leaves)))
		d.putLeaves(b[leafHeader:], d.leaves)
		be.PutUint32(b[blockSize-4:], uint32(len(d.blocks)))
		copy(b[blockSize-4-len(free):], free)
		sum(b, 12)
		return d.w.writeBlock(x.disk, b)
	})
}

// manyLeaves writes a directory whose hashes need a block that points to
// others.
func (d *directoryWriter) manyLeaves() ([]extent, error) {
	x, free, err := d.names()
	if err != nil {
		return nil, err
	}
	parts := slices.Collect(slices.Chunk(d.leaves, perLeaf))
	if len(parts) > perLeaf {
		return nil, fmt.Errorf("the directory has %d entries, and %d are supported in XFS", len(d.leaves)-2, perLeaf*perLeaf-2)
	}
	x, err = d.w.grow(x, leafStart, int64(len(parts))+1, func(x extent) error {
		for i := range x.count {
			n := int(x.file-leafStart) + int(i)
			if err := d.w.writeBlock(x.disk+uint64(i), d.leafBlock(parts, n, x.disk+uint64(i))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	tables := slices.Collect(slices.Chunk(free, 2*perFree))
	return d.w.grow(x, freeStart, int64(len(tables)), func(x extent) error {
		for i := range x.count {
			n := int(x.file-freeStart) + int(i)
			b := make([]byte, blockSize)
			copy(b, "XDF3")
			be.PutUint64(b[8:], d.w.sector(x.disk+uint64(i)))
			copy(b[24:], d.w.to.UUID[:])
			be.PutUint64(b[40:], d.owner)
			be.PutUint32(b[48:], uint32(n*perFree))
			be.PutUint32(b[52:], uint32(len(tables[n])/2))
			be.PutUint32(b[56:], uint32(len(tables[n])/2))
			copy(b[leafHeader:], tables[n])
			sum(b, 4)
			if err := d.w.writeBlock(x.disk+uint64(i), b); err != nil {
				return err
			}
		}
		return nil
	})
}

// leafBlock returns block n of the hashes: the one that points to the others,
// or one of these.
func (d *directoryWriter) leafBlock(parts [][]leaf, n int, fsBlock uint64) []byte {
	b := make([]byte, blockSize)
	if n == 0 {
		d.w.treeInfo(b, 0x3ebe, d.owner, fsBlock, 0, 0)
		be.PutUint16(b[56:], uint16(len(parts)))
		be.PutUint16(b[58:], 1)
		for i, p := range parts {
			be.PutUint32(b[leafHeader+leafEntry*i:], p[len(p)-1].hash)
			be.PutUint32(b[leafHeader+leafEntry*i+4:], uint32(leafStart+1+i))
		}
		sum(b, 12)
		return b
	}
	next, previous := uint32(0), uint32(0)
	if n < len(parts) {
		next = uint32(leafStart + n + 1)
	}
	if n > 1 {
		previous = uint32(leafStart + n - 1)
	}
	d.w.treeInfo(b, 0x3dff, d.owner, fsBlock, next, previous)
	be.PutUint16(b[56:], uint16(len(parts[n-1])))
	d.putLeaves(b[leafHeader:], parts[n-1])
	sum(b, 12)
	return b
}
