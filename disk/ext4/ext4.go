package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c continues a checksum the way ext4 does: without the inversions at
// both ends that the usual form has.
func crc32c(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, castagnoli, p) }

// crc16 continues a checksum with the polynomial 0x8005, the lowest bit first.
func crc16(sum uint16, p []byte) uint16 {
	const polynomial = 0xa001 // 0x8005 with its bits reversed
	for _, b := range p {
		sum ^= uint16(b)
		for range 8 {
			low := sum & 1
			if sum >>= 1; low != 0 {
				sum ^= polynomial
			}
		}
	}
	return sum
}

// putSum writes a checksum of p, if metadata has them.
func (w *writer) putSum(to []byte, seed uint32, p []byte) {
	if w.sums {
		le.PutUint32(to, crc32c(seed, p))
	}
}

// Numbers of inodes; see the chapter "Special inodes".
const (
	rootInode    = 2
	resizeInode  = 7
	journalInode = 8
	// firstInode is the first that belongs to no part of the file system
	// itself; the ones before are not free.
	firstInode = 11
)

// maxInodes is what 32 bits number.
const maxInodes = 1<<32 - 1

// lostAndFound is the directory in which e2fsck puts what has lost its name.
const lostAndFound = content.LostAndFound

// writer writes one file system.
type writer struct {
	geometry
	c   *content.Tree
	to  content.Target
	buf []byte
	// sums says that all metadata have checksums, which seed begins.
	sums bool
	seed uint32

	groupUse []groupUse
	// current is the group that blocks are taken from.
	current int64

	// files are what gets an inode, in the order of their numbers from
	// firstInode on but for the root.
	files   []*content.File
	numbers map[*content.File]uint32
	// table collects the inodes of one block before they are written.
	table      []byte
	tableBlock int64
	reserve    map[uint32][]byte // inodes that are not files, by number
	journalMap []byte            // what the journal's inode says of its blocks

	shared     map[string]*sharedBlock // blocks of attributes by their content
	sharedList []*sharedBlock
}

// groupUse is what a group holds.
type groupUse struct {
	next   int64 // first block that nothing uses, counted from the group's first
	inodes int64 // used, the first ones
	dirs   int64 // how many of them are directories
}

// Make writes the file system. The error is a *content.TooSmallError if the
// content does not fit.
func Make(ctx context.Context, c *content.Tree, to content.Target) ([]string, error) {
	g, err := plan(to.Size, inodeCount(c.Usage()))
	if err != nil {
		return nil, err
	}
	if len(to.Label) > MaxLabel {
		return nil, fmt.Errorf("the ext4 label %q is longer than %d bytes", to.Label, MaxLabel)
	}
	w := &writer{
		geometry: g, c: c, to: to, buf: make([]byte, 1<<20), sums: to.Profile.Reads(content.EL8), seed: crc32c(^uint32(0), to.UUID[:]),
		numbers: map[*content.File]uint32{}, reserve: map[uint32][]byte{}, shared: map[string]*sharedBlock{},
		table: make([]byte, blockSize), tableBlock: -1,
	}
	if need := Needed(c.Usage(), to.Size); need > to.Size {
		return nil, w.full()
	}
	if err := w.number(); err != nil {
		return nil, err
	}
	return nil, w.write(ctx)
}

// write writes everything, the superblock last: what an interrupted run leaves
// is no file system.
func (w *writer) write(ctx context.Context) error {
	w.groupUse = make([]groupUse, w.groups)
	for n := range w.groupUse {
		w.groupUse[n].next = w.firstFree(int64(n))
	}
	if err := w.writeJournal(); err != nil {
		return err
	}
	if err := w.writeGrowth(); err != nil {
		return err
	}
	parents := content.Parents(w.files)
	for i, f := range w.files {
		if i&0xff == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := w.file(ctx, f, parents[f]); err != nil {
			return content.At(f, err)
		}
	}
	if err := w.flushInodes(); err != nil {
		return err
	}
	if err := w.flushAttributes(); err != nil {
		return err
	}
	return w.finish()
}

// number gives every file its inode, and adds the directory for lost files if
// the tree has none.
func (w *writer) number() error {
	w.files = w.c.Files
	if i := slices.IndexFunc(w.c.Root.Entries, func(e content.Name) bool { return e.Name == lostAndFound }); i < 0 {
		root := *w.c.Root
		lost := &content.File{Path: "/" + lostAndFound, Mode: unix.S_IFDIR | 0o700, Time: w.to.Epoch, Links: 2, Attributes: w.c.Lost}
		at, _ := slices.BinarySearchFunc(root.Entries, lostAndFound, func(e content.Name, name string) int {
			if e.Name < name {
				return -1
			}
			return 1
		})
		root.Entries = slices.Insert(slices.Clone(root.Entries), at, content.Name{Name: lostAndFound, File: lost})
		root.Links++
		w.files = slices.Insert(slices.Clone(w.c.Files[1:]), 0, &root, lost)
	}
	next := int64(firstInode)
	for i, f := range w.files {
		if i == 0 {
			w.numbers[f] = rootInode
			continue
		}
		w.numbers[f] = uint32(next)
		next++
	}
	if next > min(w.inodesPerGroup*w.groups, maxInodes)+1 {
		return w.full()
	}
	return nil
}

// full is the error for a file system without a free block or inode.
func (w *writer) full() error {
	need := Needed(w.c.Usage(), w.to.Size)
	return &content.TooSmallError{Needed: max(need+need/50, w.to.Size+w.to.Size/20), Available: w.to.Size}
}

// take takes up to n blocks in a row, at least one, and returns the first and
// how many they are.
func (w *writer) take(n int64) (int64, int64, error) {
	for ; w.current < w.groups; w.current++ {
		g := &w.groupUse[w.current]
		if free := w.groupLen(w.current) - g.next; free > 0 {
			at := w.current*blocksPerGroup + g.next
			n = min(n, free)
			g.next += n
			return at, n, nil
		}
	}
	return 0, 0, w.full()
}

// writeBlocks writes to blocks, from the first on.
func (w *writer) writeBlocks(first int64, b []byte) error {
	_, err := w.to.Disk.WriteAt(b, w.to.Offset+first*blockSize)
	return err
}

// data writes the data of a regular file.
func (w *writer) data(ctx context.Context, f *content.File) ([]extent, error) {
	if f.Size > maxFileBlocks*blockSize {
		return nil, fmt.Errorf("it has %d bytes, and ext4 can have %d in a file", f.Size, int64(maxFileBlocks*blockSize))
	}
	var list []extent
	err := w.c.Data(ctx, f, w.buf, func(off int64, data []byte) (err error) {
		at := off / blockSize
		data = content.Whole(data, blockSize)
		list, err = w.grow(list, at, int64(len(data))/blockSize, func(x extent) error {
			return w.writeBlocks(x.disk, data[(x.file-at)*blockSize:][:x.count*blockSize])
		})
		return err
	})
	return list, err
}
