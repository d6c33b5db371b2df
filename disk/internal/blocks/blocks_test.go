package blocks

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// letters is a disk in which every third run of two blocks holds its letter.
type letters struct{}

func (letters) Find(index int64) (bool, int64, error) { return index/2%3 == 0, 2 - index%2, nil }
func (letters) Read(p []byte, index, _ int64) error {
	for i := range p {
		p[i] = 'a' + byte(index)
	}
	return nil
}

func TestDisk(t *testing.T) {
	t.Parallel()
	d := New(75, 10, letters{})
	want := bytes.Repeat([]byte{0}, 75)
	copy(want, "aaaaaaaaaabbbbbbbbbb")
	copy(want[60:], "ggggggggggggggghhhhh"[5:])
	copy(want[70:], "hhhhh")
	copy(want[60:70], "gggggggggg")
	got := make([]byte, 80)
	if n, err := d.ReadAt(got, 0); n != 75 || !errors.Is(err, io.EOF) || !bytes.Equal(got[:75], want) {
		t.Errorf("%d, %v: %q", n, err, got)
	}
	for _, c := range []struct{ off, start, end int64 }{{0, 0, 20}, {5, 5, 20}, {20, 60, 75}, {74, 74, 75}} {
		if start, end, err := d.Next(c.off); start != c.start || end != c.end || err != nil {
			t.Errorf("next of %d is %d to %d, %v", c.off, start, end, err)
		}
	}
	if _, _, err := d.Next(75); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := make([]byte, 3*pageSize+8)
	b[pageSize+4], b[pageSize+7] = 1, 2
	b[3*pageSize+7] = 9
	p := NewPages(bytes.NewReader(b))
	if v, err := p.LE32(pageSize + 4); v != 0x02000001 || err != nil {
		t.Errorf("%x, %v", v, err)
	}
	if v, err := p.BE32(pageSize + 4); v != 0x01000002 || err != nil {
		t.Errorf("%x, %v", v, err)
	}
	if v, err := p.BE64(3 * pageSize); v != 9 || err != nil {
		t.Errorf("%x, %v", v, err)
	}
	for _, at := range []uint64{3*pageSize + 8, 1 << 40, 1 << 63} {
		if _, err := p.LE64(at); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	c := NewClaims()
	for _, part := range []uint64{0, 1, 63, 64, 1 << 40, 65, 2} {
		if err := c.Add(part); err != nil {
			t.Errorf("%d: %v", part, err)
		}
	}
	for _, part := range []uint64{0, 1, 63, 64, 1 << 40, 65, 2} {
		if err := c.Add(part); !errors.Is(err, ErrShared) {
			t.Errorf("%d again: %v", part, err)
		}
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	r := NewRecent[int](2)
	for i := range 3 {
		r.Put(uint64(i), i)
	}
	r.Put(2, 7)
	if _, ok := r.Get(0); ok {
		t.Error("more is kept than should be")
	}
	if v, ok := r.Get(2); !ok || v != 7 {
		t.Errorf("%d, %v", v, ok)
	}
}
