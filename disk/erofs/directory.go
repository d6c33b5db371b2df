package erofs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/disk/content"
)

// direntSize is the size of an entry without its name. In each block, all
// entries come before all names.
const direntSize = 12

// entry is a name in a directory.
type entry struct {
	name string
	file *content.File
}

// entries returns what is in a directory, sorted by the bytes of the names, as
// readers search for them.
func entries(f, parent *content.File) []entry {
	list := []entry{{".", f}, {"..", parent}}
	for _, e := range f.Entries {
		list = append(list, entry{e.Name, e.File})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return list
}

// split divides entries into those of each block, and returns how many bytes of
// the last block they take.
func split(list []entry) (blocks [][]entry, last int) {
	for start := 0; start < len(list); {
		end, size := start, 0
		for end < len(list) && size+direntSize+len(list[end].name) <= blockSize {
			size += direntSize + len(list[end].name)
			end++
		}
		blocks = append(blocks, list[start:end])
		start, last = end, size
	}
	return blocks, last
}

// directorySize returns the size of a directory in bytes.
func directorySize(f *content.File) (int64, error) {
	for _, e := range f.Entries {
		if len(e.Name) > maxName {
			return 0, fmt.Errorf("the name %.40q… has %d bytes, and EROFS takes %d", e.Name, len(e.Name), maxName)
		}
	}
	blocks, last := split(entries(f, f))
	return int64(len(blocks)-1)*blockSize + int64(last), nil
}

// directory writes the blocks of a directory, and returns the first one and what
// belongs to the inode.
func (w *writer) directory(f, parent *content.File, p *place) (first int64, inside []byte, err error) {
	blocks, _ := split(entries(f, parent))
	var b []byte
	for _, list := range blocks {
		start, name := len(b), len(list)*direntSize
		b = append(b, make([]byte, blockSize)...)
		block := b[start:]
		for i, e := range list {
			d := block[i*direntSize:]
			le.PutUint64(d, uint64(w.nid(e.file)))
			le.PutUint16(d[8:], uint16(name))
			d[10] = e.file.TypeCode()
			name += copy(block[name:], e.name)
		}
	}
	outside := (p.size - p.inside + blockSize - 1) / blockSize
	if first, err = w.take(outside); err != nil {
		return 0, nil, err
	}
	if outside > 0 {
		err = w.writeBlocks(first, b[:outside*blockSize])
	}
	return first, b[p.size-p.inside : p.size], err
}
