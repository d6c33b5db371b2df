package fsread

import "fmt"

// Limits of the trees that say where the content of a file is.
const (
	maxDepth  = 5
	direct    = 12 // blocks that an inode itself names
	extentLen = 12
)

// content finds out where the content of a file is.
func (f *ext) content(b []byte) (*content, error) {
	size := f.size(b)
	if size < 0 {
		return nil, damaged("a file of more than 2^63 bytes")
	}
	flags := le.Uint32(b[0x20:])
	if flags&flagEncrypt != 0 {
		return nil, fmt.Errorf("an encrypted file %w", ErrUnsupported)
	}
	if flags&flagInline != 0 {
		return nil, fmt.Errorf("a file whose content lies in its inode %w", ErrUnsupported)
	}
	m := &mapper{f: f, end: (size + f.block - 1) / f.block}
	var err error
	if data := b[inodeBlocks : inodeBlocks+60]; flags&flagExtents != 0 {
		err = m.extents(data, maxDepth, 0)
	} else {
		err = m.indirect(data)
	}
	return &content{r: f.r, parts: m.parts, size: size}, err
}

// mapper collects the parts of a file.
type mapper struct {
	f     *ext
	end   int64 // the number of blocks that the file's size takes
	next  int64 // first block of the file that was not looked at
	parts []part
	lists int64 // how many nodes and lists were read
}

// add adds blocks to the file, in order.
func (m *mapper) add(file, disk, count int64) error {
	if file < m.next || disk <= 0 || disk+count > m.f.blocks {
		return damaged("block %d of a file at block %d", file, disk)
	}
	m.next = file + count
	block := m.f.block
	if last := len(m.parts) - 1; last >= 0 {
		if p := &m.parts[last]; p.file+p.size == file*block && p.disk+p.size == disk*block {
			p.size += count * block
			return nil
		}
	}
	if len(m.parts) >= maxParts {
		return damaged("a file in more than %d parts", maxParts)
	}
	m.parts = append(m.parts, part{file * block, disk * block, count * block})
	return nil
}

// extents follows a node of a tree of extents, whose depth is at most depth.
func (m *mapper) extents(node []byte, depth int, from int64) error {
	count, level := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != 0xf30a || (count+1)*extentLen > len(node) || level > depth {
		return damaged("a node of %d extents at level %d", count, level)
	}
	for i := range count {
		e := node[(i+1)*extentLen:]
		file := int64(le.Uint32(e))
		if file < from || file < m.next {
			return damaged("the extents of a file are out of order")
		}
		if level == 0 {
			length := int64(le.Uint16(e[4:]))
			disk := int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))
			// Longer ones are set aside and hold no data yet.
			if length > 1<<15 {
				m.next = file + length - 1<<15
				continue
			}
			if length == 0 {
				return damaged("an empty extent")
			}
			if err := m.add(file, disk, length); err != nil {
				return err
			}
			continue
		}
		child, err := m.block(int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:])))
		if err != nil {
			return err
		}
		// A node without entries would let a tree be large and say nothing.
		if le.Uint16(child[2:]) == 0 {
			return damaged("an empty node of extents")
		}
		if err := m.extents(child, level-1, file); err != nil {
			return err
		}
	}
	return nil
}

func (m *mapper) block(number int64) ([]byte, error) {
	if number <= 0 || number >= m.f.blocks {
		return nil, damaged("block %d of %d", number, m.f.blocks)
	}
	// One that leads to itself would be read again and again.
	if m.lists++; m.lists > m.f.blocks {
		return nil, damaged("more lists of blocks than there are blocks")
	}
	b := make([]byte, m.f.block)
	return b, readFull(m.f.r, b, number*m.f.block)
}

// indirect follows the lists of blocks of ext2 and ext3.
func (m *mapper) indirect(data []byte) error {
	at := int64(0)
	for i := range direct {
		if err := m.pointer(le.Uint32(data[i*4:]), 0, &at); err != nil {
			return err
		}
	}
	for level := 1; level <= 3; level++ {
		if err := m.pointer(le.Uint32(data[(direct+level-1)*4:]), level, &at); err != nil {
			return err
		}
	}
	return nil
}

// pointer follows one entry of a list; at is the block of the file that it
// starts at.
func (m *mapper) pointer(block uint32, level int, at *int64) error {
	span := int64(1)
	for range level {
		span *= m.f.block / 4
	}
	if *at >= m.end || block == 0 {
		*at += span
		return nil
	}
	if level == 0 {
		*at++
		return m.add(*at-1, int64(block), 1)
	}
	list, err := m.block(int64(block))
	if err != nil {
		return err
	}
	for i := 0; i < len(list); i += 4 {
		if err := m.pointer(le.Uint32(list[i:]), level-1, at); err != nil {
			return err
		}
	}
	return nil
}
