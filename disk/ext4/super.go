package ext4

import "slices"

// Features; see the chapter "Super Block".
const (
	compatJournal, compatAttributes, compatResize, compatIndex         = 0x4, 0x8, 0x10, 0x20
	incompatFileType, incompatExtents, incompat64Bit, incompatFlexible = 0x2, 0x40, 0x80, 0x200
	roSparse, roLarge, roHuge, roGroupSums, roLinks, roExtra, roSums   = 0x1, 0x2, 0x8, 0x10, 0x20, 0x40, 0x400
)

// superAt is where the superblock begins in the first block; superSize is its
// size.
const (
	superAt   = 1024
	superSize = 1024
)

// superblock returns the superblock but for what differs in its copies.
func (w *writer) superblock(freeBlocks, freeInodes int64) []byte {
	const magic, clean, goOn, revision, never = 0xef53, 1, 1, 1, 0xffff
	const signedHash, crc, mountAttributes, mountACL = 1, 1, 4, 8
	b := make([]byte, superSize)
	put16 := func(at int, n int64) { le.PutUint16(b[at:], uint16(n)) }
	put32 := func(at int, n int64) { le.PutUint32(b[at:], uint32(n)) }
	split := func(lo, hi int, n int64) { put32(lo, n); put32(hi, n>>32) }
	put32(0x00, w.inodesPerGroup*w.groups)
	split(0x04, 0x150, w.blocks)
	split(0x08, 0x154, w.blocks/20) // kept for root
	split(0x0c, 0x158, freeBlocks)
	put32(0x10, freeInodes)
	put32(0x18, 2) // blocks of 1024 << 2 bytes
	put32(0x1c, 2)
	put32(0x20, blocksPerGroup)
	put32(0x24, blocksPerGroup)
	put32(0x28, w.inodesPerGroup)
	put32(0x30, w.to.Epoch) // written
	put16(0x36, never)      // number of mounts before a check
	put16(0x38, magic)
	put16(0x3a, clean)
	put16(0x3c, goOn) // after an error
	put32(0x40, w.to.Epoch)
	put32(0x4c, revision)
	put32(0x54, firstInode)
	put16(0x58, inodeSize)
	compat := int64(compatJournal | compatAttributes | compatIndex)
	if w.reserved > 0 {
		compat |= compatResize
	}
	put32(0x5c, compat)
	put32(0x60, incompatFileType|incompatExtents|incompat64Bit|incompatFlexible)
	sums := int64(roGroupSums)
	if w.sums {
		sums = roSums
		b[0x175] = crc
	}
	put32(0x64, roSparse|roLarge|roHuge|roLinks|roExtra|sums)
	copy(b[0x68:], w.to.UUID[:])
	copy(b[0x78:], w.to.Label)
	put16(0xce, w.reserved)
	put32(0xe0, journalInode)
	for i, word := range hashSeed(w.to.UUID) {
		le.PutUint32(b[0xec+4*i:], word)
	}
	b[0xfc] = hashMD4
	b[0xfd] = 1 // the journal's inode is kept here too
	put16(0xfe, descSize)
	put32(0x100, mountAttributes|mountACL)
	put32(0x108, w.to.Epoch) // made
	copy(b[0x10c:], w.journalMap)
	split(0x10c+dataSize+4, 0x10c+dataSize, w.journal*blockSize)
	put16(0x15c, extraSize)
	put16(0x15e, extraSize)
	put32(0x160, signedHash)
	for n := w.flex; n > 1; n /= 2 {
		b[0x174]++
	}
	return b
}

// Flags of a group; see the chapter "Block Group Descriptors".
const (
	flagInodesUnused = 1 // the bitmap of inodes is not written
	flagBlocksUnused = 2 // nor that of blocks
)

