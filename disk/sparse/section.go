package sparse

import (
	"errors"
	"io"
)

// Section returns the n bytes of src from off on, such as a partition of a
// disk, as a source of their own.
func Section(src Source, off, n int64) Source {
	return &section{SectionReader: io.NewSectionReader(src, off, n), src: src, off: off, n: n}
}

type section struct {
	*io.SectionReader
	src    Source
	off, n int64
}

// Next finds data inside of the section.
func (s *section) Next(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errors.New("negative offset")
	}
	if off >= s.n {
		return 0, 0, io.EOF
	}
	if start, end, err = s.src.Next(s.off + off); err != nil {
		return 0, 0, err
	}
	if start-s.off >= s.n {
		return 0, 0, io.EOF
	}
	return start - s.off, min(end-s.off, s.n), nil
}
