package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// HoleSize is the unit in which zeros become a hole: that much of a file, at a
// multiple of it, has no block if it is all zeros. Where the builder's file
// system has holes does not matter, as it depends on where the tree has been.
const HoleSize = 64 << 10

var zeros [HoleSize]byte

// Data calls use for the data of a regular file, in order, with where it is in
// the file; what is left out is zeros. buf is memory to read with, a multiple
// of HoleSize. Behind the data, up to a multiple of BlockSize, lie zeros that
// Whole adds.
func (t *Tree) Data(ctx context.Context, f *File, buf []byte, use func(at int64, data []byte) error) error {
	if f.Size == 0 {
		return nil
	}
	if f.added {
		padded := make([]byte, (f.Size+BlockSize-1)/BlockSize*BlockSize)
		copy(padded, f.data)
		return eachRun(0, padded[:f.Size], use)
	}
	r, err := t.open(f)
	if err != nil {
		return err
	}
	defer r.Close()
	for at := int64(0); at < f.Size; at += int64(len(buf)) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if f.Size-at > int64(len(buf)) {
			// Where nothing is, nothing needs to be read.
			next, err := unix.Seek(int(r.Fd()), at, unix.SEEK_DATA)
			if errors.Is(err, unix.ENXIO) {
				return nil
			}
			if err == nil && next > at {
				at = next / int64(len(buf)) * int64(len(buf))
			}
		}
		data := buf[:min(int64(len(buf)), f.Size-at)]
		if _, err := r.ReadAt(data, at); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it is shorter than it was: the tree is being changed")
			}
			return fmt.Errorf("%q: %w", f.Path, err)
		}
		clear(Whole(data, BlockSize)[len(data):])
		if err := eachRun(at, data, use); err != nil {
			return err
		}
	}
	return nil
}

// Whole returns data as Data gives it, with the zeros behind it up to a multiple
// of unit bytes, which is BlockSize or a part of it: a block is written as a
// whole.
func Whole(data []byte, unit int) []byte { return data[:(len(data)+unit-1)/unit*unit] }

// eachRun calls use for each run of units that are not all zeros.
func eachRun(at int64, data []byte, use func(at int64, data []byte) error) error {
	start := -1
	for i := 0; i < len(data); i += HoleSize {
		unit := data[i:min(i+HoleSize, len(data))]
		zero := bytes.Equal(unit, zeros[:len(unit)])
		if !zero && start < 0 {
			start = i
		}
		if zero && start >= 0 {
			if err := use(at+int64(start), data[start:i]); err != nil {
				return err
			}
			start = -1
		}
	}
	if start < 0 {
		return nil
	}
	return use(at+int64(start), data[start:])
}

// CopyTo writes the data of a regular file with its zeros.
func (t *Tree) CopyTo(f *File, w io.Writer, buf []byte) error {
	if f.added {
		_, err := w.Write(f.data)
		return err
	}
	r, err := t.open(f)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.LimitReader(r, f.Size)}, buf)
	if err == nil && n != f.Size {
		err = errors.New("it is shorter than it was: the tree is being changed")
	}
	return err
}

// open opens a regular file: that which was met, and nothing in its place.
func (t *Tree) open(f *File) (*os.File, error) {
	source := t.source(f)
	return openAt(unix.AT_FDCWD, source, source, f.id, 0)
}
