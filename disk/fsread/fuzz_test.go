package fsread_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/osbuildkit/osbuildkit/disk/fsread"
	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// base returns a small image of testdata: file systems of 1 MiB with a few files
// of all kinds, made with mke2fs and mkfs.vfat.
func base(t testing.TB, name string) []byte {
	t.Helper()
	packed, err := os.ReadFile("testdata/" + name + ".zst")
	must(t, err)
	z, err := zstd.NewReader(nil)
	must(t, err)
	defer z.Close()
	image, err := z.DecodeAll(packed, nil)
	must(t, err)
	return image
}

// readAll reads all of a file system that may be damaged in any way.
func readAll(t *testing.T, image []byte) {
	t.Helper()
	f, err := fsread.Open(nil, bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return
	}
	err = fsread.Walk(nil, f, func(p *fsread.Place, n *fsread.Node) error {
		if n.Type() != fsread.TypeRegular {
			return nil
		}
		src, size, err := f.Open(p.Number)
		if err != nil {
			return nil
		}
		last := int64(0)
		for range 1000 {
			start, end, err := src.Next(last)
			if err != nil {
				break
			}
			if start < last || end <= start || end > size {
				t.Fatalf("%s: data from %d to %d behind %d, of %d", p.Path(), start, end, last, size)
			}
			last = end
			if _, err := src.ReadAt(make([]byte, min(end-start, 4096)), start); err != nil && !errors.Is(err, fsread.ErrDamaged) && !errors.Is(err, io.EOF) {
				t.Fatalf("%s: %v", p.Path(), err)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fsread.ErrDamaged) && !errors.Is(err, fsread.ErrUnsupported) && !errors.Is(err, limit.ErrExceeded) {
		t.Fatal(err)
	}
	for _, path := range []string{"/dir/link/file", "/EFI/BOOT"} {
		_, _, _ = fsread.Lookup(f, path, true)
	}
}

// fuzz changes single bytes of an image: each four bytes of the input are a
// place and a value. Most places are taken from where the metadata is.
func fuzz(f *testing.F, name string) {
	image := base(f, name)
	f.Add([]byte{})
	f.Add([]byte{0, 4, 0x60, 0xff, 0, 4, 0x18, 6})
	f.Add([]byte{0, 0, 0x0d, 0x80, 0, 2, 3, 0, 0, 2, 4, 0})
	f.Add(bytes.Repeat([]byte{1, 0x20, 0x28, 0x0a}, 4))
	f.Fuzz(func(t *testing.T, edits []byte) {
		changed := bytes.Clone(image)
		for ; len(edits) >= 4; edits = edits[4:] {
			at := int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])
			changed[at%len(changed)] = edits[3]
		}
		readAll(t, changed)
	})
}

func FuzzExt4(f *testing.F) { fuzz(f, "ext4") }
func FuzzExt2(f *testing.F) { fuzz(f, "ext2") }
func FuzzFAT(f *testing.F)  { fuzz(f, "fat") }

// TestBases guards that the images of the fuzz tests are read at all.
func TestBases(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"ext4": "/dir/link/file", "ext2": "/dir/link/file", "fat": "/EFI/BOOT/a long name.efi"} {
		image := base(t, name)
		f, err := fsread.Open(nil, bytes.NewReader(image), int64(len(image)))
		must(t, err)
		number, _, err := fsread.Lookup(f, want, true)
		must(t, err)
		src, size, err := f.Open(number)
		must(t, err)
		data, err := io.ReadAll(io.NewSectionReader(src, 0, size))
		if err != nil || string(data) != "content\n" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		readAll(t, image)
	}
}
