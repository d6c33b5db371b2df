package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Root is what Normalize writes into the root directory's inode.
type Root struct {
	// Mode holds the twelve permission bits.
	Mode uint16
	// UID and GID are the owner.
	UID, GID uint32
	// Time is the modification time in seconds since 1970.
	Time int64
}

// ReadWriterAt is the part of a file that Normalize works on.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Offsets in the superblock and bits of its features, as the kernel's documentation of
// ext4 gives them (filesystems/ext4: super.rst).
const (
	sbSize         = 1024
	sbBlocksLo     = 0x04
	sbFirstBlock   = 0x14
	sbLogBlockSize = 0x18
	sbPerGroup     = 0x20
	sbInodes       = 0x28 // per group
	sbMagic        = 0x38
	sbInodeSize    = 0x58
	sbIncompat     = 0x60
	sbROCompat     = 0x64
	sbUUID         = 0x68
	sbDescSize     = 0xfe
	sbBlocksHi     = 0x150
	sbKBytes       = 0x178
	sbChecksumSeed = 0x270
	sbChecksum     = 0x3fc

	incompatMetaBG = 0x10
	incompat64Bit  = 0x80
	incompatSeed   = 0x2000
	roSparse       = 0x1
	roCsum         = 0x400
)

var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c continues a checksum the way ext4 does: without the inversions at
// both ends that the usual form has.
func crc32c(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, castagnoli, p) }

// Normalize evens out the file system that starts at offset of f, which must
// be what mke2fs has just made with blocks of 4 KiB.
//
// The root directory gets its mode, owner and time. With an epoch other than
// 0, no modification time is later than it, access times are the modification
// times (reading a file on the builder changes the former) and change times
// are the epoch, as are all times of directories: where nothing of a directory
// has changed but its time, as by a file that came and went, a layer does not
// keep the change, so that the time depends on where the tree has been. The
// count of kilobytes written, which depends on how the tree
// was stored on the builder, becomes zero in every copy of the superblock.
// Checksums are renewed.
func Normalize(f ReadWriterAt, offset int64, root Root, epoch int64) error {
	sb, groups, err := readSuper(f, offset)
	if err != nil {
		return err
	}
	t, err := newInodes(f, offset, sb, groups)
	if err != nil {
		return err
	}
	if err := t.normalize(root, epoch); err != nil {
		return err
	}
	perGroup := int64(le.Uint32(sb[sbPerGroup:]))
	for _, g := range superblockGroups(groups) {
		at := offset + g*perGroup*BlockSize
		if g == 0 {
			at += sbSize
		}
		if err := clearWritten(f, at); err != nil {
			return fmt.Errorf("superblock of group %d: %w", g, err)
		}
	}
	return nil
}

// readSuper reads the superblock and returns it with the number of groups.
func readSuper(f io.ReaderAt, offset int64) (sb []byte, groups int64, err error) {
	sb = make([]byte, sbSize)
	if _, err := f.ReadAt(sb, offset+sbSize); err != nil {
		return nil, 0, fmt.Errorf("reading the superblock: %w", err)
	}
	if le.Uint16(sb[sbMagic:]) != 0xef53 {
		return nil, 0, errors.New("there is no ext4 superblock")
	}
	if le.Uint32(sb[sbLogBlockSize:]) != 2 || le.Uint32(sb[sbFirstBlock:]) != 0 ||
		le.Uint32(sb[sbROCompat:])&roSparse == 0 || le.Uint32(sb[sbIncompat:])&incompatMetaBG != 0 {
		return nil, 0, errors.New("the ext4 file system does not have blocks of 4 KiB, sparse superblocks and one table of groups")
	}
	perGroup := int64(le.Uint32(sb[sbPerGroup:]))
	blocks := blockCount(sb)
	if perGroup == 0 || blocks <= 0 || blocks > 1<<48 {
		return nil, 0, errors.New("the ext4 superblock is damaged")
	}
	return sb, (blocks + perGroup - 1) / perGroup, nil
}

// blockCount returns the number of blocks of the file system.
func blockCount(sb []byte) int64 {
	return int64(le.Uint32(sb[sbBlocksLo:])) | int64(le.Uint32(sb[sbBlocksHi:]))<<32
}

// superblockGroups lists the groups that hold a copy of the superblock: 0, 1
// and the powers of 3, 5 and 7.
func superblockGroups(groups int64) []int64 {
	out := []int64{0}
	if groups > 1 {
		out = append(out, 1)
	}
	for _, base := range []int64{3, 5, 7} {
		for g := base; g < groups; g *= base {
			out = append(out, g)
		}
	}
	return out
}

func clearWritten(f ReadWriterAt, at int64) error {
	sb := make([]byte, sbSize)
	if _, err := f.ReadAt(sb, at); err != nil {
		return err
	}
	if le.Uint16(sb[sbMagic:]) != 0xef53 {
		return errors.New("not found")
	}
	clear(sb[sbKBytes : sbKBytes+8])
	if le.Uint32(sb[sbROCompat:])&roCsum != 0 {
		le.PutUint32(sb[sbChecksum:], crc32c(^uint32(0), sb[:sbChecksum]))
	}
	_, err := f.WriteAt(sb, at)
	return err
}
