package stages

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// repeated is an archive with one file of n bytes, compressed with zstd.
func repeated(t testing.TB, n int64, b byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "pkg/file", Typeflag: tar.TypeReg, Mode: 0o644, Size: n, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte{b}, 1<<20)
	for left := n; left > 0; left -= int64(len(block)) {
		if _, err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is zero takes no room on the builder's disk, whatever form it has in the
// archive.
func TestCopyWritesNoZeros(t *testing.T) {
	t.Parallel()
	const size = 200 << 20
	dir, data := t.TempDir(), repeated(t, size, 0)
	if _, err := runStageWith(t, "org.osbuild.copy", dir, copyInput(t, data), `{"source": {"type": "archive", "checksum": "`+sha256Of(data)+`"}}`); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, "file"))
	if err != nil || st.Size() != size || st.Sys().(*syscall.Stat_t).Blocks*512 > 1<<20 {
		t.Errorf("%+v, %v", st, err)
	}
}

// A few bytes do not become many: what is written is counted, and compared with
// the size of the archive.
func TestCopyOfAFewBytes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("writes a gigabyte; not with -short")
	}
	dir, data := t.TempDir(), repeated(t, expand.Free+int64(200<<20), 'x')
	if len(data) > 150_000 {
		t.Fatalf("the archive has %d bytes", len(data))
	}
	_, err := runStageWith(t, "org.osbuild.copy", dir, copyInput(t, data), `{"source": {"type": "archive", "checksum": "`+sha256Of(data)+`"}}`)
	if err == nil || !strings.Contains(err.Error(), "it was made to fill a disk") {
		t.Errorf("error %v", err)
	}
}

// A copy that takes long ends when the build does.
func TestCopyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	data := repeated(t, 8<<20, 'x')
	in := copyInput(t, data)
	file, err := onlyFile(&module.Input{Inputs: in}, sourceInput)
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{file: file, strip: 1}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	cancel(cause)
	if err := a.readIndex(ctx); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}

// Whatever an archive has in it, a copy of it ends, writes what the bounds allow and
// nothing out of the tree.
func FuzzCopyArchive(f *testing.F) {
	f.Add(sparseArchive(f, 1<<40), 1)
	f.Add(repeated(f, 1<<20, 0), 1)
	f.Add(repeated(f, 1<<16, 'x'), 0)
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "d/f", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 3},
		{Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "../../../../outside"}, {Name: "d/l/x", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "d/h", Typeflag: tar.TypeLink, Linkname: "d/f"}, {Name: "p", Typeflag: tar.TypeFifo, Mode: 0o600}, {Name: "../outside", Typeflag: tar.TypeReg},
	} {
		h.ModTime = time.Unix(1, 0)
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("abc")); err != nil {
				f.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes(), 0)
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	if _, err := io.Copy(z, bytes.NewReader(plain.Bytes())); err != nil || z.Close() != nil {
		f.Fatal(err)
	}
	f.Add(gz.Bytes(), 2)
	f.Fuzz(func(t *testing.T, data []byte, strip int) {
		top := t.TempDir()
		file, dir := filepath.Join(top, "archive"), filepath.Join(top, "tree")
		if err := errors.Join(os.WriteFile(file, data, 0o644), os.Mkdir(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		root, err := tree.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		a := &archive{file: file, strip: max(0, min(strip, maxStrip))}
		if a.readIndex(ctx) != nil {
			return
		}
		c := &copier{in: &module.Input{Tree: dir}, t: root, a: a, l: &ledger.Ledger{}, budget: expand.Budget{Data: 64 << 20, Packed: int64(len(data))}, buf: make([]byte, 64<<10)}
		if c.plan(&idTables{}, CopyPath{}) == nil {
			for _, s := range c.selections {
				_ = c.copy(ctx, s)
			}
		}
		if c.budget.Written() > 64<<20+1<<20 {
			t.Errorf("%d bytes were written", c.budget.Written())
		}
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 2 {
			t.Errorf("something was written beside the tree: %v, %v", entries, err)
		}
	})
}
