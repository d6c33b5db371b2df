package blocks

import (
	"encoding/binary"
	"io"
)

// pageSize is how much of a table is read at once, and maxPages how many pieces
// are kept: 4 MiB, for tables of any size.
const (
	pageSize = 64 << 10
	maxPages = 64
)

// Pages reads tables in a file piece by piece.
type Pages struct {
	r     io.ReaderAt
	pages *Recent[[]byte]
}

// NewPages returns pages of a file.
func NewPages(r io.ReaderAt) *Pages { return &Pages{r: r, pages: NewRecent[[]byte](maxPages)} }

// At returns n bytes at an offset, which must not be changed.
func (p *Pages) At(at uint64, n int) ([]byte, error) {
	page, in := at/pageSize, int(at%pageSize)
	b, ok := p.pages.Get(page)
	if !ok || len(b) < in+n {
		if at > 1<<62 || in+n > pageSize {
			b := make([]byte, n)
			return b, ReadFull(p.r, b, at)
		}
		b = make([]byte, pageSize)
		// The end of the file may lie in the page.
		k, err := p.r.ReadAt(b, int64(page*pageSize))
		if k < in+n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		b = b[:k]
		p.pages.Put(page, b)
	}
	return b[in : in+n], nil
}

// LE32 reads a number of 4 bytes.
func (p *Pages) LE32(at uint64) (uint32, error) {
	b, err := p.At(at, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// LE64 reads a number of 8 bytes.
func (p *Pages) LE64(at uint64) (uint64, error) {
	b, err := p.At(at, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// BE32 reads a number of 4 bytes, the highest first.
func (p *Pages) BE32(at uint64) (uint32, error) {
	b, err := p.At(at, 4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// BE64 reads a number of 8 bytes, the highest first.
func (p *Pages) BE64(at uint64) (uint64, error) {
	b, err := p.At(at, 8)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b), nil
}

// Recent keeps the last few things that were used.
type Recent[T any] struct {
	most  int
	byKey map[uint64]T
	order []uint64 // the oldest first
}

// NewRecent keeps up to most things.
func NewRecent[T any](most int) *Recent[T] {
	return &Recent[T]{most: most, byKey: map[uint64]T{}}
}

// Get returns what was put in under a key, if it is still there.
func (r *Recent[T]) Get(key uint64) (T, bool) {
	v, ok := r.byKey[key]
	return v, ok
}

// Put keeps something, in the place of what was put in first.
func (r *Recent[T]) Put(key uint64, v T) {
	if _, ok := r.byKey[key]; !ok {
		if len(r.order) >= r.most {
			delete(r.byKey, r.order[0])
			r.order = r.order[1:]
		}
		r.order = append(r.order, key)
	}
	r.byKey[key] = v
}
