// Package sparse reads files with holes: container writers ask it where data
// is, so that the empty rest of a disk is never read.
package sparse

import (
	"errors"
	"io"
	"os"
	"runtime"
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

// seekData and seekHole are the values of whence of lseek(2).
var seekData, seekHole = whence(runtime.GOOS)

// unknownWhence is a value that no lseek(2) knows.
const unknownWhence = -1

// whence returns what a system calls SEEK_DATA and SEEK_HOLE. Where it has none,
// a number must not be tried: Windows takes each for a move from the start.
func whence(system string) (data, hole int) {
	switch system {
	case "linux", "freebsd":
		return 3, 4
	case "darwin":
		return 4, 3
	}
	return unknownWhence, unknownWhence
}

// File is a Source over a regular file.
type File struct {
	*os.File
}

// Next finds data with SEEK_DATA and SEEK_HOLE. A file system that does not
// know them shows the whole file as data.
func (f File) Next(off int64) (start, end int64, err error) {
	err = syscall.EINVAL
	if seekData != unknownWhence {
		start, err = f.Seek(off, seekData)
	}
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
