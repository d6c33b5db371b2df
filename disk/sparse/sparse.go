// Package sparse reads files with holes: container writers ask it where data
// is, so that the empty rest of a disk is never read.
package sparse

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// Source is a disk that knows where it holds data.
type Source interface {
	io.ReaderAt
	// Next returns the first range [start, end) of data that ends behind off;
	// start is at least off. At the end it returns io.EOF. A range may hold
	// zeros; what lies outside of all ranges reads as zeros.
	Next(off int64) (start, end int64, err error)
}

// whence values of lseek(2) on Linux.
const (
	seekData = 3
	seekHole = 4
)

// File is a Source over a regular file.
type File struct {
	*os.File
}

// Next finds data with SEEK_DATA and SEEK_HOLE. A file system that does not
// know them shows the whole file as data.
func (f File) Next(off int64) (start, end int64, err error) {
	start, err = f.Seek(off, seekData)
	if errors.Is(err, syscall.ENXIO) {
		return 0, 0, io.EOF
	}
	if errors.Is(err, syscall.EINVAL) {
		st, serr := f.Stat()
		if serr != nil {
			return 0, 0, serr
		}
		if off >= st.Size() {
			return 0, 0, io.EOF
		}
		return off, st.Size(), nil
	}
	if err != nil {
		return 0, 0, err
	}
	end, err = f.Seek(start, seekHole)
	return start, end, err
}
