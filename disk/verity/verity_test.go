package verity

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/disk"
	"github.com/osbuildkit/osbuildkit/disk/internal/tool"
	"github.com/osbuildkit/osbuildkit/disk/sparse"
)

var id = disk.UUID{1, 2, 3}

// part is a place with data of a file.
type part struct {
	at   int64
	data string
}

// write makes a sparse file with parts and its hash tree.
func write(t *testing.T, size int64, workers int, parts ...part) (data, tree string, root RootHash) {
	t.Helper()
	dir := t.TempDir()
	data, tree = filepath.Join(dir, "data"), filepath.Join(dir, "tree")
	f, err := os.Create(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range parts {
		if _, err := f.WriteAt([]byte(p.data), p.at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	dst, err := os.Create(tree)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	root, err = Write(t.Context(), dst, sparse.File{File: f}, size, Options{ID: id, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := dst.Stat(); err != nil || st.Size() != Size(size) {
		t.Errorf("the tree of %d bytes has %d bytes, want %d", size, st.Size(), Size(size))
	}
	return data, tree, root
}

// TestVeritysetup lets veritysetup check trees of all shapes.
func TestVeritysetup(t *testing.T) {
	t.Parallel()
	program, err := tool.Find("cryptsetup-bin", "veritysetup")
	if err != nil {
		t.Skip(err)
	}
	const b = BlockSize
	for _, tc := range []struct {
		size  int64
		parts []part
	}{
		{b, nil},
		{b, []part{{0, "one block"}}},
		{2 * b, []part{{b, "two"}}},
		{128 * b, []part{{0, "a full block of digests"}}},
		{129 * b, []part{{128 * b, "one more"}}},
		{128 * 128 * b, []part{{5, "two full levels"}, {77 * chunk, "x"}}},
		{(128*128 + 1) * b, []part{{64 << 20, "three levels"}}},
		{300 * b, nil},
		{1<<30 + 7*b, []part{{1 << 20, strings.Repeat("data", 1<<18)}, {1<<30 - 1, strings.Repeat("e", 6*b)}}},
	} {
		data, tree, root := write(t, tc.size, 0, tc.parts...)
		if out, err := tool.Run(t.Context(), nil, program, "verify", data, tree, root.String()); err != nil {
			t.Errorf("%d bytes: %v: %s", tc.size, err, out)
		}
		dump, err := tool.Run(t.Context(), nil, program, "dump", tree)
		if err != nil || !strings.Contains(dump, id.Derive("verity").String()) {
			t.Errorf("%v: %s", err, dump)
		}
		// One byte more, and it is another file.
		f, err := os.OpenFile(data, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt([]byte{0xff}, tc.size-1)
		f.Close()
		if out, err := tool.Run(t.Context(), nil, program, "verify", data, tree, root.String()); err == nil {
			t.Errorf("%d bytes: damaged data is taken: %s", tc.size, out)
		}
	}
}

func TestSameBytes(t *testing.T) {
	t.Parallel()
	parts := []part{{3 << 20, strings.Repeat("abc", 1<<20)}, {40 << 20, "x"}}
	_, one, a := write(t, 64<<20, 1, parts...)
	_, two, b := write(t, 64<<20, 7, parts...)
	// Zeros that are written are the same as holes.
	_, three, c := write(t, 64<<20, 2, append(parts, part{50 << 20, string(make([]byte, 1<<20))})...)
	x, _ := os.ReadFile(one)
	y, _ := os.ReadFile(two)
	z, _ := os.ReadFile(three)
	if a != b || a != c || len(x) == 0 || !bytes.Equal(x, y) || !bytes.Equal(x, z) {
		t.Error("the hash tree depends on more than the data")
	}
	data, tree := a.PartitionUUIDs()
	if got := strings.ReplaceAll(data.String()+tree.String(), "-", ""); got != a.String() {
		t.Errorf("identifiers %s and %s of %s", data, tree, a)
	}
}

// TestHoles has far more holes than could be read in time.
func TestHoles(t *testing.T) {
	t.Parallel()
	start := time.Now()
	write(t, 20<<30, 0, part{10 << 30, "x"})
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a hash tree of 20 GiB of holes took %s", took)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int64{0, -BlockSize, BlockSize + 512} {
		if _, err := Write(t.Context(), f, sparse.File{File: f}, size, Options{}); err == nil || !strings.Contains(err.Error(), "multiple of 4096") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("x"), 1<<29)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, f, sparse.File{File: f}, 1<<30, Options{}); err == nil {
		t.Error("a context that has ended is not looked at")
	}
}

func BenchmarkWrite(b *testing.B) {
	dir := b.TempDir()
	f, err := os.Create(filepath.Join(dir, "data"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const size = 256 << 20
	f.Write(bytes.Repeat([]byte("0123456789abcdef"), size/16))
	dst, err := os.Create(filepath.Join(dir, "tree"))
	if err != nil {
		b.Fatal(err)
	}
	defer dst.Close()
	b.SetBytes(size)
	for b.Loop() {
		if _, err := Write(b.Context(), dst, sparse.File{File: f}, size, Options{ID: id}); err != nil {
			b.Fatal(err)
		}
	}
}
