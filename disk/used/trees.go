package used

import "io"

// maxNodes bounds how many blocks of a tree are followed.
const maxNodes = 1 << 20

// xfsRanges reads the tree of free space, sorted by block, of each group. The log is
// in use, and so is the list of blocks that the trees themselves may take.
func xfsRanges(r io.ReaderAt, size int64) ([]Range, error) {
	const multipleSectors = 9
	b, err := readAt(r, 0, 512)
	if err != nil {
		return nil, err
	}
	block, length, groups := int64(be.Uint32(b[4:])), int64(be.Uint32(b[84:])), int64(be.Uint32(b[88:]))
	sector, total := int64(be.Uint16(b[102:])), be.Uint64(b[8:])
	if string(b[:4]) != "XFSB" || block < 512 || block > 65536 || sector < 1<<multipleSectors || sector > block ||
		groups == 0 || groups > maxNodes || length == 0 || total > uint64(size/block) {
		return nil, errUnknown
	}
	var free []Range
	for g := range groups {
		header, err := readAt(r, g*length*block+sector, 64)
		if err != nil {
			return nil, err
		}
		if string(header[:4]) != "XAGF" {
			return nil, errUnknown
		}
		if free, err = xfsTree(r, free, g*length*block, int64(be.Uint32(header[16:])), int(be.Uint32(header[28:])), block); err != nil {
			return nil, err
		}
	}
	return without(free, size), nil
}

// xfsTree adds what one tree lists, whose root is a block of the group that
// starts at base.
func xfsTree(r io.ReaderAt, free []Range, base, root int64, levels int, block int64) ([]Range, error) {
	const header, none = 56, 0xffffffff
	if levels < 1 || levels > 8 {
		return nil, errUnknown
	}
	at := root
	for nodes := 0; ; nodes++ {
		b, err := readAt(r, base+at*block, int(block))
		if err != nil {
			return nil, err
		}
		records := int(be.Uint16(b[6:]))
		if string(b[:4]) != "AB3B" || int(be.Uint16(b[4:])) != levels-1 || nodes > maxNodes {
			return nil, errUnknown
		}
		if levels > 1 {
			// Down to the first leaf: the pointers follow all keys that fit.
			most := (int(block) - header) / 12
			if records == 0 || records > most {
				return nil, errUnknown
			}
			at, levels = int64(be.Uint32(b[header+8*most:])), levels-1
			continue
		}
		if records > (int(block)-header)/8 {
			return nil, errUnknown
		}
		for i := range records {
			e := b[header+8*i:]
			start, count := int64(be.Uint32(e)), int64(be.Uint32(e[4:]))
			free = append(free, Range{base + start*block, base + (start+count)*block})
		}
		next := be.Uint32(b[12:])
		if next == none {
			return free, nil
		}
		at = int64(next)
	}
}

// btrfsRanges reads the tree of chunks. A chunk is in use as a whole: a file system
// that was just made has few, and none is much larger than what it holds.
func btrfsRanges(r io.ReaderAt, size int64) ([]Range, error) {
	const super = 65536
	b, err := readAt(r, super, 4096)
	if err != nil {
		return nil, err
	}
	node := int64(le.Uint32(b[148:]))
	if string(b[64:72]) != "_BHRfS_M" || le.Uint64(b[112:]) > uint64(size) || node < 4096 || node > 65536 || le.Uint64(b[136:]) != 1 {
		return nil, errUnknown
	}
	// What lies before the first MiB is the superblock and room for boot code.
	out := []Range{{0, 1 << 20}}
	out, err = btrfsNode(r, out, int64(le.Uint64(b[88:])), int(node), int(b[199]), new(int))
	if err != nil {
		return nil, err
	}
	for _, at := range []int64{64 << 20, 256 << 30} {
		out = append(out, Range{at, at + 4096})
	}
	return out, nil
}

// btrfsNode adds the chunks below a node. Addresses of chunks are places on the
// device in what is read here.
func btrfsNode(r io.ReaderAt, out []Range, at int64, size, level int, nodes *int) ([]Range, error) {
	const header, chunkItem = 101, 228
	b, err := readAt(r, at, size)
	if err != nil {
		return nil, err
	}
	items := int(le.Uint32(b[96:]))
	if *nodes++; int(b[100]) != level || level > 7 || *nodes > maxNodes {
		return nil, errUnknown
	}
	if level > 0 {
		for i := range items {
			if header+33*(i+1) > size {
				return nil, errUnknown
			}
			if out, err = btrfsNode(r, out, int64(le.Uint64(b[header+33*i+17:])), size, level-1, nodes); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	for i := range items {
		if header+25*(i+1) > size {
			return nil, errUnknown
		}
		e := b[header+25*i:]
		if e[8] != chunkItem {
			continue
		}
		start, data := int64(le.Uint64(e[9:])), header+int64(le.Uint32(e[17:]))
		if data+80 > int64(size) {
			return nil, errUnknown
		}
		c := b[data:]
		length := int64(le.Uint64(c))
		if le.Uint16(c[44:]) != 1 || int64(le.Uint64(c[56:])) != start || start < 0 || length < 0 {
			return nil, errUnknown // not one copy, or elsewhere
		}
		out = append(out, Range{start, start + length})
	}
	return out, nil
}
