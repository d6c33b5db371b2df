package ext4

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// Places in an inode; see the chapter "Index Nodes".
const (
	inMode        = 0x00
	inUIDLo       = 0x02
	inSizeLo      = 0x04
	inAtime       = 0x08
	inCtime       = 0x0c
	inMtime       = 0x10
	inGIDLo       = 0x18
	inLinks       = 0x1a
	inBlocksLo    = 0x1c
	inFlags       = 0x20
	inData        = 0x28
	inFileACLLo   = 0x68
	inSizeHi      = 0x6c
	inBlocksHi    = 0x74
	inFileACLHi   = 0x76
	inUIDHi       = 0x78
	inGIDHi       = 0x7a
	inCsumLo      = 0x7c
	inExtraSize   = 0x80
	inCsumHi      = 0x82
	inCtimeExtra  = 0x84
	inMtimeExtra  = 0x88
	inAtimeExtra  = 0x8c
	inCrtime      = 0x90
	inCrtimeExtra = 0x94

	// extraSize is the size of the fields behind the first 128 bytes, attrAt
	// where attributes begin behind them.
	extraSize = 32
	attrAt    = 128 + extraSize
	dataSize  = 60

	flagIndex   = 0x1000
	flagExtents = 0x80000

	// maxLinks is the largest number of links; a directory with more says 1.
	maxLinks = 65000
	// fastLink is the length of the longest link that is in the inode.
	fastLink = dataSize - 1
)

// inode is an inode before it is written.
type inode struct {
	number   uint32
	mode     uint32
	uid, gid uint32
	links    uint32
	time     int64
	size     int64
	flags    uint32
	data     [dataSize]byte
	blocks   int64 // of data and of what describes it
}

// inodeSeed starts the checksums of what belongs to an inode. Its generation is
// always 0.
func (w *writer) inodeSeed(number uint32) uint32 {
	var b [8]byte
	le.PutUint32(b[:], number)
	return crc32c(w.seed, b[:])
}

// A time is 32 signed bits of seconds; the low two bits of its extra field
// carry on above them, and the rest are nanoseconds.
func setTime(b []byte, at, extra int, t int64) {
	const first, last = -1 << 31, 1<<34 - 1<<31 - 1
	t = min(max(t, first), last)
	le.PutUint32(b[extra:], uint32((t-int64(int32(t)))>>32)&3)
	le.PutUint32(b[at:], uint32(t))
}

// encode returns the inode as it stands on the disk, but for its checksum. Of a
// file of the tree, the time of the last change of the inode is that of the
// build.
func (w *writer) encode(n *inode) []byte {
	b := make([]byte, inodeSize)
	le.PutUint16(b[inMode:], uint16(n.mode))
	le.PutUint16(b[inUIDLo:], uint16(n.uid))
	le.PutUint16(b[inUIDHi:], uint16(n.uid>>16))
	le.PutUint16(b[inGIDLo:], uint16(n.gid))
	le.PutUint16(b[inGIDHi:], uint16(n.gid>>16))
	le.PutUint32(b[inSizeLo:], uint32(n.size))
	le.PutUint32(b[inSizeHi:], uint32(n.size>>32))
	le.PutUint16(b[inLinks:], uint16(n.links))
	le.PutUint32(b[inFlags:], n.flags)
	copy(b[inData:], n.data[:])
	le.PutUint16(b[inExtraSize:], extraSize)
	changed := n.time
	if w.to.Epoch != 0 {
		changed = w.to.Epoch
	}
	setTime(b, inAtime, inAtimeExtra, n.time)
	setTime(b, inMtime, inMtimeExtra, n.time)
	setTime(b, inCtime, inCtimeExtra, changed)
	setTime(b, inCrtime, inCrtimeExtra, changed)
	setBlocks(b, n.blocks)
	return b
}

// setBlocks writes the number of blocks of a file, which counts in sectors.
func setBlocks(b []byte, blocks int64) {
	sectors := blocks * (blockSize / 512)
	le.PutUint32(b[inBlocksLo:], uint32(sectors))
	le.PutUint16(b[inBlocksHi:], uint16(sectors>>32))
}

