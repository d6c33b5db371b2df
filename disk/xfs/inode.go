package xfs

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Forms of what an inode holds.
const (
	formDevice  = 0
	formLocal   = 1
	formExtents = 2
)

const (
	coreSize = 176
	// room is what an inode has for its data and its attributes.
	room = inodeSize - coreSize
	// minData is what is left to the data of an inode with attributes, so
	// that a longer list of extents can become a tree.
	minData = 56
	// attrRoom is what attributes need at the least: one extent.
	attrRoom = 16
)

// fork is what an inode holds: in itself, or in blocks.
type fork struct {
	form    byte
	body    []byte
	extents int
	blocks  int64
}

// extentFork returns a fork of blocks.
func extentFork(list []extent) fork {
	f := fork{form: formExtents, extents: len(list)}
	for _, x := range list {
		f.body = be.AppendUint64(f.body, x.file<<9|x.disk>>43)
		f.body = be.AppendUint64(f.body, x.disk<<21|uint64(x.count))
		f.blocks += x.count
	}
	return f
}

// inode is an inode before it is written.
type inode struct {
	number uint64
	mode   uint32
	uid    uint32
	gid    uint32
	links  uint32
	time   int64
	size   int64
	data   fork
	attrs  *fork
	flags  uint16
}

// stamp returns a time as XFS has it: with large time stamps, nanoseconds since
// the beginning of what 32 bits of seconds could say, else seconds in the upper
// and nanoseconds in the lower half.
func (l *layout) stamp(sec int64) uint64 {
	const shift = -math.MinInt32
	if !l.bigTime {
		return uint64(uint32(int32(min(max(sec, math.MinInt32), math.MaxInt32)))) << 32
	}
	return uint64(min(max(sec, math.MinInt32)+shift, 1<<34)) * 1e9
}

// encode returns the inode as it stands on the disk.
func (w *writer) encode(n *inode) ([]byte, error) {
	b := w.emptyInode(n.number)
	be.PutUint16(b[2:], uint16(n.mode))
	b[5] = n.data.form
	be.PutUint32(b[8:], n.uid)
	be.PutUint32(b[12:], n.gid)
	be.PutUint32(b[16:], n.links)
	for _, at := range []int{32, 40, 144} {
		be.PutUint64(b[at:], w.stamp(n.time))
	}
	be.PutUint64(b[48:], w.stamp(max(n.time, w.to.Epoch)))
	be.PutUint64(b[56:], uint64(n.size))
	blocks := n.data.blocks
	be.PutUint32(b[76:], uint32(n.data.extents))
	b[83] = formExtents
	if len(n.data.body) > room {
		return nil, fmt.Errorf("it would be in %d pieces, and %d fit into an inode: the file system is too small for a file of this size", n.data.extents, room/16)
	}
	copy(b[coreSize:], n.data.body)
	if a := n.attrs; a != nil {
		at := dataRoom(n.data)
		if at+len(a.body) > room {
			return nil, errors.New("its data and its extended attributes do not fit into an inode")
		}
		b[82], b[83] = byte(at/8), a.form
		be.PutUint16(b[80:], uint16(a.extents))
		copy(b[coreSize+at:], a.body)
		blocks += a.blocks
	}
	be.PutUint64(b[64:], uint64(blocks))
	be.PutUint16(b[90:], n.flags)
	be.PutUint64(b[104:], 1)
	if w.bigTime {
		const flag = 0x8
		be.PutUint64(b[120:], flag)
	}
	sum(b, 100)
	return b, nil
}

// dataRoom returns what the data takes in an inode with attributes.
func dataRoom(f fork) int {
	n := (len(f.body) + 7) &^ 7
	if f.form == formDevice {
		return 8
	}
	return max(n, minData)
}

