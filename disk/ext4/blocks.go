package ext4

import (
	"fmt"
	"math/bits"
)

// Offsets in the superblock and in a group descriptor that tell which blocks
// are free.
const (
	sbFreeLo   = 0x0c
	sbReserved = 0xce // blocks kept for a longer table of groups
	sbFreeHi   = 0x158

	gdBitmapLo    = 0x00
	gdFreeLo      = 0x0c
	gdBitmapSumLo = 0x18
	gdChecksum    = 0x1e
	gdBitmapHi    = 0x20
	gdFreeHi      = 0x2c
	gdBitmapSumHi = 0x38

	flagBlockUninit = 2
)

// fullError says that no block is free.
type fullError struct {
	// blocks is how many are missing at the least.
	blocks int64
}

func (e *fullError) Error() string { return "no block is free" }

// blocks hands out free blocks, the first ones first.
type blocks struct {
	t        *inodes
	sb       []byte
	perGroup int64
	total    int64
	// group is where blocks are taken from; bitmap is its bitmap and next the
	// first bit that may be free. A bitmap is written when it is left.
	group  int
	bitmap []byte
	next   int64
	taken  int64
}

func newBlocks(t *inodes, sb []byte) *blocks {
	return &blocks{t: t, sb: sb, perGroup: int64(le.Uint32(sb[sbPerGroup:])), total: blockCount(sb), group: -1}
}

func (b *blocks) desc(group int) []byte { return b.t.descs[group*b.t.descSize:][:b.t.descSize] }

// number puts together a number of which a descriptor holds the upper half
// elsewhere, if at all.
func (b *blocks) number(d []byte, lo, hi int) int64 {
	n := int64(le.Uint32(d[lo:]))
	if b.t.descSize >= 64 {
		n |= int64(le.Uint32(d[hi:])) << 32
	}
	return n
}

func (b *blocks) free(group int) int64 {
	d := b.desc(group)
	n := int64(le.Uint16(d[gdFreeLo:]))
	if b.t.descSize >= 64 {
		n |= int64(le.Uint16(d[gdFreeHi:])) << 16
	}
	return n
}

// take returns a block that was free.
func (b *blocks) take() (int64, error) {
	for {
		for ; b.bitmap != nil && b.next < b.perGroup; b.next++ {
			if b.bitmap[b.next/8]>>(b.next%8)&1 == 0 {
				b.bitmap[b.next/8] |= 1 << (b.next % 8)
				b.taken++
				return int64(b.group)*b.perGroup + b.next, nil
			}
		}
		if err := b.leave(); err != nil {
			return 0, err
		}
		for b.group++; b.group < len(b.t.descs)/b.t.descSize && b.free(b.group) == 0; b.group++ {
		}
		if b.group >= len(b.t.descs)/b.t.descSize {
			return 0, &fullError{blocks: 1}
		}
		if err := b.enter(); err != nil {
			return 0, fmt.Errorf("free blocks of group %d: %w", b.group, err)
		}
	}
}

// enter reads the bitmap of the group, or makes it if mke2fs has not.
func (b *blocks) enter() error {
	d := b.desc(b.group)
	bitmap, err := b.t.block(b.number(d, gdBitmapLo, gdBitmapHi))
	if err != nil {
		return err
	}
	flags := le.Uint16(d[gdFlags:])
	if flags&flagBlockUninit != 0 {
		b.initial(bitmap)
		le.PutUint16(d[gdFlags:], flags&^flagBlockUninit)
	}
	used := 0
	for _, x := range bitmap[:b.perGroup/8] {
		used += bits.OnesCount8(x)
	}
	// The test of all that is assumed here about the layout.
	if b.perGroup-int64(used) != b.free(b.group) {
		return fmt.Errorf("%d are said to be free, and %d are: %w", b.free(b.group), b.perGroup-int64(used), errDamaged)
	}
	b.bitmap, b.next, b.taken = bitmap, 0, 0
	return nil
}

// initial makes the bitmap of a group that holds no file. It has only its copy
// of the superblock and of the table of groups, if it has one: the inodes of
// such a group lie in another one (flex_bg).
func (b *blocks) initial(bitmap []byte) {
	clear(bitmap)
	set := func(n int64) { bitmap[n/8] |= 1 << (n % 8) }
	groups := int64(len(b.t.descs) / b.t.descSize)
	for _, g := range superblockGroups(groups) {
		if g == int64(b.group) {
			table := (int64(len(b.t.descs)) + BlockSize - 1) / BlockSize
			for n := range 1 + table + int64(le.Uint16(b.sb[sbReserved:])) {
				set(n)
			}
		}
	}
	for n := b.total - int64(b.group)*b.perGroup; n < b.perGroup; n++ {
		set(n)
	}
}

// leave writes the bitmap of the group and its numbers.
func (b *blocks) leave() error {
	if b.bitmap == nil || b.taken == 0 {
		return nil
	}
	d := b.desc(b.group)
	if _, err := b.t.f.WriteAt(b.bitmap, b.t.offset+b.number(d, gdBitmapLo, gdBitmapHi)*BlockSize); err != nil {
		return err
	}
	free := b.free(b.group) - b.taken
	le.PutUint16(d[gdFreeLo:], uint16(free))
	sum := crc32c(b.t.seed, b.bitmap[:b.perGroup/8])
	le.PutUint16(d[gdBitmapSumLo:], uint16(sum))
	if b.t.descSize >= 64 {
		le.PutUint16(d[gdFreeHi:], uint16(free>>16))
		le.PutUint16(d[gdBitmapSumHi:], uint16(sum>>16))
	}
	le.PutUint16(d[gdChecksum:], 0)
	var group [4]byte
	le.PutUint32(group[:], uint32(b.group))
	le.PutUint16(d[gdChecksum:], uint16(crc32c(crc32c(b.t.seed, group[:]), d)))
	if _, err := b.t.f.WriteAt(d, b.t.offset+BlockSize+int64(b.group*b.t.descSize)); err != nil {
		return err
	}
	all := int64(le.Uint32(b.sb[sbFreeLo:])) | int64(le.Uint32(b.sb[sbFreeHi:]))<<32
	all -= b.taken
	le.PutUint32(b.sb[sbFreeLo:], uint32(all))
	le.PutUint32(b.sb[sbFreeHi:], uint32(all>>32))
	b.bitmap = nil
	// Its checksum is made when the file system is evened out.
	_, err := b.t.f.WriteAt(b.sb, b.t.offset+sbSize)
	return err
}
