package assemblers

import (
	"bytes"
	"compress/gzip"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// compressible returns n bytes, a part of which repeat.
func compressible(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	out := make([]byte, 0, n+64)
	for len(out) < n {
		if r.IntN(4) == 0 {
			for range 16 {
				out = append(out, byte(r.Uint32()))
			}
		}
		out = append(out, strings.Repeat(benchWords[r.IntN(len(benchWords))], 1+r.IntN(5))...)
	}
	return out[:n]
}

// compress writes data in pieces of odd sizes.
func compress(t *testing.T, kind string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := compressor(&out, kind)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(data) > 0; i++ {
		n := min(len(data), 7+i*1999)
		if m, err := z.Write(data[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		data = data[n:]
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCompressors(t *testing.T) {
	t.Parallel()
	program := func(name string, args ...string) func(io.Reader) (io.Reader, error) {
		return func(r io.Reader) (io.Reader, error) {
			cmd := exec.Command(name, args...)
			cmd.Stdin = r
			out, err := cmd.Output()
			if errors.Is(err, exec.ErrNotFound) {
				t.Skip(name, "is not installed")
			}
			return bytes.NewReader(out), err
		}
	}
	for _, tc := range []struct {
		kind, name string
		size       int
		read       func(io.Reader) (io.Reader, error)
	}{
		{"none", "none", 100, func(r io.Reader) (io.Reader, error) { return r, nil }},
		{"gzip", "gzip", 3*gzipPiece + 5, func(r io.Reader) (io.Reader, error) {
			z, err := gzip.NewReader(r)
			if err == nil {
				z.Multistream(false) // It is one member.
			}
			return z, err
		}},
		{"gzip", "gzip of whole pieces", 2 * gzipPiece, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"gzip", "gzip of nothing", 0, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"gzip", "gzip by program", gzipPiece + 1, program("gzip", "-dc")},
		{"zstd", "zstd", zstdPiece + 5, func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }},
		{"zstd", "zstd by program", zstdPiece + 5, program("zstd", "-dc")},
		{"xz", "xz", lzmaPiece + 5, func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }},
		{"xz", "xz by program", 1 << 20, program("xz", "-dc")},
		{"lzma", "lzma", 1 << 20, func(r io.Reader) (io.Reader, error) { return lzma.NewReader(r) }},
		{"lzma", "lzma by program", 1 << 20, program("xz", "-dc", "--format=lzma")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			data := compressible(tc.size)
			packed := compress(t, tc.kind, data)
			if tc.kind != "none" && tc.size > 0 && len(packed) > len(data)*3/4 {
				t.Errorf("%d bytes have become %d", len(data), len(packed))
			}
			r, err := tc.read(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes come back as %d: %v", len(data), len(got), err)
			}
			if tc.size < 2<<20 && !bytes.Equal(compress(t, tc.kind, data), packed) {
				t.Error("two runs differ")
			}
		})
	}
}

// TestLzip reads a member by the description of the format.
func TestLzip(t *testing.T) {
	t.Parallel()
	data := compressible(1 << 20)
	m := compress(t, "lzip", data)
	if string(m[:6]) != "LZIP\x01\x16" || le64(m[len(m)-8:]) != uint64(len(m)) || le64(m[len(m)-16:]) != uint64(len(data)) ||
		uint32(le64(m[len(m)-20:])) != crc32.ChecksumIEEE(data) {
		t.Errorf("header %q, trailer %x", m[:6], m[len(m)-20:])
	}
	// An lzma file of the same data: the properties, the window, no size.
	head := append([]byte{0x5d, 0, 0, 0x40, 0}, bytes.Repeat([]byte{0xff}, 8)...)
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(m[6:len(m)-20])))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes come back as %d: %v", len(data), len(got), err)
	}
}

func le64(b []byte) uint64 {
	var v uint64
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}

// TestPiecesDoNotDependOnTheMachine compresses one and many pieces at a time.
func TestPiecesDoNotDependOnTheMachine(t *testing.T) {
	t.Parallel()
	data := compressible(1 << 20)
	var want []byte
	for _, most := range []int{1, 2, 7} {
		var out bytes.Buffer
		p := newPieces(&out, 50000, most, deflatePiece)
		if _, err := p.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = out.Bytes()
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%d at a time: other bytes", most)
		}
		if err := p.Close(); err == nil {
			t.Error("closed twice")
		}
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

// TestPiecesFail lets the file system and the compressor fail: the error comes
// back, and nothing waits for ever.
func TestPiecesFail(t *testing.T) {
	t.Parallel()
	data := compressible(5 << 20)
	for _, kind := range []string{"gzip", "zstd"} {
		z, err := compressor(&brokenWriter{left: 100}, kind)
		if err != nil {
			t.Fatal(err)
		}
		_, err = z.Write(data)
		if err = errors.Join(err, z.Close()); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	p := newPieces(io.Discard, 10, 2, func([]byte, []byte, bool) ([]byte, error) { return nil, errors.New("broken") })
	for err := error(nil); err == nil; {
		_, err = p.Write(make([]byte, 10))
	}
	if err := p.stop(); err == nil || err.Error() != "broken" {
		t.Errorf("stop: %v", err)
	}
	if _, err := compressor(&brokenWriter{}, "gzip"); err == nil {
		t.Error("a header that cannot be written is no error")
	}
	if _, err := compressor(io.Discard, "lzop"); err == nil {
		t.Error("lzop is written")
	}
}
