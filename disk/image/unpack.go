package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// Limits of what is unpacked.
const (
	maxUnpacked = 16 << 40
	maxWindow   = 128 << 20
)

// unpack writes what is in a compressed file to dst, with holes, and returns
// its length in bytes.
func unpack(ctx context.Context, dst *os.File, src io.Reader, c Compression) (int64, error) {
	r, err := decompressor(bufio.NewReaderSize(src, 1<<20), c)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	in := bufio.NewReaderSize(r, 1<<20)
	var data io.Reader = in
	if c == Gzip {
		if data, err = tarDisk(in); err != nil {
			return 0, err
		}
	}
	out := sparse.NewWriter(dst)
	buf := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := data.Read(buf)
		if _, err := out.Write(buf[:n]); err != nil {
			return 0, err
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return out.Written(), dst.Truncate(out.Written())
		}
		if err != nil {
			return 0, fmt.Errorf("unpacking: %w", err)
		}
		if out.Written() > maxUnpacked {
			return 0, errors.New("unpacking: more than 16 TiB")
		}
	}
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