// writeInode gives an inode its checksum and writes it. Those of files come in
// the order of their numbers, so that a block of the table is written once.
func (w *writer) writeInode(number uint32, b []byte) error {
	if w.sums {
		sum := crc32c(w.inodeSeed(number), b)
		le.PutUint16(b[inCsumLo:], uint16(sum))
		le.PutUint16(b[inCsumHi:], uint16(sum>>16))
	}
	if number < firstInode {
		w.reserve[number] = b
		return nil
	}
	group, index := w.place(number)
	block := w.inodeTable(group) + index/perBlock
	if block != w.tableBlock {
		if err := w.flushInodes(); err != nil {
			return err
		}
		w.tableBlock = block
	}
	copy(w.table[index%perBlock*inodeSize:], b)
	return nil
}

// flushInodes writes the block of inodes that was begun.
func (w *writer) flushInodes() error {
	if w.tableBlock < 0 {
		return nil
	}
	if w.tableBlock == w.inodeTable(0) {
		for number, b := range w.reserve {
			copy(w.table[(number-1)*inodeSize:], b)
		}
	}
	err := w.writeBlocks(w.tableBlock, w.table)
	clear(w.table)
	return err
}

// place returns the group of an inode and its index in the group's table.
func (w *writer) place(number uint32) (group, index int64) {
	return int64(number-1) / w.inodesPerGroup, int64(number-1) % w.inodesPerGroup
}

// file writes a file and its inode; parent is the directory above a directory.
func (w *writer) file(ctx context.Context, f, parent *content.File) error {
	n := &inode{number: w.numbers[f], mode: f.Mode, uid: f.UID, gid: f.GID, links: f.Links, time: f.Time, size: f.Size}
	seed := w.inodeSeed(n.number)
	var list []extent
	var err error
	switch f.Kind() {
	case unix.S_IFREG:
		n.flags = flagExtents
		list, err = w.data(ctx, f)
	case unix.S_IFDIR:
		n.flags = flagExtents
		var indexed bool
		if list, indexed, err = w.directory(f, parent, seed); indexed {
			n.flags |= flagIndex
		}
		if n.size = count(list) * blockSize; n.links > maxLinks {
			n.links = 1
		}
		group, _ := w.place(n.number)
		w.groupUse[group].dirs++
	case unix.S_IFLNK:
		n.size = int64(len(f.Link))
		if len(f.Link) <= fastLink {
			copy(n.data[:], f.Link)
			break
		}
		n.flags = flagExtents
		list, err = w.link(f.Link)
	default:
		device(n.data[:], f.Major, f.Minor)
	}
	if err != nil {
		return err
	}
	if n.links > maxLinks {
		return fmt.Errorf("it has %d names, and ext4 can have %d of a file", n.links, maxLinks)
	}
	if n.flags&flagExtents != 0 {
		n.blocks, err = w.extentTree(seed, list, n.data[:])
		if err != nil {
			return err
		}
		n.blocks += count(list)
	}
	group, _ := w.place(n.number)
	w.groupUse[group].inodes++
	b := w.encode(n)
	if len(f.Attributes) > 0 {
		if err := w.attributes(b, n, f.Attributes); err != nil {
			return err
		}
	}
	return w.writeInode(n.number, b)
}

// link writes the text of a link that does not fit into its inode.
func (w *writer) link(text string) ([]extent, error) {
	if len(text) >= blockSize {
		return nil, fmt.Errorf("the link has %d bytes, and ext4 takes %d", len(text), blockSize-1)
	}
	return w.grow(nil, 0, 1, func(x extent) error {
		return w.writeBlocks(x.disk, append([]byte(text), make([]byte, blockSize-len(text))...))
	})
}

// device puts the number of a device where the kernel looks: in the first word
// if it fits into 16 bits, else in the second.
func device(b []byte, major, minor uint32) {
	if major < 1<<8 && minor < 1<<8 {
		le.PutUint32(b, major<<8|minor)
		return
	}
	le.PutUint32(b[4:], minor&0xff|major<<8|minor&^0xff<<12)
}
