package expand

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// MaxDictionary in bytes bounds the memory that a file may tell its decompressor
// to take: what xz -9 and zstd -19 ask for, twice.
const MaxDictionary = 128 << 20

// Compression is how a file is compressed, by the usual ending of its name.
type Compression string

// The kinds of compression.
const (
	None  Compression = ""
	Gzip  Compression = ".gz"
	XZ    Compression = ".xz"
	Zstd  Compression = ".zst"
	Bzip2 Compression = ".bz2"
)

// ByName returns the compression that the ending of a name says, None where it
// says nothing.
func ByName(name string) Compression {
	switch c := Compression(path.Ext(name)); c {
	case Gzip, XZ, Zstd, Bzip2:
		return c
	}
	return None
}

// magics are the first bytes of compressed files. Pzstd begins with a frame of its
// own.
var magics = []struct {
	magic string
	c     Compression
}{
	{"\x1f\x8b", Gzip}, {"BZh", Bzip2}, {"\xfd7zXZ\x00", XZ}, {"\x28\xb5\x2f\xfd", Zstd}, {"\x50\x2a\x4d\x18", Zstd},
}

// ByContent returns the compression that the first bytes of a stream say.
func ByContent(r *bufio.Reader) Compression {
	for _, m := range magics {
		if head, _ := r.Peek(len(m.magic)); bytes.Equal(head, []byte(m.magic)) {
			return m.c
		}
	}
	return None
}

// Open returns the content of a compressed stream. Close frees the decompressor's
// memory and does not close r. A dictionary of more bytes is refused; 0 is
// MaxDictionary.
func Open(c Compression, r io.Reader, dictionary int64) (io.ReadCloser, error) {
	if dictionary == 0 {
		dictionary = MaxDictionary
	}
	switch c {
	case None:
		return io.NopCloser(r), nil
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z, nil
	case Bzip2:
		return io.NopCloser(bzip2.NewReader(r)), nil
	case XZ:
		return openXZ(r, dictionary)
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(dictionary)), zstd.WithDecoderMaxMemory(uint64(dictionary)))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("unknown compression %q", string(c))
}

// readers keeps decompressors of xz: each has a dictionary of 8 MiB and more, and
// a system is made of hundreds of packages.
var readers sync.Pool

type pooled struct{ *xz.Reader }

func openXZ(r io.Reader, dictionary int64) (io.ReadCloser, error) {
	var x *xz.Reader
	var err error
	if dictionary == MaxDictionary {
		x, _ = readers.Get().(*xz.Reader)
	}
	if x != nil {
		err = x.Reset(r)
	} else {
		x, err = xz.NewReader(r, uint32(dictionary))
	}
	if err != nil {
		return nil, err
	}
	if dictionary != MaxDictionary {
		return io.NopCloser(x), nil
	}
	return &pooled{x}, nil
}

// Close gives the decompressor back.
func (p *pooled) Close() error {
	if p.Reader != nil {
		readers.Put(p.Reader)
		p.Reader = nil
	}
	return nil
}

// Read reads, or fails after Close.
func (p *pooled) Read(b []byte) (int, error) {
	if p.Reader == nil {
		return 0, errors.New("it is closed")
	}
	return p.Reader.Read(b)
}

// TooLargeError says that a file holds more than it may.
type TooLargeError struct{ Max int64 }

// Error names the limit.
func (e *TooLargeError) Error() string { return "it holds more than " + size(e.Max) }

// size writes a bound for people.
func size(n int64) string {
	for _, u := range []struct {
		name string
		unit int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.unit && n%u.unit == 0 {
			return fmt.Sprintf("%d %s", n/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// limited reads at most max bytes.
type limited struct {
	r         io.Reader
	left, max int64
}

// Limit returns a reader that fails with a TooLargeError where r has more than max
// bytes. A stream that ends at max bytes is whole.
func Limit(r io.Reader, max int64) io.Reader { return &limited{r, max, max} }

// Read reads, or fails where the bound is reached.
func (l *limited) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.left > 0 {
		n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
		l.left -= int64(n)
		return n, err
	}
	var one [1]byte
	n, err := l.r.Read(one[:])
	if n > 0 {
		return 0, &TooLargeError{l.max}
	}
	return 0, err
}

// ReadAll reads a stream of at most max bytes.
func ReadAll(r io.Reader, max int64) ([]byte, error) { return io.ReadAll(Limit(r, max)) }

// ReadFile reads a regular file of at most max bytes.
func ReadFile(name string, max int64) (data []byte, err error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it is no regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if data, err = ReadAll(f, max); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}
