package assemblers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/internal/ctxio"
)

// writeCompressed writes the raw disk as one compressed stream.
func writeCompressed(kind string) func(ctx context.Context, c *conversion) ([]string, error) {
	return func(ctx context.Context, c *conversion) ([]string, error) {
		return c.open(func(dst *os.File, src sparse.Source) error {
			z, err := compressor(dst, kind)
			if err != nil {
				return err
			}
			s, ok := z.(skipper)
			if !ok {
				return errors.Join(fmt.Errorf("%s is not made of pieces", kind), z.stop())
			}
			if err := streamDisk(ctx, s, src, c.size); err != nil {
				return errors.Join(err, z.stop())
			}
			return z.Close()
		})
	}
}

// skipper is a stream that takes zeros without being given them.
type skipper interface {
	io.Writer
	zeros(n int64) error
}

// streamBlock is how much of a disk is looked at for zeros at a time.
const streamBlock = 1 << 20

// streamDisk writes all of a disk in order.
func streamDisk(ctx context.Context, w skipper, src sparse.Source, size int64) error {
	at := int64(0)
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: streamBlock}, func(index int64, raw, _ []byte) error {
		if err := w.zeros(index*streamBlock - at); err != nil {
			return err
		}
		n := min(streamBlock, size-index*streamBlock)
		at = index*streamBlock + n
		_, err := w.Write(raw[:n])
		return err
	})
	if err != nil {
		return err
	}
	return w.zeros(size - at)
}

// oldGNU are the places of an archive's header in the format that tar had
// before POSIX's, which is the one that Google Compute Engine asks for, with the
// map of a sparse file.
const (
	tarBlock        = 512
	gnuSparse       = 'S'
	gnuMapAt        = 386
	gnuMapEntries   = 4
	gnuExtendedAt   = 482
	gnuRealSizeAt   = 483
	gnuMoreEntries  = 21
	gnuMoreExtended = 504
	octalDigits     = 12
)

// extent is a part of a disk that holds data.
type extent struct{ at, size int64 }

// writeGCE writes the archive that Google Compute Engine imports: the disk as
// disk.raw, sparse, compressed with gzip.
func writeGCE(ctx context.Context, c *conversion) ([]string, error) {
	if c.size%(1<<30) != 0 {
		c.in.Logf("warning: Google Compute Engine takes disks of whole GiB, and this one has %d bytes", c.size)
	}
	return c.open(func(dst *os.File, src sparse.Source) error {
		runs, err := diskRuns(ctx, src, c.size)
		if err != nil {
			return err
		}
		z, err := compressor(dst, "gzip")
		if err != nil {
			return err
		}
		if err := writeSparseTar(ctx, z, "disk.raw", src, c.size, runs, c.in.Epoch); err != nil {
			return errors.Join(err, z.stop())
		}
		return z.Close()
	})
}

// diskRuns finds what is not zero, whatever holes the builder's file system has
// left in the file.
func diskRuns(ctx context.Context, src sparse.Source, size int64) ([]extent, error) {
	const block = 64 << 10
	var runs []extent
	err := sparse.Blocks(ctx, src, size, sparse.Work{Block: block}, func(index int64, _, _ []byte) error {
		at := index * block
		n := min(block, size-at)
		if last := len(runs) - 1; last >= 0 && runs[last].at+runs[last].size == at {
			runs[last].size += n
			return nil
		}
		runs = append(runs, extent{at, n})
		return nil
	})
	// The map ends with where the file does.
	return append(runs, extent{size, 0}), err
}

// writeSparseTar writes an archive with one sparse file.
func writeSparseTar(ctx context.Context, w io.Writer, name string, src sparse.Source, size int64, runs []extent, epoch int64) error {
	stored := int64(0)
	for _, r := range runs {
		stored += r.size
	}
	h := make([]byte, tarBlock)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	octal(h[124:], stored)
	octal(h[136:], max(0, epoch))
	copy(h[148:], "        ")
	h[156] = gnuSparse
	copy(h[257:], "ustar  \x00")
	octal(h[gnuRealSizeAt:], size)
	rest := sparseMap(h[gnuMapAt:], runs, gnuMapEntries)
	if len(rest) > 0 {
		h[gnuExtendedAt] = 1
	}
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	if _, err := w.Write(h); err != nil {
		return err
	}
	for len(rest) > 0 {
		more := make([]byte, tarBlock)
		if rest = sparseMap(more, rest, gnuMoreEntries); len(rest) > 0 {
			more[gnuMoreExtended] = 1
		}
		if _, err := w.Write(more); err != nil {
			return err
		}
	}
	buf := make([]byte, streamBlock)
	for _, r := range runs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{w}, ctxio.Reader(ctx, io.NewSectionReader(src, r.at, r.size)), buf); err != nil {
			return err
		}
	}
	// The data is filled up to a block, and two empty ones end the archive.
	_, err := w.Write(make([]byte, (tarBlock-stored%tarBlock)%tarBlock+2*tarBlock))
	return err
}

// sparseMap writes the first entries of a map and returns the others.
func sparseMap(b []byte, runs []extent, most int) []extent {
	n := min(most, len(runs))
	for i, r := range runs[:n] {
		octal(b[i*2*octalDigits:], r.at)
		octal(b[(i*2+1)*octalDigits:], r.size)
	}
	return runs[n:]
}

// octal writes a number as tar does: eleven digits and a zero byte, or in binary
// with the first bit set where they are too few.
func octal(b []byte, n int64) {
	if n < 1<<33 {
		copy(b, fmt.Sprintf("%011o\x00", n))
		return
	}
	clear(b[:octalDigits])
	b[0] = 0x80
	for i := range 8 {
		b[octalDigits-1-i] = byte(n >> (8 * i))
	}
}
