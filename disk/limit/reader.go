package limit

import (
	"io"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Reader counts what is read through it.
func (b *Budget) Reader(r io.ReaderAt) io.ReaderAt { return reader{r, b} }

type reader struct {
	r io.ReaderAt
	b *Budget
}

// ReadAt reads if the budget is not spent.
func (r reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.b.Read(int64(len(p))); err != nil {
		return 0, err
	}
	return r.r.ReadAt(p, off)
}

// Source counts what is read through it.
func (b *Budget) Source(s sparse.Source) sparse.Source { return source{reader{s, b}, s} }

type source struct {
	reader
	s sparse.Source
}

// Next finds data; see sparse.Source.
func (s source) Next(off int64) (start, end int64, err error) {
	if err := s.b.Err(); err != nil {
		return 0, 0, err
	}
	return s.s.Next(off)
}
