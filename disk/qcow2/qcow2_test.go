package qcow2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

// memory is a source that has data in the given ranges and complains when
// something else is read.
type memory struct {
	data   []byte
	ranges [][2]int64 // nil: all of data
	fail   error
}

func (m *memory) Next(off int64) (int64, int64, error) {
	if m.ranges == nil {
		if off >= int64(len(m.data)) {
			return 0, 0, io.EOF
		}
		return off, int64(len(m.data)), nil
	}
	for _, r := range m.ranges {
		if r[1] > off {
			return max(off, r[0]), r[1], nil
		}
	}
	return 0, 0, io.EOF
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if m.fail != nil {
		return 0, m.fail
	}
	n := copy(p, m.data[min(off, int64(len(m.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// file is an io.WriterAt in memory.
type file struct{ b []byte }

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if need := off + int64(len(p)); need > int64(len(f.b)) {
		f.b = append(f.b, make([]byte, need-int64(len(f.b)))...)
	}
	return copy(f.b[off:], p), nil
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// text is compressible and never the same twice.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "word%d ", r.IntN(3000))
	}
	return b.Bytes()[:n]
}

// mixed has everything: text, noise, zeros and single bytes.
func mixed(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([]byte, n)
	for at := 0; at < n; {
		l := min(1+r.IntN(200000), n-at)
		switch r.IntN(4) {
		case 0:
			copy(out[at:], text(seed+uint64(at), l))
		case 1:
			copy(out[at:], random(seed+uint64(at), l))
		case 2:
			out[at] = 1
		}
		at += l
	}
	return out
}

type sample struct {
	name string
	src  *memory
	size int64
}

func samples() []sample {
	holes := &memory{data: mixed(7, 3<<20)}
	clear(holes.data[:100])
	clear(holes.data[200<<10 : 1<<20])
	clear(holes.data[1<<20+5 : 2<<20])
	holes.ranges = [][2]int64{{100, 200 << 10}, {1 << 20, 1<<20 + 5}, {2 << 20, 2<<20 + 1}, {2<<20 + 1, 3 << 20}}
	return []sample{
		{"text", &memory{data: text(1, 1<<20)}, 1 << 20},
		{"noise", &memory{data: random(2, 300<<10)}, 300 << 10},
		{"zeros", &memory{data: make([]byte, 1<<20)}, 1 << 20},
		{"nothing", &memory{ranges: [][2]int64{}}, 5 << 20},
		{"one sector", &memory{data: []byte{1}}, 512},
		{"last cluster partial", &memory{data: mixed(3, 1<<20+512*7)}, 1<<20 + 512*7},
		{"source shorter", &memory{data: mixed(4, 100001)}, 1 << 20},
		{"source longer", &memory{data: mixed(5, 1<<20)}, 512 * 999},
		{"mixed", &memory{data: mixed(6, 5<<20)}, 5 << 20},
		{"holes", holes, 3 << 20},
		{"constant", &memory{data: bytes.Repeat([]byte{7}, 4<<20)}, 4 << 20},
	}
}

func (s *sample) want() []byte {
	out := make([]byte, s.size)
	copy(out, s.src.data)
	return out
}

var kinds = []Options{
	{Compression: None}, {Compression: Zlib}, {Compression: Zstd}, {},
	{Compression: None, ClusterSize: 4 << 10}, {Compression: Zlib, ClusterSize: 4 << 10}, {Compression: Zstd, ClusterSize: 4 << 10},
	{Version: 2}, {Compression: None, Version: 2, ClusterSize: 4 << 10},
	{Compression: Zstd, ClusterSize: 2 << 20}, {Compression: Zlib, ClusterSize: 512 << 10},
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		for _, o := range kinds {
			t.Run(fmt.Sprintf("%s/%s%d", s.name, o.Compression, o.ClusterSize), func(t *testing.T) {
				t.Parallel()
				var first []byte
				for _, workers := range []int{1, 2, 7} {
					o.Workers = workers
					var f file
					stats, err := Write(t.Context(), &f, s.src, s.size, o)
					if err != nil {
						t.Fatal(err)
					}
					if stats.Size != int64(len(f.b)) {
						t.Errorf("the file has %d bytes, Write says %d", len(f.b), stats.Size)
					}
					if first == nil {
						first = f.b
						img, err := parse(f.b)
						if err != nil {
							t.Fatal(err)
						}
						got, err := img.content()
						if err != nil {
							t.Fatal(err)
						}
						if !bytes.Equal(got, s.want()) {
							t.Error("the disk reads differently")
						}
					}
					if !bytes.Equal(first, f.b) {
						t.Errorf("%d workers write another file than one", workers)
					}
				}
			})
		}
	}
}

// TestWriter writes the disks backwards and piece by piece.
func TestWriter(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		for _, o := range kinds {
			t.Run(fmt.Sprintf("%s/%s%d", s.name, o.Compression, o.ClusterSize), func(t *testing.T) {
				t.Parallel()
				var f file
				w, err := NewWriter(t.Context(), &f, s.size, o, t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				want := s.want()
				const piece = 3 * 512
				for at := (s.size - 1) / piece * piece; at >= 0; at -= piece {
					if part := want[at:min(at+piece, s.size)]; !bytes.Equal(part, make([]byte, len(part))) {
						if _, err := w.WriteAt(part, at); err != nil {
							t.Fatal(err)
						}
					}
				}
				stats, err := w.Finish()
				if err != nil || stats.Size != int64(len(f.b)) {
					t.Fatalf("%v: %d bytes, and the file has %d", err, stats.Size, len(f.b))
				}
				img, err := parse(f.b)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := img.content(); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the disk reads differently: %v", err)
				}
			})
		}
	}
}

// TestQemu lets QEMU check and read the images.
func TestQemu(t *testing.T) {
	t.Parallel()
	qemuImg, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(qemuImg, args...).CombinedOutput(); err != nil {
			t.Errorf("qemu-img %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	for _, s := range samples() {
		switch s.name {
		case "mixed", "holes", "last cluster partial", "nothing":
		default:
			continue // the reader in this package is enough
		}
		raw := filepath.Join(dir, "raw")
		if err := os.WriteFile(raw, s.want(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, o := range kinds {
			name := filepath.Join(dir, "image")
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Write(t.Context(), f, s.src, s.size, o); err != nil {
				t.Fatal(err)
			}
			f.Close()
			t.Logf("%s, %s %d", s.name, o.Compression, o.ClusterSize)
			run("check", "-q", name)
			run("compare", "-q", "-f", "raw", "-F", "qcow2", raw, name)
		}
	}
}

// TestSizes guards the two promises on space: zeros take none and
// compressible data gets smaller.
func TestSizes(t *testing.T) {
	t.Parallel()
	write := func(src *memory, size int64, o Options) Stats {
		t.Helper()
		stats, err := Write(t.Context(), &file{}, src, size, o)
		if err != nil {
			t.Fatal(err)
		}
		return stats
	}
	for _, c := range []Compression{None, Zlib, Zstd} {
		s := write(&memory{data: make([]byte, 8<<20)}, 20<<30, Options{Compression: c})
		if s.Clusters != 0 || s.Size > 6<<20 {
			t.Errorf("%s: an empty disk of 20 GiB: %+v", c, s)
		}
	}
	txt := &memory{data: text(1, 8<<20)}
	for _, c := range []Compression{Zlib, Zstd} {
		if s := write(txt, 8<<20, Options{Compression: c, ClusterSize: 64 << 10}); s.Size > 4<<20 || s.Compressed != s.Clusters {
			t.Errorf("%s: 8 MiB of text: %+v", c, s)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	src := &memory{data: mixed(1, 4<<20)}
	for _, tc := range []struct {
		name string
		src  sparse.Source
		size int64
		o    Options
		want string
	}{
		{"no size", src, 0, Options{}, "multiple of 512"},
		{"odd size", src, 513, Options{}, "multiple of 512"},
		{"too large", src, 1 << 50, Options{}, "64 TiB"},
		{"cluster", src, 512, Options{ClusterSize: 3 << 10}, "power of two"},
		{"huge cluster", src, 512, Options{ClusterSize: 4 << 20}, "power of two"},
		{"version", src, 512, Options{Version: 1}, "version 1"},
		{"zstd in version 2", src, 512, Options{Version: 2, Compression: Zstd}, "no zstd"},
		{"compression", src, 512, Options{Compression: "lzma"}, `"lzma"`},
		{"read error", &memory{data: src.data, fail: errors.New("bad sector")}, 4 << 20, Options{ClusterSize: 4 << 10}, "reading the disk: bad sector"},
		{"ranges", ranges{}, 4 << 20, Options{}, "out of order"},
	} {
		_, err := Write(t.Context(), &file{}, tc.src, tc.size, tc.o)
		if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, &file{}, src, 4<<20, Options{ClusterSize: 4 << 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
	full := writerFunc(func([]byte, int64) (int, error) { return 0, errors.New("disk full") })
	if _, err := Write(t.Context(), full, src, 4<<20, Options{ClusterSize: 4 << 10}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("a full disk: error %v", err)
	}
}

type writerFunc func(p []byte, off int64) (int, error)

func (f writerFunc) WriteAt(p []byte, off int64) (int, error) { return f(p, off) }

// ranges gives a range that ends before it starts.
type ranges struct{ memory }

func (ranges) Next(int64) (int64, int64, error)  { return 9, 3, nil }
func (ranges) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

// TestManyReferences packs more pieces into one cluster than a reference count
// of 16 bits can tell.
func TestManyReferences(t *testing.T) {
	t.Parallel()
	w, err := newLayout(&file{}, 1<<40, Options{ClusterSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	seen := int64(0)
	for range 200000 {
		at := w.place(3)
		if at < seen {
			t.Fatalf("a piece at %d overlaps the one before, which ends at %d", at, seen)
		}
		seen = at + 3
	}
	total := 0
	for _, n := range w.refs {
		if n == 0 {
			t.Error("a reference count is 0, or has gone round")
		}
		total += int(n)
	}
	if total < 200000 {
		t.Errorf("%d references were counted", total)
	}
}
