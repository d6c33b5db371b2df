package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// rows.sqlite was made with Python's sqlite3 3.40: pages of 512 bytes, so that
// the table has pages above its leaves and rows that go on in other pages.
func rows(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/rows.sqlite")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, data []byte) *DB {
	t.Helper()
	db, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestRows(t *testing.T) {
	t.Parallel()
	integers := []int64{0, 1, -1, 127, -128, 300, -70000, 1<<23 + 5, 1<<40 + 1, -1 << 50, 1 << 62}
	n := 0
	err := open(t, rows(t)).Rows("rows", func(row int64, v []Value) error {
		if n++; n == 1 {
			if row != -5 || len(v) != 4 || v[2].Bytes != nil || v[3].Bytes == nil || len(v[3].Bytes) != 0 {
				return fmt.Errorf("first row %d: %v", row, v)
			}
			return nil
		}
		i := n - 1
		size := i * 20
		if i == 40 {
			size = 1700
		}
		if row != int64(i*3) || v[1].Int != integers[i%len(integers)] || string(v[2].Bytes) != fmt.Sprintf("text %d", i) ||
			!bytes.Equal(v[3].Bytes, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Errorf("row %d: %d, %s, %d bytes", row, v[1].Int, v[2].Bytes, len(v[3].Bytes))
		}
		return nil
	})
	if err != nil || n != 41 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := open(t, rows(t)).Rows("other", func(int64, []Value) error { return fmt.Errorf("it has no rows") }); err != nil {
		t.Error(err)
	}
	if err := open(t, rows(t)).Rows("none", nil); err == nil || err.Error() != `no table "none"` {
		t.Error(err)
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	change := func(at int, with ...byte) []byte {
		data := rows(t)
		copy(data[at:], with)
		return data
	}
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "not a database of SQLite", nil},
		{"other file", "not a database of SQLite", bytes.Repeat([]byte("x"), 4096)},
		{"size of pages", "pages of 513 bytes", change(16, 2, 1)},
		{"reserved bytes", "only 257 bytes of a page are used", change(20, 255)},
		{"UTF-16", "its texts are not in UTF-8", change(56, 0, 0, 0, 2)},
		{"first page", "the list of tables: page 1 is none of a table", change(100, 3)},
		{"cells", "the list of tables: page 1 has 65535 cells, more than fit", change(103, 255, 255)},
		{"cut off", "page ", rows(t)[:2048]},
	} {
		db, err := Open(bytes.NewReader(c.data), int64(len(c.data)))
		if err == nil {
			err = db.Rows("rows", func(int64, []Value) error { return nil })
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// A page that leads to itself ends the walk.
func TestLoop(t *testing.T) {
	t.Parallel()
	data := rows(t)
	var roots int
	for at := 512; at < len(data); at += 512 {
		if data[at] == interiorPage {
			n := at/512 + 1
			copy(data[at+8:], []byte{0, 0, byte(n >> 8), byte(n)})
			roots++
		}
	}
	err := open(t, data).Rows("rows", func(int64, []Value) error { return nil })
	if roots == 0 || err == nil || !strings.Contains(err.Error(), "is used twice") {
		t.Errorf("%d interior pages, %v", roots, err)
	}
}

// Cells that are the same bytes do not multiply a small file.
func TestOverlap(t *testing.T) {
	t.Parallel()
	data := make([]byte, 65536*2)
	copy(data, rows(t)[:headerSize])
	copy(data[16:], []byte{0, 1}) // pages of 65536 bytes
	data[20] = 0
	const cells, at = 20000, 60000
	page := data[headerSize:]
	page[0] = leafPage
	page[3], page[4] = cells>>8, cells&0xff
	for i := range cells {
		page[8+2*i], page[9+2*i] = at>>8, at&0xff
	}
	// A row of 5000 bytes: its size, its number, and one blob of 4997 bytes.
	copy(data[at:], []byte{0xa7, 0x08, 1, 3, 0xce, 0x16})
	err := open(t, data).Rows("rows", nil)
	if err == nil || !strings.Contains(err.Error(), "the rows are larger than the file") {
		t.Error(err)
	}
}

func FuzzRows(f *testing.F) {
	f.Add(rows(f))
	f.Add(rows(f)[:1024])
	f.Fuzz(func(t *testing.T, data []byte) {
		db, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		total := 0
		_ = db.Rows("rows", func(_ int64, v []Value) error {
			for _, x := range v {
				total += len(x.Bytes)
			}
			return nil
		})
		if total > len(data) {
			t.Errorf("%d bytes out of %d", total, len(data))
		}
	})
}
