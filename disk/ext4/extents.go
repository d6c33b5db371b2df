package ext4

// Extents, as the chapter "Dynamic Structures", "Extent Tree" has them.
const (
	extentMagic   = 0xf30a
	extentHeader  = 12
	extentSize    = 12
	maxExtent     = 1 << 15
	inodeExtents  = 4
	blockExtents  = (blockSize - extentHeader - 4) / extentSize
	maxFileBlocks = 1<<32 - 1
)

// extent is a run of blocks of a file.
type extent struct {
	file  int64 // first block in the file
	disk  int64
	count int64
}

// grow adds n blocks to a file from its block at on, and calls use for each
// run.
func (w *writer) grow(list []extent, at, n int64, use func(x extent) error) ([]extent, error) {
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
		if last := len(list) - 1; last >= 0 && list[last].file+list[last].count == at && list[last].disk+list[last].count == disk && list[last].count+got <= maxExtent {
			list[last].count += got
		} else {
			list = append(list, x)
		}
		at += got
		n -= got
	}
	return list, nil
}

// count returns the number of blocks of a list.
func count(list []extent) int64 {
	n := int64(0)
	for _, x := range list {
		n += x.count
	}
	return n
}

// node puts entries of a tree of extents behind their header.
func node(b []byte, depth, most int, entries []byte) {
	le.PutUint16(b, extentMagic)
	le.PutUint16(b[2:], uint16(len(entries)/extentSize))
	le.PutUint16(b[4:], uint16(most))
	le.PutUint16(b[6:], uint16(depth))
	copy(b[extentHeader:], entries)
}

// extentTree fills the part of an inode that says where its blocks are. What
// does not fit there goes into blocks, whose number is returned.
func (w *writer) extentTree(seed uint32, list []extent, into []byte) (blocks int64, err error) {
	entries := make([]byte, 0, len(list)*extentSize)
	first := make([]uint32, 0, len(list)) // block in the file of each entry
	for _, x := range list {
		entries = le.AppendUint32(entries, uint32(x.file))
		entries = le.AppendUint16(entries, uint16(x.count))
		entries = le.AppendUint16(entries, uint16(x.disk>>32))
		entries = le.AppendUint32(entries, uint32(x.disk))
		first = append(first, uint32(x.file))
	}
	depth := 0
	for ; len(entries) > inodeExtents*extentSize; depth++ {
		var above []byte
		var aboveFirst []uint32
		for len(entries) > 0 {
			n := min(len(entries)/extentSize, blockExtents)
			at, _, err := w.take(1)
			if err != nil {
				return 0, err
			}
			b := make([]byte, blockSize)
			node(b, depth, blockExtents, entries[:n*extentSize])
			tail := extentHeader + blockExtents*extentSize
			w.putSum(b[tail:], seed, b[:tail])
			if err := w.writeBlocks(at, b); err != nil {
				return 0, err
			}
			blocks++
			above = le.AppendUint32(above, first[0])
			above = le.AppendUint32(above, uint32(at))
			above = le.AppendUint16(above, uint16(at>>32))
			above = le.AppendUint16(above, 0)
			aboveFirst = append(aboveFirst, first[0])
			entries, first = entries[n*extentSize:], first[n:]
		}
		entries, first = above, aboveFirst
	}
	node(into, depth, inodeExtents, entries)
	return blocks, nil
}