// emptyInode returns an inode that holds nothing; its checksum is missing.
func (w *writer) emptyInode(number uint64) []byte {
	b := make([]byte, inodeSize)
	copy(b, "IN")
	b[4] = 3
	be.PutUint32(b[92:], crc32.Checksum(be.AppendUint64(w.to.UUID[:len(w.to.UUID):len(w.to.UUID)], number), castagnoli)|1)
	be.PutUint32(b[96:], none32)
	be.PutUint64(b[152:], number)
	copy(b[160:], w.to.UUID[:])
	return b
}

// writeInode writes an inode to its place.
func (w *writer) writeInode(number uint64, b []byte) error {
	_, err := w.to.Disk.WriteAt(b, w.place(number>>perLog)+int64(number&(perBlock-1))*inodeSize)
	return err
}

// file writes a file and its inode; parent is the directory above a directory.
func (w *writer) file(ctx context.Context, f, parent *content.File) error {
	n := &inode{number: w.numbers[f], mode: f.Mode, uid: f.UID, gid: f.GID, links: f.Links, time: f.Time, size: f.Size}
	// What is left to the data if there are attributes.
	limit := room
	if len(f.Attributes) > 0 {
		limit = room - attrRoom
	}
	var err error
	switch f.Kind() {
	case unix.S_IFREG:
		var list []extent
		if list, err = w.data(ctx, f); err == nil {
			n.data = extentFork(list)
		}
	case unix.S_IFDIR:
		n.data, n.size, err = w.directory(f, parent, limit)
	case unix.S_IFLNK:
		n.size = int64(len(f.Link))
		n.data, err = w.link(n.number, f.Link, limit)
	default:
		// The device number is in an inode even if it means nothing.
		n.data = fork{form: formDevice, body: be.AppendUint32(nil, f.Major<<18|f.Minor)}
	}
	if err != nil {
		return err
	}
	if len(f.Attributes) > 0 {
		if n.attrs, err = w.attributes(n.number, f.Attributes, room-dataRoom(n.data)); err != nil {
			return err
		}
	}
	b, err := w.encode(n)
	if err != nil {
		return err
	}
	return w.writeInode(n.number, b)
}

// link returns the text of a link, in the inode or in a block.
func (w *writer) link(owner uint64, text string, limit int) (fork, error) {
	const header, longest = 56, 1023
	if len(text) <= limit {
		return fork{form: formLocal, body: []byte(text)}, nil
	}
	if len(text) > longest {
		return fork{}, fmt.Errorf("the link has %d bytes, and XFS takes %d", len(text), longest)
	}
	list, err := w.grow(nil, 0, 1, nil)
	if err != nil {
		return fork{}, err
	}
	b := make([]byte, blockSize)
	copy(b, "XSLM")
	be.PutUint32(b[8:], uint32(len(text)))
	copy(b[16:], w.to.UUID[:])
	be.PutUint64(b[32:], owner)
	be.PutUint64(b[40:], w.sector(list[0].disk))
	copy(b[header:], text)
	sum(b, 12)
	return extentFork(list), w.writeBlock(list[0].disk, b)
}

// otherInodes writes the two inodes of a real-time part, which is empty, and
// those that hold nothing.
func (w *writer) otherInodes() error {
	const newBitmap = 0x4
	for i := range int64(specials - 1) {
		n := &inode{number: w.special(i + 1), mode: unix.S_IFREG, links: 1, time: w.to.Epoch, data: fork{form: formExtents}}
		if i == 0 {
			n.flags = newBitmap
		}
		b, err := w.encode(n)
		if err != nil {
			return err
		}
		if err := w.writeInode(n.number, b); err != nil {
			return err
		}
	}
	for _, g := range w.ags {
		for i := g.inodes; i < g.chunks*perChunk; i++ {
			number := w.inode(g.number, g.chunk+i/perBlock, i%perBlock)
			b := w.emptyInode(number)
			sum(b, 100)
			if err := w.writeInode(number, b); err != nil {
				return err
			}
		}
	}
	return nil
}
