package assemblers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/module"
)

// sparseTree is a tree with a file of that size that holds a few bytes at its
// beginning, in its middle and at its end.
func sparseTree(t testing.TB, size int64) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"usr/bin", "boot", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "var/lib/XXX.sparse.major=9"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{0, size/2 + 77, size - 3} {
		if _, err := f.WriteAt([]byte("abc"), at); err != nil {
			t.Skip("no files of that size here: ", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "var/lib/after"), []byte("after"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func runTarOf(ctx context.Context, t *testing.T, in *module.Input) (string, error) {
	t.Helper()
	in.OutputDir, in.Epoch = t.TempDir(), 1
	in.Options = []byte(`{"filename": "a.tar"}`)
	return filepath.Join(in.OutputDir, "a.tar"), runTar(ctx, in)
}

// A file that is zeros for the most part is a sparse one in an archive, which other
// programs read: it takes neither the room nor the time of its zeros.
func TestTarHoldsSparseFiles(t *testing.T) {
	t.Parallel()
	const size = 3 << 40
	tree := sparseTree(t, size)
	file, err := runTarOf(t.Context(), t, &module.Input{Tree: tree})
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil || st.Size() > 1<<20 {
		t.Fatalf("%v, %v", st, err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := map[string]int64{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = h.Size
		if h.Name == "./var/lib/XXX.sparse.major=9" {
			head := make([]byte, 4)
			if _, err := io.ReadFull(r, head); err != nil || string(head) != "abc\x00" {
				t.Errorf("it begins with %q, %v", head, err)
			}
		}
	}
	if found["./var/lib/XXX.sparse.major=9"] != size || found["./var/lib/after"] != 5 {
		t.Errorf("%v", found)
	}
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("needs tar")
	}
	out := t.TempDir()
	if text, err := exec.Command("tar", "-xf", file, "-C", out, "--no-same-owner").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, at := range []int64{0, size/2 + 77, size - 3} {
		got, err := os.Open(filepath.Join(out, "var/lib/XXX.sparse.major=9"))
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 3)
		if _, err := got.ReadAt(buf, at); err != nil || string(buf) != "abc" {
			t.Errorf("at %d: %q, %v", at, buf, err)
		}
		got.Close()
	}
}

// The archive is the same whether the builder's disk has kept the holes or not.
func TestTarOfSparseFilesIsThatOfTheirContent(t *testing.T) {
	t.Parallel()
	const size = minSparse
	sparse, full := sparseTree(t, size), sparseTree(t, size)
	name := filepath.Join(full, "var/lib/XXX.sparse.major=9")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	var archives [][]byte
	for _, tree := range []string{sparse, full} {
		file, err := runTarOf(t.Context(), t, &module.Input{Tree: tree})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, data)
	}
	if !bytes.Equal(archives[0], archives[1]) || len(archives[0]) > 1<<20 {
		t.Errorf("%d and %d bytes", len(archives[0]), len(archives[1]))
	}
}

// Formats without holes would take hours for the zeros of such a file.
func TestFormatsWithoutHoles(t *testing.T) {
	t.Parallel()
	tree := sparseTree(t, 3<<40)
	for what, run := range map[string]func(in *module.Input) error{
		"an OSTree commit": func(in *module.Input) error {
			in.Options = []byte(`{"ref": "a/b"}`)
			return runOSTreeCommit(t.Context(), in)
		},
		"a layer of a container image": func(in *module.Input) error { return runFlatten(t.Context(), in) },
	} {
		in := &module.Input{Tree: tree, OutputDir: t.TempDir(), Epoch: 1}
		err := run(in)
		if err == nil || !strings.Contains(err.Error(), `"var/lib/XXX.sparse.major=9" is a sparse file of 3298534883328 bytes`) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		if entries, err := os.ReadDir(in.OutputDir); err != nil || len(entries) > 0 {
			t.Errorf("%s: it has left %v, %v", what, entries, err)
		}
	}
}

// A copy ends when the build does, in the middle of a file.
func TestCopiesEndWithTheirContext(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(tree, "d/large"))
	if err == nil {
		err = errors.Join(f.Truncate(minSparse-1), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	err = content.Walk(ctx, tree, func(e *content.Entry) error {
		if e.Path != "d/large" {
			return nil
		}
		w := &cancelling{cancel: func() { cancel(cause) }}
		err := e.CopyTo(ctx, w, make([]byte, 1<<16))
		if w.n > 1<<17 {
			t.Errorf("%d bytes were written after the end", w.n)
		}
		return err
	})
	if !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	if _, err := sumFile(ctx, filepath.Join(tree, "d/large")); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	// Nothing of an archive is left.
	ctx, cancelNow := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancelNow()
	file, err := runTarOf(ctx, t, &module.Input{Tree: tree})
	if err == nil {
		t.Error("it went on")
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// cancelling ends a context with the first bytes that it gets.
type cancelling struct {
	n      int
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	c.cancel()
	c.n += len(p)
	return len(p), nil
}
