package ext4

import (
	"errors"
	"fmt"
)

// Offsets in a group descriptor and in an inode, as the kernel's documentation
// of ext4 gives them (filesystems/ext4: group_descr.rst, inodes.rst).
const (
	gdTableLo  = 0x08
	gdFlags    = 0x12
	gdUnusedLo = 0x1c
	gdTableHi  = 0x28
	gdUnusedHi = 0x32

	flagInodeUninit = 1

	inMode        = 0x00
	inUIDLo       = 0x02
	inAtime       = 0x08
	inCtime       = 0x0c
	inMtime       = 0x10
	inGIDLo       = 0x18
	inLinks       = 0x1a
	inGeneration  = 0x64
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

	inExtraUsed = 0x98 - 0x80 // size of the extra fields above

	rootInode  = 2
	firstInode = 11 // the ones before are reserved and hold no file of the tree
)

// inodes is the inode tables of a file system.
type inodes struct {
	f        ReadWriterAt
	offset   int64
	descs    []byte // group descriptors
	descSize int
	size     int // of an inode
	perGroup int
	sums     bool
	seed     uint32
}

func newInodes(f ReadWriterAt, offset int64, sb []byte, groups int64) (*inodes, error) {
	t := &inodes{
		f: f, offset: offset, descSize: 32,
		size:     int(le.Uint16(sb[sbInodeSize:])),
		perGroup: int(le.Uint32(sb[sbInodes:])),
		sums:     le.Uint32(sb[sbROCompat:])&roCsum != 0,
		seed:     crc32c(^uint32(0), sb[sbUUID:sbUUID+16]),
	}
	incompat := le.Uint32(sb[sbIncompat:])
	if incompat&incompatSeed != 0 {
		t.seed = le.Uint32(sb[sbChecksumSeed:])
	}
	if incompat&incompat64Bit != 0 {
		t.descSize = int(le.Uint16(sb[sbDescSize:]))
	}
	if t.size < 256 || t.size > BlockSize || t.descSize < 32 || t.descSize > 1024 || t.perGroup < firstInode || t.perGroup > 1<<18 || groups > 1<<24 {
		return nil, fmt.Errorf("inodes of %d bytes, %d in each of %d groups described in %d bytes, are not supported", t.size, t.perGroup, groups, t.descSize)
	}
	t.descs = make([]byte, int(groups)*t.descSize)
	if _, err := f.ReadAt(t.descs, offset+BlockSize); err != nil {
		return nil, fmt.Errorf("reading the group descriptors: %w", err)
	}
	return t, nil
}

// table returns the place of the inode table of a group and how many inodes at
// its start may be in use.
func (t *inodes) table(group int) (at int64, used int) {
	d := t.descs[group*t.descSize:][:t.descSize]
	block, unused := int64(le.Uint32(d[gdTableLo:])), int(le.Uint16(d[gdUnusedLo:]))
	if t.descSize >= 64 {
		block |= int64(le.Uint32(d[gdTableHi:])&0xffff) << 32
		unused |= int(le.Uint16(d[gdUnusedHi:])) << 16
	}
	if le.Uint16(d[gdFlags:])&flagInodeUninit != 0 || unused > t.perGroup {
		unused = t.perGroup
	}
	return t.offset + block*BlockSize, t.perGroup - unused
}

// normalize rewrites the inodes of all files.
func (t *inodes) normalize(root Root, epoch int64) error {
	buf := make([]byte, 0, t.perGroup*t.size)
	for g := range len(t.descs) / t.descSize {
		at, used := t.table(g)
		if used == 0 {
			continue
		}
		buf = buf[:used*t.size]
		if _, err := t.f.ReadAt(buf, at); err != nil {
			return fmt.Errorf("reading the inodes of group %d: %w", g, err)
		}
		for i := range used {
			number := uint32(g*t.perGroup + i + 1)
			inode := buf[i*t.size:][:t.size]
			switch {
			case number == rootInode:
				if err := setRoot(inode, root); err != nil {
					return err
				}
			case number < firstInode, le.Uint16(inode[inLinks:]) == 0:
				continue
			}
			if epoch != 0 {
				clampTimes(inode, epoch)
			}
			if t.sums {
				t.sum(number, inode)
			}
		}
		if _, err := t.f.WriteAt(buf, at); err != nil {
			return fmt.Errorf("writing the inodes of group %d: %w", g, err)
		}
	}
	return nil
}

func setRoot(inode []byte, root Root) error {
	const typeMask, typeDir = 0xf000, 0x4000
	if le.Uint16(inode[inMode:])&typeMask != typeDir {
		return errors.New("the root inode is not a directory")
	}
	le.PutUint16(inode[inMode:], typeDir|root.Mode&0o7777)
	le.PutUint16(inode[inUIDLo:], uint16(root.UID))
	le.PutUint16(inode[inUIDHi:], uint16(root.UID>>16))
	le.PutUint16(inode[inGIDLo:], uint16(root.GID))
	le.PutUint16(inode[inGIDHi:], uint16(root.GID>>16))
	setTime(inode, inMtime, inMtimeExtra, root.Time)
	return nil
}

func clampTimes(inode []byte, epoch int64) {
	mtime := min(getTime(inode, inMtime, inMtimeExtra), epoch)
	if le.Uint16(inode[inMode:])&modeType == modeDir {
		mtime = epoch
	}
	setTime(inode, inMtime, inMtimeExtra, mtime)
	setTime(inode, inAtime, inAtimeExtra, mtime)
	setTime(inode, inCtime, inCtimeExtra, epoch)
	setTime(inode, inCrtime, inCrtimeExtra, epoch)
}

// A time is 32 signed bits of seconds; the low two bits of its extra field
// carry on above them, and the rest are nanoseconds.

func getTime(inode []byte, at, extra int) int64 {
	t := int64(int32(le.Uint32(inode[at:])))
	if hasExtra(inode) {
		t += int64(le.Uint32(inode[extra:])&3) << 32
	}
	return t
}

func setTime(inode []byte, at, extra int, t int64) {
	if hasExtra(inode) {
		le.PutUint32(inode[extra:], uint32((t-int64(int32(t)))>>32)&3)
	} else if at == inCrtime {
		return
	}
	le.PutUint32(inode[at:], uint32(t))
}

// hasExtra reports whether an inode has the fields behind the first 128 bytes.
func hasExtra(inode []byte) bool { return le.Uint16(inode[inExtraSize:]) >= inExtraUsed }

// sum renews the checksum of an inode.
func (t *inodes) sum(number uint32, inode []byte) {
	var n [4]byte
	le.PutUint32(n[:], number)
	seed := crc32c(crc32c(t.seed, n[:]), inode[inGeneration:inGeneration+4])
	le.PutUint16(inode[inCsumLo:], 0)
	hi := le.Uint16(inode[inExtraSize:]) >= inCsumHi+2-inExtraSize
	if hi {
		le.PutUint16(inode[inCsumHi:], 0)
	}
	sum := crc32c(seed, inode)
	le.PutUint16(inode[inCsumLo:], uint16(sum))
	if hi {
		le.PutUint16(inode[inCsumHi:], uint16(sum>>16))
	}
}
