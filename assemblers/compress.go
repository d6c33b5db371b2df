package assemblers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Sizes of what is compressed at a time. They are part of the format of the
// results: another size is another file.
const (
	gzipPiece = 1 << 20
	zstdPiece = 8 << 20
	lzmaPiece = 16 << 20
	// lzmaWindow is how far back xz, lzma and lzip look for what they have
	// seen; the memory that one piece takes is about fourteen times as much.
	lzmaWindow     = 1 << lzmaWindowBits
	lzmaWindowBits = 22
)

// How many pieces are compressed at a time, at most.
const (
	mostPieces     = 16
	mostLzmaPieces = 4
)

// checkCompression reports why a kind of compression cannot be had.
func checkCompression(kind string) error {
	switch kind {
	case "", "none", "gzip", "xz", "zstd", "lzma", "lzip":
		return nil
	case "bzip2", "lzop":
		return fmt.Errorf("the compression %s is not supported: use xz, gzip or zstd", kind)
	}
	return fmt.Errorf("the compression %q is not known: use none, gzip, xz, zstd, lzma or lzip", kind)
}

// stream is a compressed file that is being written. If it is not to be
// finished, stop frees what it holds.
type stream interface {
	io.WriteCloser
	stop() error
}

// compressor starts a file of the given kind in w. The file depends on nothing
// but what is written to it; its header has neither time nor name. Xz, zstd
// and lzip files are several streams, one after the other, which their formats
// provide for; a gzip file is one.
func compressor(w io.Writer, kind string) (stream, error) {
	switch kind {
	case "", "none":
		return plainStream{w}, nil
	case "gzip":
		return newGzip(w)
	case "zstd":
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(min(runtime.GOMAXPROCS(0), mostPieces)))
		if err != nil {
			return nil, err
		}
		return newPieces(w, zstdPiece, mostPieces, func(piece, _ []byte, _ bool) ([]byte, error) {
			return enc.EncodeAll(piece, nil), nil
		}), nil
	case "xz":
		return newPieces(w, lzmaPiece, mostLzmaPieces, xzPiece), nil
	case "lzip":
		return newPieces(w, lzmaPiece, mostLzmaPieces, lzipPiece), nil
	case "lzma":
		z, err := lzma.WriterConfig{DictCap: lzmaWindow}.NewWriter(w)
		if err != nil {
			return nil, err
		}
		return lzmaStream{z}, nil
	}
	return nil, checkCompression(kind)
}

type plainStream struct{ io.Writer }

func (plainStream) Close() error { return nil }
func (plainStream) stop() error  { return nil }

type lzmaStream struct{ *lzma.Writer }

func (lzmaStream) stop() error { return nil }

// gzipStream is one gzip member whose data is compressed in pieces: each ends
// at a whole byte, and knows the end of the one before it.
type gzipStream struct {
	*pieces
	w    io.Writer
	sum  hash.Hash32
	size uint32
}

// gzipHeader says deflate, no name, no time, and no particular system.
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

func newGzip(w io.Writer) (stream, error) {
	if _, err := io.WriteString(w, gzipHeader); err != nil {
		return nil, err
	}
	return &gzipStream{pieces: newPieces(w, gzipPiece, mostPieces, deflatePiece), w: w, sum: crc32.NewIEEE()}, nil
}

// Write takes more of the stream.
func (g *gzipStream) Write(data []byte) (int, error) {
	n, err := g.pieces.Write(data)
	g.sum.Write(data[:n])
	g.size += uint32(n)
	return n, err
}

// Close ends the member.
func (g *gzipStream) Close() error {
	if err := g.pieces.Close(); err != nil {
		return err
	}
	end := binary.LittleEndian.AppendUint32(nil, g.sum.Sum32())
	_, err := g.w.Write(binary.LittleEndian.AppendUint32(end, g.size))
	return err
}

func deflatePiece(piece, before []byte, last bool) ([]byte, error) {
	const window, level = 32 << 10, 6
	var out bytes.Buffer
	out.Grow(len(piece) / 2)
	z, err := flate.NewWriterDict(&out, level, before[max(0, len(before)-window):])
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(piece); err != nil {
		return nil, err
	}
	if last {
		err = z.Close()
	} else {
		err = z.Flush()
	}
	return out.Bytes(), err
}

func xzPiece(piece, _ []byte, _ bool) ([]byte, error) {
	var out bytes.Buffer
	z, err := xz.WriterConfig{DictCap: lzmaWindow}.NewWriter(&out)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(piece); err != nil {
		return nil, err
	}
	err = z.Close()
	return out.Bytes(), err
}

// lzipPiece makes a member of a lzip file: the data of an lzma file with its
// header replaced by another, and a trailer.
func lzipPiece(piece, _ []byte, _ bool) ([]byte, error) {
	var body bytes.Buffer
	z, err := lzma.WriterConfig{DictCap: lzmaWindow, EOSMarker: true}.NewWriter(&body)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(piece); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	out := append([]byte("LZIP\x01"), lzmaWindowBits)
	out = append(out, body.Bytes()[lzma.HeaderLen:]...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(piece))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(piece)))
	return binary.LittleEndian.AppendUint64(out, uint64(len(out)+8)), nil
}
