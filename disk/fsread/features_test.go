package fsread_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/fsread/directory"
)

// Features that change where things are on the disk.
func TestExtLayouts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a/b/large"), bytes.Repeat([]byte("0123456789abcdef"), 100<<10), 0o644))
	for _, args := range []string{
		"-O bigalloc -b 1024", "-O bigalloc -b 4096 -C 65536", "-O bigalloc,meta_bg,^resize_inode -b 1024",
		"-O meta_bg,^resize_inode -b 1024", "-O meta_bg,^resize_inode -b 4096", "-O meta_bg,^resize_inode,^64bit -b 2048",
		"-O meta_bg,^resize_inode,^sparse_super -b 1024", "-O sparse_super2,meta_bg,^resize_inode -b 1024", "-O ^flex_bg,^sparse_super,^resize_inode -b 1024",
		// Groups so small that there are many blocks of descriptors.
		"-O meta_bg,^resize_inode,^flex_bg -b 1024 -g 256 -N 8000", "-O ^resize_inode,^flex_bg -b 1024 -g 256 -N 8000",
	} {
		image := filepath.Join(t.TempDir(), "image")
		run(t, "mke2fs", append(strings.Fields(args), "-t", "ext4", "-q", "-F", "-d", dir, image, "64M")...)
		d, err := fsread.Diff(t.Context(), directory.Open(dir), open(t, image), fsread.DiffOptions{
			Ignore: []string{"/lost+found"},
			Adjust: func(_ string, a, b *fsread.Node) {
				a.UID, a.GID, a.ModTime, a.Attributes = b.UID, b.GID, b.ModTime, b.Attributes
			},
		})
		if err != nil || d != nil {
			t.Errorf("%s: %v, %v", args, d, err)
		}
	}
}

// What cannot be read here is not called damaged, and is named.
func TestExtUnsupported(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-O encrypt":     "ext4 with the feature encrypt cannot be read here",
		"-O journal_dev": "ext4 with the feature journal_dev cannot be read here",
	} {
		image := filepath.Join(t.TempDir(), "image")
		run(t, "mke2fs", append(strings.Fields(args), "-t", "ext4", "-q", "-F", image, "16M")...)
		data, err := os.ReadFile(image)
		must(t, err)
		f, err := fsread.Open(nil, bytes.NewReader(data), int64(len(data)))
		if f != nil || !errors.Is(err, fsread.ErrUnsupported) || errors.Is(err, fsread.ErrDamaged) || err.Error() != want {
			t.Errorf("%s: %v, %v", args, f, err)
		}
	}
	image := base(t, "ext4")
	image[1024+0x60+2] |= 1 << 4 // a bit that nothing has yet
	image[1024+0x60] |= 1
	if _, err := fsread.Open(nil, bytes.NewReader(image), int64(len(image))); err == nil || !strings.HasPrefix(err.Error(), "ext4 with the features compression, 0x100000 cannot") {
		t.Error(err)
	}
}

// Content that lies in an inode is read, or said to be unsupported, and nothing else.
func TestExtInlineData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "small"), []byte("x"), 0o644))
	image := filepath.Join(t.TempDir(), "image")
	run(t, "mke2fs", "-t", "ext4", "-O", "inline_data", "-q", "-F", "-d", dir, image, "16M")
	f := open(t, image)
	number, _, err := fsread.Lookup(f, "/small", true)
	must(t, err)
	src, size, err := f.Open(number)
	if errors.Is(err, fsread.ErrUnsupported) {
		return
	}
	must(t, err)
	if data, err := io.ReadAll(io.NewSectionReader(src, 0, size)); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

// A file system that is cut off anywhere is read as far as it says what it is,
// or is an error; a reader that could not be made is nil.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ext4", "ext2", "fat"} {
		whole := base(t, name)
		for size := 0; size < len(whole); size += 4 << 10 {
			f, err := fsread.Open(nil, bytes.NewReader(whole[:size]), int64(size))
			if err == nil {
				t.Errorf("%s of %d bytes in %d is whole", name, len(whole), size)
			}
			if f != nil {
				t.Errorf("%s of %d bytes: a reader and the error %v", name, size, err)
			}
			// The device may be larger than what can be read of it.
			readAll(t, whole[:size])
			readCut(t, whole[:size], int64(len(whole)))
		}
	}
}

// readCut reads a file system whose device has a size, and ends before.
func readCut(t *testing.T, data []byte, size int64) {
	t.Helper()
	f, err := fsread.Open(nil, bytes.NewReader(data), size)
	if err != nil {
		if f != nil {
			t.Errorf("a reader and the error %v", err)
		}
		return
	}
	err = fsread.Walk(nil, f, func(p *fsread.Place, n *fsread.Node) error {
		if n.Type() != fsread.TypeRegular {
			return nil
		}
		src, size, err := f.Open(p.Number)
		if err == nil {
			_, err = io.Copy(io.Discard, io.NewSectionReader(src, 0, size))
		}
		return err
	})
	if err != nil && !errors.Is(err, fsread.ErrDamaged) && !errors.Is(err, fsread.ErrUnsupported) {
		t.Error(err)
	}
}

// Whatever the first bytes say, the probe answers, and so do the readers.
func FuzzProbe(f *testing.F) {
	for _, magic := range []struct {
		at   int
		text string
	}{
		{0, "LUKS\xba\xbe\x00\x02"}, {0, "XFSB"}, {65600, "_BHRfS_M"}, {0, "hsqs"}, {1024, "\xe2\xe1\xf5\xe0"}, {4086, "SWAPSPACE2"},
		{32769, "CD001"}, {0, "verity\x00\x00"}, {512, "LABELONE"}, {1080, "\x53\xef"}, {510, "\x55\xaa"},
	} {
		b := make([]byte, magic.at+len(magic.text))
		copy(b[magic.at:], magic.text)
		f.Add(b, int64(1<<20))
		f.Add(b, int64(len(b)))
	}
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size < 0 {
			return
		}
		info, err := fsread.Probe(bytes.NewReader(b), size)
		if err != nil || info == nil {
			t.Fatal(err)
		}
		if r, err := fsread.Open(nil, bytes.NewReader(b), size); err != nil && r != nil {
			t.Errorf("a reader and the error %v", err)
		}
	})
}
