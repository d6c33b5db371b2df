package inspect_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/osbuildkit/osbuildkit/disk/image"
	"github.com/osbuildkit/osbuildkit/disk/inspect"
)

// memory is a disk in memory, all of which is data.
type memory struct{ *bytes.Reader }

// Next finds what is not a hole; see sparse.Source.
func (m memory) Next(off int64) (start, end int64, err error) {
	if off >= m.Size() {
		return 0, 0, io.EOF
	}
	return off, m.Size(), nil
}

// Whatever a disk holds, it is described or refused.
func FuzzDescribe(f *testing.F) {
	mbr := make([]byte, 4096)
	copy(mbr[446:], []byte{0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0})
	mbr[510], mbr[511] = 0x55, 0xaa
	mbr[512+1080], mbr[512+1081] = 0x53, 0xef
	f.Add(mbr)
	f.Add(append(make([]byte, 512), "EFI PART"...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		m := &image.Image{Source: memory{bytes.NewReader(data)}, Format: image.Raw, Size: int64(len(data)), FileSize: int64(len(data))}
		if r, err := inspect.Describe(m); (r == nil) == (err == nil) {
			t.Errorf("%v, %v", r, err)
		}
		d, err := inspect.Open(nil, m, m.Size)
		if err != nil {
			return
		}
		for _, v := range d.Volumes {
			if (v.FS == nil) == (v.Err == nil) || v.Info == nil {
				t.Errorf("partition %d: %v, %v", v.Partition.Number, v.FS, v.Err)
			}
		}
		if tree, err := d.Tree(); (tree == nil) == (err == nil) {
			t.Errorf("%v, %v", tree, err)
		}
	})
}
