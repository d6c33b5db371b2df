package qcow2

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// TestImage reads what Write writes.
func TestImage(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		for _, o := range kinds {
			var f file
			if _, err := Write(t.Context(), &f, s.src, s.size, o); err != nil {
				t.Fatal(err)
			}
			m, err := Open(bytes.NewReader(f.b), nil)
			if err != nil {
				t.Fatalf("%s, %+v: %v", s.name, o, err)
			}
			got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
			if err != nil || !bytes.Equal(got, s.want()) {
				t.Errorf("%s, %+v: the disk reads differently: %v", s.name, o, err)
			}
			if want := max(2, o.Version); m.Version() < want || m.Size() != s.size {
				t.Errorf("%s, %+v: version %d, %d bytes", s.name, o, m.Version(), m.Size())
			}
		}
	}
	if _, err := Open(bytes.NewReader([]byte("QFI")), nil); !errors.Is(err, ErrNotQcow2) {
		t.Errorf("error %v", err)
	}
}

// FuzzImage changes single bytes of an image: each four bytes of the input are a
// place and a value.
func FuzzImage(f *testing.F) {
	var images [][]byte
	for _, o := range []Options{{Compression: Zstd, ClusterSize: 4 << 10}, {Compression: Zlib, ClusterSize: 4 << 10, Version: 2}} {
		var out file
		if _, err := Write(f.Context(), &out, &memory{data: text(1, 100<<10)}, 4<<20, o); err != nil {
			f.Fatal(err)
		}
		images = append(images, out.b)
	}
	f.Add(false, []byte{0, 0, 0x14, 9})
	f.Add(true, []byte{0, 0, 0x18, 0x3f})
	f.Fuzz(func(t *testing.T, second bool, edits []byte) {
		b := bytes.Clone(images[0])
		if second {
			b = bytes.Clone(images[1])
		}
		for ; len(edits) >= 4; edits = edits[4:] {
			at := int(edits[0])<<16 | int(edits[1])<<8 | int(edits[2])
			b[at%len(b)] = edits[3]
		}
		m, err := Open(bytes.NewReader(b), nil)
		if err != nil {
			return
		}
		buf := make([]byte, 10000)
		for at, n := int64(0), 0; n < 500; n++ {
			start, end, err := m.Next(at)
			if err != nil {
				break
			}
			if start < at || end <= start || end > m.Size() {
				t.Fatalf("data from %d to %d behind %d, of %d", start, end, at, m.Size())
			}
			at = end
			_, _ = m.ReadAt(buf, start)
		}
	})
}
