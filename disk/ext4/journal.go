package ext4

import (
	"encoding/binary"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

var be = binary.BigEndian

// writeJournal makes the journal, which is empty: only its superblock is
// written; see the chapter "Journal (jbd2)".
func (w *writer) writeJournal() error {
	const magic, superblockV2 = 0xc03b3998, 4
	list, err := w.grow(nil, 0, w.journal, nil)
	if err != nil {
		return err
	}
	b := make([]byte, 1024)
	be.PutUint32(b, magic)
	be.PutUint32(b[4:], superblockV2)
	be.PutUint32(b[0x0c:], blockSize)
	be.PutUint32(b[0x10:], uint32(w.journal))
	be.PutUint32(b[0x14:], 1) // first block of the log
	be.PutUint32(b[0x18:], 1) // first transaction
	copy(b[0x30:], w.to.UUID[:])
	be.PutUint32(b[0x40:], 1) // users
	if err := w.writeBlocks(list[0].disk, b); err != nil {
		return err
	}
	n := &inode{number: journalInode, mode: unix.S_IFREG | 0o600, links: 1, time: w.to.Epoch, size: w.journal * blockSize, flags: flagExtents}
	blocks, err := w.extentTree(w.inodeSeed(journalInode), list, n.data[:])
	if err != nil {
		return err
	}
	n.blocks = blocks + w.journal
	w.journalMap = n.data[:]
	return w.writeInode(journalInode, w.encode(n))
}

// writeGrowth makes the inode whose blocks are those that the table of groups
// can grow into; see the chapter "Layout", "Reserved GDT blocks". It has no
// extents: the one but last pointer leads to a block that lists them by their
// place in the table, and each of them lists its copies in other groups.
func (w *writer) writeGrowth() error {
	if w.reserved == 0 {
		return nil
	}
	const pointers, doubly = blockSize / 4, 13
	root, _, err := w.take(1)
	if err != nil {
		return err
	}
	n := &inode{
		number: resizeInode, mode: unix.S_IFREG | 0o600, links: 1, time: w.to.Epoch,
		size: (12 + pointers + pointers*pointers) * blockSize, blocks: 1,
	}
	le.PutUint32(n.data[4*doubly:], uint32(root))
	table := make([]byte, blockSize)
	for i := range w.reserved {
		at := 1 + w.descBlocks + i
		le.PutUint32(table[(w.descBlocks+i)%pointers*4:], uint32(at))
		copies := make([]byte, 0, blockSize)
		for g := int64(1); g < w.groups; g++ {
			if hasSuper(g) {
				copies = le.AppendUint32(copies, uint32(g*blocksPerGroup+at))
			}
		}
		n.blocks += 1 + int64(len(copies)/4)
		if len(copies) > 0 {
			if err := w.writeBlocks(at, append(copies, make([]byte, blockSize-len(copies))...)); err != nil {
				return err
			}
		}
	}
	if err := w.writeBlocks(root, table); err != nil {
		return err
	}
	return w.writeInode(resizeInode, w.encode(n))
}
