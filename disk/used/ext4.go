package used

import "io"

// Flags of a group of blocks.
const (
	groupNoInodes  = 1 // its inodes were never written
	groupNoBlocks  = 2 // its bitmap was never written: nothing but metadata
	groupZeroTable = 4 // its table of inodes was filled with zeros
)

// ext4Super is what the superblock says.
type ext4Super struct {
	block, blocks, first, perGroup, inodes, inodeSize, descriptor, reserved int64
	compat, incompat, readonly                                              uint32
	sparse                                                                  [2]uint32
}

func readExt4Super(r io.ReaderAt) (*ext4Super, error) {
	const (
		metaGroups = 0x10
		is64Bit    = 0x80
		bigalloc   = 0x200
	)
	b, err := readAt(r, 1024, 1024)
	if err != nil {
		return nil, err
	}
	s := &ext4Super{
		blocks: int64(le.Uint32(b[4:])), first: int64(le.Uint32(b[0x14:])), perGroup: int64(le.Uint32(b[0x20:])),
		inodes: int64(le.Uint32(b[0x28:])), inodeSize: int64(le.Uint16(b[0x58:])), descriptor: 32, reserved: int64(le.Uint16(b[0xce:])),
		compat: le.Uint32(b[0x5c:]), incompat: le.Uint32(b[0x60:]), readonly: le.Uint32(b[0x64:]),
		sparse: [2]uint32{le.Uint32(b[0x24c:]), le.Uint32(b[0x250:])},
	}
	shift := le.Uint32(b[0x18:])
	if le.Uint16(b[0x38:]) != 0xef53 || shift > 6 || s.incompat&metaGroups != 0 || s.readonly&bigalloc != 0 {
		return nil, errUnknown
	}
	s.block = 1024 << shift
	if s.incompat&is64Bit != 0 {
		s.blocks |= int64(le.Uint32(b[0x150:])&0xffff) << 32
		s.descriptor = int64(le.Uint16(b[0xfe:]))
	}
	if s.perGroup == 0 || s.perGroup > 8*s.block || s.descriptor < 32 || s.descriptor > 1024 || s.blocks <= s.first ||
		s.inodeSize < 128 || s.inodeSize > s.block || s.inodes > 8*s.block {
		return nil, errUnknown
	}
	return s, nil
}

// hasSuper tells whether a group has copies of the superblock and of the
// descriptors.
func (s *ext4Super) hasSuper(group int64) bool {
	const sparseSuper, sparseSuper2 = 1, 0x200
	if group <= 1 && s.compat&sparseSuper2 == 0 || group == 0 {
		return true
	}
	if s.compat&sparseSuper2 != 0 {
		return group == int64(s.sparse[0]) || group == int64(s.sparse[1])
	}
	if s.readonly&sparseSuper == 0 {
		return true
	}
	for _, base := range []int64{3, 5, 7} {
		n := base
		for n < group {
			n *= base
		}
		if n == group {
			return true
		}
	}
	return false
}

// ext4Ranges reads the bitmaps. Of a table of inodes that was not filled with zeros
// the kernel and e2fsck read only the part that is in use, which each group
// counts; the rest is written before it is read.
func ext4Ranges(r io.ReaderAt, size int64) ([]Range, error) {
	s, err := readExt4Super(r)
	if err != nil {
		return nil, err
	}
	if s.blocks > size/s.block {
		return nil, errUnknown
	}
	groups := (s.blocks - s.first + s.perGroup - 1) / s.perGroup
	if groups*s.descriptor > 1<<30 {
		return nil, errUnknown
	}
	table, err := readAt(r, (s.first+1)*s.block, int(groups*s.descriptor))
	if err != nil {
		return nil, err
	}
	overhead := 1 + (groups*s.descriptor+s.block-1)/s.block + s.reserved
	// Before the first block there may be room for boot code.
	out := []Range{{0, s.first * s.block}}
	var unused []Range
	for g := range groups {
		d := table[g*s.descriptor:][:s.descriptor]
		wide := func(low, high int) int64 {
			v := int64(le.Uint32(d[low:]))
			if len(d) >= 64 {
				v |= int64(le.Uint32(d[high:])) << 32
			}
			return v * s.block
		}
		flags := le.Uint16(d[0x12:])
		start := s.first + g*s.perGroup
		bitmap, inodeTable := wide(0, 0x20), wide(8, 0x28)
		out = append(out, Range{bitmap, bitmap + s.block})
		if flags&groupNoInodes == 0 {
			b := wide(4, 0x24)
			out = append(out, Range{b, b + s.block})
		}
		if flags&groupNoBlocks != 0 {
			if s.hasSuper(g) {
				out = append(out, Range{start * s.block, (start + overhead) * s.block})
			}
		} else if out, err = ext4Bitmap(r, out, bitmap, start, min(s.perGroup, s.blocks-start), s.block); err != nil {
			return nil, err
		}
		if flags&groupZeroTable == 0 {
			n := s.inodes - int64(le.Uint16(d[0x1c:]))
			if flags&groupNoInodes != 0 {
				n = 0
			}
			used := (n*s.inodeSize + s.block - 1) / s.block * s.block
			unused = append(unused, Range{inodeTable + used, inodeTable + s.inodes*s.inodeSize/s.block*s.block})
		}
	}
	return subtract(Merge(out, size), Merge(unused, size)), nil
}

// ext4Bitmap adds the blocks of a group that its bitmap marks.
func ext4Bitmap(r io.ReaderAt, out []Range, at, first, count, block int64) ([]Range, error) {
	b, err := readAt(r, at, int(block))
	if err != nil {
		return nil, err
	}
	if count > 8*block {
		return nil, errUnknown
	}
	for i := range count {
		if b[i/8]&(1<<(i%8)) != 0 {
			out = appendRun(out, Range{(first + i) * block, (first + i + 1) * block})
		}
	}
	return out, nil
}

// subtract takes the second list out of the first; both are merged.
func subtract(from, take []Range) []Range {
	var out []Range
	for _, r := range from {
		for len(take) > 0 && take[0].End <= r.Start {
			take = take[1:]
		}
		at := r.Start
		for _, t := range take {
			if t.Start >= r.End {
				break
			}
			if t.Start > at {
				out = append(out, Range{at, t.Start})
			}
			at = max(at, t.End)
		}
		if at < r.End {
			out = append(out, Range{at, r.End})
		}
	}
	return out
}