// finish writes what describes the groups, once all blocks are taken.
func (w *writer) finish() error {
	// The reserved inodes are used; the root has been counted.
	w.groupUse[0].inodes += firstInode - 2
	descs := make([]byte, w.descBlocks*blockSize)
	var freeBlocks, freeInodes int64
	for n := range w.groups {
		d := descs[n*descSize:][:descSize]
		if err := w.describe(n, d); err != nil {
			return err
		}
		freeBlocks += w.groupLen(n) - w.groupUse[n].next
		freeInodes += w.inodesPerGroup - w.groupUse[n].inodes
	}
	super := w.superblock(freeBlocks, freeInodes)
	for n := w.groups - 1; n >= 0; n-- {
		if !hasSuper(n) {
			continue
		}
		if err := w.writeBlocks(n*blocksPerGroup+1, descs); err != nil {
			return err
		}
		le.PutUint16(super[0x5a:], uint16(n))
		const sumAt = 0x3fc
		w.putSum(super[sumAt:], ^uint32(0), super[:sumAt])
		at := w.to.Offset + n*blocksPerGroup*blockSize
		if n == 0 {
			at += superAt // what is before belongs to a boot loader
		}
		if _, err := w.to.Disk.WriteAt(super, at); err != nil {
			return err
		}
	}
	return nil
}

// describe fills the descriptor of a group and writes its bitmaps, where they
// say anything that is not known without them.
func (w *writer) describe(n int64, d []byte) error {
	g := w.groupUse[n]
	split := func(lo, hi int, v int64) {
		le.PutUint16(d[lo:], uint16(v))
		le.PutUint16(d[hi:], uint16(v>>16))
	}
	block := func(lo, hi int, v int64) {
		le.PutUint32(d[lo:], uint32(v))
		le.PutUint32(d[hi:], uint32(v>>32))
	}
	block(0x00, 0x20, w.blockBitmap(n))
	block(0x04, 0x24, w.inodeBitmap(n))
	block(0x08, 0x28, w.inodeTable(n))
	split(0x0c, 0x2c, w.groupLen(n)-g.next)
	split(0x0e, 0x2e, w.inodesPerGroup-g.inodes)
	split(0x10, 0x30, g.dirs)
	split(0x1c, 0x32, w.inodesPerGroup-g.inodes) // never used, at the table's end
	flags := uint16(0)
	first, _ := w.flexOf(n)
	if g.next == w.superLen(n) && n != first && n != w.groups-1 {
		flags |= flagBlocksUnused
	} else {
		b := bitmap(g.next)
		fillFrom(b, w.groupLen(n))
		if err := w.writeBlocks(w.blockBitmap(n), b); err != nil {
			return err
		}
		if w.sums {
			split(0x18, 0x38, int64(crc32c(w.seed, b)))
		}
	}
	if g.inodes == 0 {
		flags |= flagInodesUnused
	} else {
		b := bitmap(g.inodes)
		fillFrom(b, w.inodesPerGroup)
		if err := w.writeBlocks(w.inodeBitmap(n), b); err != nil {
			return err
		}
		if w.sums {
			split(0x1a, 0x3a, int64(crc32c(w.seed, b[:w.inodesPerGroup/8])))
		}
	}
	le.PutUint16(d[0x12:], flags)
	w.sumGroup(n, d)
	return nil
}

// sumGroup gives the descriptor of a group its checksum, which is over the
// group's number and all of the descriptor but the checksum itself. Before
// metadata had checksums it was a CRC-16 that began with the identifier.
func (w *writer) sumGroup(n int64, d []byte) {
	const sumAt = 0x1e
	number := le.AppendUint32(nil, uint32(n))
	if w.sums {
		le.PutUint16(d[sumAt:], uint16(crc32c(crc32c(w.seed, number), d)))
		return
	}
	sum := crc16(crc16(^uint16(0), w.to.UUID[:]), number)
	le.PutUint16(d[sumAt:], crc16(crc16(sum, d[:sumAt]), d[sumAt+2:]))
}

// bitmap returns a block with the first n bits set.
func bitmap(n int64) []byte {
	b := slices.Repeat([]byte{0xff}, int(n/8))
	if n%8 != 0 {
		b = append(b, 1<<(n%8)-1)
	}
	return append(b, make([]byte, blockSize-len(b))...)
}

// fillFrom sets the bits from n on, which stand for nothing.
func fillFrom(b []byte, n int64) {
	for ; n%8 != 0; n++ {
		b[n/8] |= 1 << (n % 8)
	}
	for i := n / 8; i < int64(len(b)); i++ {
		b[i] = 0xff
	}
}
