package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/osbuildkit/osbuildkit/disk/limit"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
	"github.com/osbuildkit/osbuildkit/internal/ctxio"
)

// maxWindow is the most that a decompressor may remember in bytes: what zstd
// takes with --long, and twice what xz -9 takes.
const maxWindow = 128 << 20

// unpack writes what is in a compressed file to dst, with holes. It ends as soon
// as it is clear that there is no disk in it.
func unpack(b *limit.Budget, dst *os.File, src io.Reader, c Compression) error {
	r, err := decompressor(bufio.NewReaderSize(ctxio.Reader(b.Context(), src), 1<<20), c)
	if err != nil {
		return err
	}
	defer r.Close()
	in := bufio.NewReaderSize(&unpackedReader{r, b}, 1<<20)
	var data io.Reader = in
	if c == Gzip {
		if data, err = tarDisk(in); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	n, err := readHead(data, buf)
	if err != nil && err != io.EOF {
		return fmt.Errorf("unpacking: %w", err)
	}
	// A raw disk may also be told by its end, but no one compresses the footer
	// of a VHD with zeros before it.
	if format, inner := detectHead(buf[:n]); format == "" && inner == Plain {
		return errInside(c, inner, ErrUnknown)
	} else if inner != Plain {
		return errInside(c, inner, nil)
	}
	out := sparse.NewWriter(&counted{dst, b})
	for {
		if _, err := out.Write(buf[:n]); err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
		if err == io.EOF {
			return dst.Truncate(out.Written())
		}
		if err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
		n, err = data.Read(buf)
	}
}

// readHead reads at least as much as the patterns look at, unless an error comes
// first, which may be the end.
func readHead(r io.Reader, buf []byte) (n int, err error) {
	for n < headSize && err == nil {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	return n, err
}

// unpackedReader counts what a decompressor gives.
type unpackedReader struct {
	r      io.Reader
	budget *limit.Budget
}

// Read reads on if the budget is not spent.
func (r *unpackedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if over := r.budget.Unpack(int64(n)); over != nil {
		return 0, over
	}
	return n, err
}

func decompressor(r io.Reader, c Compression) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z, nil
	case XZ:
		x, err := xz.NewReader(r, maxWindow)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("the compression %q is not known", c)
}

// tarDisk returns the disk of an archive as Google Compute Engine has it, or
// the stream itself if it is no archive.
func tarDisk(in *bufio.Reader) (io.Reader, error) {
	const magicAt = 257
	head, err := in.Peek(512)
	if err != nil || !bytes.HasPrefix(head[magicAt:], []byte("ustar")) {
		return in, nil
	}
	t := tar.NewReader(in)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the archive holds no disk.raw")
		}
		if err != nil {
			return nil, err
		}
		// Sparse files have a type of their own.
		if path.Clean(h.Name) == "disk.raw" && (h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse) {
			return t, nil
		}
	}
}
