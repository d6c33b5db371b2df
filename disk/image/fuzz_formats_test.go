package image

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/limit"
)

// fuzzFormat changes single bytes of an image: each five bytes of the input are
// a place and a value. What opens is read, and reads the same twice.
func fuzzFormat(f *testing.F, names ...string) {
	disk := make([]byte, 1<<20)
	copy(disk[510:], "\x55\xaa")
	copy(disk[300000:], bytes.Repeat([]byte("some text "), 5000))
	var images [][]byte
	all := made(f, disk)
	for _, name := range names {
		images = append(images, all[name])
	}
	f.Add(0, []byte{})
	f.Add(1, []byte{0, 0, 0, 60, 1})
	f.Add(0, []byte{0, 0, 0, 24, 0x7f, 0, 0, 2, 4, 0})
	f.Add(0, []byte{0, 0, 0, 36, 0xff, 0, 0x30, 0, 0, 6})
	f.Fuzz(func(t *testing.T, which int, edits []byte) {
		b := bytes.Clone(images[uint(which)%uint(len(images))])
		for ; len(edits) >= 5; edits = edits[5:] {
			at := int(edits[0])<<24 | int(edits[1])<<16 | int(edits[2])<<8 | int(edits[3])
			b[at%len(b)] = edits[4]
		}
		name := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(t.Context(), name)
		if err != nil {
			return
		}
		defer m.Close()
		one, two := make([]byte, 10000), make([]byte, 10000)
		for at, n := int64(0), 0; n < 100; n++ {
			start, end, err := m.Next(at)
			if err != nil {
				if !errors.Is(err, io.EOF) && m.Format == Raw && !errors.Is(err, limit.ErrExceeded) {
					t.Fatal(err)
				}
				break
			}
			if start < at || end <= start || end > m.Size {
				t.Fatalf("data from %d to %d behind %d, of %d", start, end, at, m.Size)
			}
			at = end
			n1, err1 := m.ReadAt(one, start)
			n2, err2 := m.ReadAt(two, start)
			if n1 != n2 || (err1 == nil) != (err2 == nil) || !bytes.Equal(one[:n1], two[:n2]) {
				t.Fatalf("two reads of %d differ: %v, %v", start, err1, err2)
			}
		}
	})
}

func FuzzVMDK(f *testing.F)  { fuzzFormat(f, "vmdk monolithicSparse", "vmdk streamOptimized") }
func FuzzVDI(f *testing.F)   { fuzzFormat(f, "vdi") }
func FuzzVPC(f *testing.F)   { fuzzFormat(f, "vpc fixed", "vpc dynamic") }
func FuzzVHDX(f *testing.F)  { fuzzFormat(f, "vhdx") }
func FuzzQcow2(f *testing.F) { fuzzFormat(f, "qcow2", "qcow2 zlib", "qcow2 zstd") }

// FuzzDetect tells files by their content alone.
func FuzzDetect(f *testing.F) {
	for _, m := range magics {
		f.Add(append(make([]byte, m.at), m.text+"rest"...))
	}
	for _, m := range raws {
		f.Add(append(make([]byte, m.at), m.text...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		format, compression := detectHead(data)
		if format != "" && compression != Plain {
			t.Errorf("%s and %s", format, compression)
		}
	})
}
