package expand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// What an archive may become, whatever else allows it: Free bytes, and Ratio times
// its own size. Text compresses to a hundredth and logs to a thousandth; what is
// zero does not count. An archive of a few kilobytes that becomes more was made to
// fill a disk.
const (
	Free  = 1 << 30
	Ratio = 1000
)

// A Budget counts the data that an archive is unpacked to.
type Budget struct {
	// Data in bytes is the most that may be written.
	Data int64
	// Packed is the size of the archive.
	Packed int64
	// written counts what was written: zeros are left out.
	written int64
}

// Written is the number of bytes that were written so far.
func (b *Budget) Written() int64 { return b.written }

// Count takes n bytes of the budget.
func (b *Budget) Count(n int64) error {
	b.written += n
	if b.written > b.Data {
		return &TooLargeError{b.Data}
	}
	if most := Free + min(b.Packed, b.Data)*Ratio; b.written > most {
		return fmt.Errorf("it has %s, and becomes more than %s and %d times as much: it was made to fill a disk", size(b.Packed), size(Free), Ratio)
	}
	return nil
}

// unit is what is looked at for zeros: a page, which is what file systems allocate.
const unit = 4096

var zeros [unit]byte

// Copy writes n bytes of r to a new file at an offset, and leaves out what is zero;
// who calls it gives the file its length with Truncate. That r has fewer is
// io.ErrUnexpectedEOF. Buf is memory for it.
func (b *Budget) Copy(ctx context.Context, f io.WriterAt, at int64, r io.Reader, n int64, buf []byte) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := buf[:min(int64(len(buf)), n)]
		if _, err := io.ReadFull(r, part); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := b.write(f, at, part); err != nil {
			return err
		}
		at, n = at+int64(len(part)), n-int64(len(part))
	}
	return nil
}

// write writes the runs of pages that are not zero.
func (b *Budget) write(f io.WriterAt, at int64, data []byte) error {
	for len(data) > 0 {
		skip := run(at, data, true)
		at, data = at+int64(skip), data[skip:]
		n := run(at, data, false)
		if n > 0 {
			if err := b.Count(int64(n)); err != nil {
				return err
			}
			if _, err := f.WriteAt(data[:n], at); err != nil {
				return err
			}
		}
		at, data = at+int64(n), data[n:]
	}
	return nil
}

// run returns how much at the start is in pages of zeros, or in others.
func run(at int64, data []byte, zero bool) int {
	n := 0
	for n < len(data) {
		page := data[n:min(n+unit-int((at+int64(n))%unit), len(data))]
		if bytes.Equal(page, zeros[:len(page)]) != zero {
			break
		}
		n += len(page)
	}
	return n
}
