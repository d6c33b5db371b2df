package xfs

import (
	"context"
	"fmt"
	"slices"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// writer writes one file system.
type writer struct {
	geometry
	c   *content.Tree
	to  content.Target
	buf []byte

	ags []*group
	// current is the group that blocks are taken from.
	current int
	numbers map[*content.File]uint64
	// used is the number of inodes that hold something, chunks how many chunks
	// there are.
	used, chunks int64
}

// group is an allocation group.
type group struct {
	number int64
	next   int64 // first block that nothing uses; all behind it is free
	// chunk is the first block of its inodes, chunks how many chunks they are
	// and inodes how many are used.
	chunk, chunks, inodes int64
	inodeLeaves           []int64 // of the tree of inodes if it has two levels
}

// Make writes the file system. The error is a *content.TooSmallError if the
// content does not fit.
func Make(ctx context.Context, c *content.Tree, to content.Target) ([]string, error) {
	g, err := plan(to.Size, layoutOf(to.Profile))
	if err != nil {
		return nil, err
	}
	if len(to.Label) > MaxLabel {
		return nil, fmt.Errorf("the XFS label %q is longer than %d bytes", to.Label, MaxLabel)
	}
	w := &writer{geometry: g, c: c, to: to, buf: make([]byte, 1<<20), numbers: map[*content.File]uint64{}}
	if err := w.groups(); err != nil {
		return nil, err
	}
	parents := content.Parents(c.Files)
	for i, f := range c.Files {
		if i&0xff == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := w.file(ctx, f, parents[f]); err != nil {
			return nil, content.At(f, err)
		}
	}
	return nil, w.finish()
}

// specials are the inodes that belong to no file of the tree but the root.
const specials = 3

// special returns the number of the root and of the two inodes behind it.
func (w *writer) special(i int64) uint64 { return w.inode(0, w.agStart, i) }

// groups makes the allocation groups, places the log and gives every file an
// inode.
func (w *writer) groups() error {
	for n := range w.geometry.groups {
		g := &group{number: n, next: w.agStart}
		if n == w.logGroup {
			g.next += w.logBlocks
		}
		if g.next >= w.agBlocks {
			return w.full()
		}
		w.ags = append(w.ags, g)
	}
	w.used = int64(len(w.c.Files)) + specials - 1
	left := w.used
	for _, g := range w.ags {
		g.chunk = g.next
		// Half of a group is left for data.
		g.chunks = min((left+perChunk-1)/perChunk, (w.agBlocks-g.next)/2/chunkLen, maxPointers*inodeRecords)
		g.inodes = min(left, g.chunks*perChunk)
		g.next += g.chunks * chunkLen
		left -= g.inodes
		w.chunks += g.chunks
		if leaves := (g.chunks + inodeRecords - 1) / inodeRecords; leaves > 1 {
			for range leaves {
				g.inodeLeaves = append(g.inodeLeaves, g.next)
				g.next++
			}
		}
	}
	if left > 0 {
		return w.full()
	}
	slot := int64(0)
	for _, f := range w.c.Files {
		w.numbers[f] = w.slot(slot)
		if slot++; slot == 1 {
			slot = specials
		}
	}
	return nil
}

// slot returns the number of the n-th inode.
func (w *writer) slot(n int64) uint64 {
	for _, g := range w.ags {
		if n < g.chunks*perChunk {
			return w.inode(g.number, g.chunk+n/perBlock, n%perBlock)
		}
		n -= g.chunks * perChunk
	}
	return 0
}

// full is the error for a file system without a free block.
func (w *writer) full() error {
	need := Needed(w.c.Usage(), w.to.Size) + w.c.Usage().Blocks*blockSize/2
	return &content.TooSmallError{Needed: max(need+need/20, w.to.Size+w.to.Size/20), Available: w.to.Size}
}

// take takes up to n blocks in a row, at least one, and returns the first and
// how many they are.
func (w *writer) take(n int64) (uint64, int64, error) {
	for ; w.current < len(w.ags); w.current++ {
		g := w.ags[w.current]
		if free := w.agBlocks - g.next; free > 0 {
			at := w.fsBlock(g.number, g.next)
			n = min(n, free)
			g.next += n
			return at, n, nil
		}
	}
	return 0, 0, w.full()
}

// place returns where a block is in the file.
func (w *writer) place(fsBlock uint64) int64 { return w.to.Offset + w.linear(fsBlock)*blockSize }

func (w *writer) writeBlock(fsBlock uint64, b []byte) error {
	_, err := w.to.Disk.WriteAt(b, w.place(fsBlock))
	return err
}

// extent is a run of blocks of a file.
type extent struct {
	file  uint64 // first block in the file
	disk  uint64
	count int64
}

const maxExtent = 1<<21 - 1

// grow adds n blocks to a file from its block at on, and calls use for each
// run.
func (w *writer) grow(list []extent, at uint64, n int64, use func(x extent) error) ([]extent, error) {
	for n > 0 {
		disk, got, err := w.take(min(n, maxExtent))
		if err != nil {
			return nil, err
		}
		x := extent{at, disk, got}
		if use != nil {
			if err := use(x); err != nil {
				return nil, err
			}
		}
		if last := len(list) - 1; last >= 0 && list[last].file+uint64(list[last].count) == at && list[last].disk+uint64(list[last].count) == disk && list[last].count+got <= maxExtent {
			list[last].count += got
		} else {
			list = append(list, x)
		}
		at += uint64(got)
		n -= got
	}
	return list, nil
}

// maxHoles is the number of extents after which holes of a file are filled, so
// that the list of extents fits into the inode.
const maxHoles = 10

// data writes the data of a regular file.
func (w *writer) data(ctx context.Context, f *content.File) ([]extent, error) {
	var list []extent
	next := uint64(0) // first block of the file that has none on the disk
	err := w.c.Data(ctx, f, w.buf, func(off int64, data []byte) error {
		at := uint64(off / blockSize)
		data = content.Whole(data, blockSize)
		n := int64(len(data)) / blockSize
		var err error
		if at > next && len(list) >= maxHoles {
			if list, err = w.grow(list, next, int64(at-next), nil); err != nil {
				return err
			}
		}
		next = at + uint64(n)
		list, err = w.grow(list, at, n, func(x extent) error {
			_, err := w.to.Disk.WriteAt(data[int64(x.file-at)*blockSize:][:x.count*blockSize], w.place(x.disk))
			return err
		})
		return err
	})
	return list, err
}

// finish writes what describes the groups, once all blocks are taken.
func (w *writer) finish() error {
	if err := w.otherInodes(); err != nil {
		return err
	}
	if err := w.writeLog(); err != nil {
		return err
	}
	sb := w.superblock()
	// The first copy comes last: what an interrupted run leaves is no file
	// system.
	for _, g := range slices.Backward(w.ags) {
		if err := w.writeGroup(g, sb); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) freeBlocks() int64 {
	n := int64(0)
	for _, g := range w.ags {
		n += w.agBlocks - g.next + w.agStart - w.agFree() + freeListLen
	}
	return n
}
