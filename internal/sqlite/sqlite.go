package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of what is read.
const (
	maxRow     = 256 << 20 // bytes
	maxColumns = 1000
	maxDepth   = 40
)

// Types of pages of a table.
const (
	interiorPage = 0x05
	leafPage     = 0x0d
)

// headerSize is the size of the header of the file, at the start of its first
// page.
const headerSize = 100

// Value is one value of a row. Integers are in Int; texts and blobs in Bytes,
// which is nil for any other value. Floating point numbers are left out.
type Value struct {
	Int   int64
	Bytes []byte
}

// DB is a database file.
type DB struct {
	r        io.ReaderAt
	pageSize int64
	usable   int // bytes of a page without those reserved for extensions
	pages    uint32
	seen     map[uint32]bool
	left     int64 // bytes that rows may still have
}

// Open reads the header of a database of the given size in bytes.
func Open(r io.ReaderAt, size int64) (*DB, error) {
	var h [headerSize]byte
	if _, err := r.ReadAt(h[:], 0); err != nil || !bytes.HasPrefix(h[:], []byte("SQLite format 3\x00")) {
		return nil, errors.New("not a database of SQLite")
	}
	db := &DB{r: r, pageSize: int64(binary.BigEndian.Uint16(h[16:]))}
	if db.pageSize == 1 {
		db.pageSize = 65536
	}
	if db.pageSize < 512 || db.pageSize&(db.pageSize-1) != 0 {
		return nil, fmt.Errorf("pages of %d bytes", db.pageSize)
	}
	db.usable = int(db.pageSize) - int(h[20])
	if db.usable < 480 {
		return nil, fmt.Errorf("only %d bytes of a page are used", db.usable)
	}
	if encoding := binary.BigEndian.Uint32(h[56:]); encoding > 1 {
		return nil, errors.New("its texts are not in UTF-8")
	}
	n := size / db.pageSize
	if n < 1 || n > 1<<31 {
		return nil, fmt.Errorf("%d pages", n)
	}
	db.pages = uint32(n)
	return db, nil
}

// Rows calls fn for each row of a table, in the order of their numbers. It is
// an error if there is no such table.
func (db *DB) Rows(table string, fn func(row int64, values []Value) error) error {
	db.seen, db.left = map[uint32]bool{}, int64(db.pages)*db.pageSize
	root := int64(0)
	err := db.walk(1, 0, func(_ int64, v []Value) error {
		if len(v) >= 4 && string(v[0].Bytes) == "table" && string(v[1].Bytes) == table {
			root = v[3].Int
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the list of tables: %w", err)
	}
	if root < 2 || root > int64(db.pages) {
		return fmt.Errorf("no table %q", table)
	}
	return db.walk(uint32(root), 0, fn)
}

// page reads a page, once.
func (db *DB) page(n uint32) ([]byte, error) {
	if n < 1 || n > db.pages {
		return nil, fmt.Errorf("page %d of %d", n, db.pages)
	}
	if db.seen[n] {
		return nil, fmt.Errorf("page %d is used twice", n)
	}
	db.seen[n] = true
	p := make([]byte, db.pageSize)
	if _, err := db.r.ReadAt(p, int64(n-1)*db.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", n, err)
	}
	return p[:db.usable], nil
}

// walk visits the pages of a table.
func (db *DB) walk(n uint32, depth int, fn func(int64, []Value) error) error {
	if depth > maxDepth {
		return errors.New("too deep")
	}
	p, err := db.page(n)
	if err != nil {
		return err
	}
	start := 0
	if n == 1 {
		start = headerSize
	}
	h := p[start:]
	kind, cells := h[0], int(binary.BigEndian.Uint16(h[3:]))
	size := 8
	switch kind {
	case leafPage:
	case interiorPage:
		size = 12
	default:
		return fmt.Errorf("page %d is none of a table", n)
	}
	if len(h) < size+2*cells {
		return fmt.Errorf("page %d has %d cells, more than fit", n, cells)
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(h[size+2*i:]))
		if at >= len(p) {
			return fmt.Errorf("page %d: a cell lies outside of it", n)
		}
		if kind == leafPage {
			err = db.leaf(p[at:], fn)
		} else if len(p)-at < 4 {
			err = fmt.Errorf("page %d: a cell is cut off", n)
		} else {
			err = db.walk(binary.BigEndian.Uint32(p[at:]), depth+1, fn)
		}
		if err != nil {
			return err
		}
	}
	if kind == interiorPage {
		return db.walk(binary.BigEndian.Uint32(h[8:]), depth+1, fn)
	}
	return nil
}

// leaf reads the row of one cell.
func (db *DB) leaf(cell []byte, fn func(int64, []Value) error) error {
	size, n := varint(cell)
	if n == 0 || size < 0 || size > maxRow {
		return fmt.Errorf("a row of %d bytes", size)
	}
	cell = cell[n:]
	row, n := varint(cell)
	if n == 0 {
		return errors.New("a row is cut off")
	}
	cell = cell[n:]
	// All rows together are no larger than the file, unless cells overlap.
	if db.left -= size; db.left < 0 {
		return errors.New("the rows are larger than the file")
	}
	payload, err := db.payload(cell, int(size))
	if err != nil {
		return fmt.Errorf("row %d: %w", row, err)
	}
	values, err := record(payload)
	if err != nil {
		return fmt.Errorf("row %d: %w", row, err)
	}
	return fn(row, values)
}

// payload gathers the bytes of a row from its cell and the pages after it.
func (db *DB) payload(cell []byte, size int) ([]byte, error) {
	local := size
	if limit := db.usable - 35; size > limit {
		least := (db.usable-12)*32/255 - 23
		local = least + (size-least)%(db.usable-4)
		if local > limit {
			local = least
		}
	}
	if len(cell) < local || size > local && len(cell) < local+4 {
		return nil, errors.New("is cut off")
	}
	if size == local {
		return cell[:size], nil
	}
	// Grows with the pages that are really there.
	out := append([]byte(nil), cell[:local]...)
	next := binary.BigEndian.Uint32(cell[local:])
	for len(out) < size {
		p, err := db.page(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(p)
		out = append(out, p[4:min(len(p), 4+size-len(out))]...)
	}
	return out, nil
}

// record decodes a row.
func record(p []byte) ([]Value, error) {
	size, n := varint(p)
	if n == 0 || size < int64(n) || size > int64(len(p)) {
		return nil, errors.New("its header is cut off")
	}
	types, body := p[n:size], p[size:]
	var out []Value
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 || kind < 0 || len(out) == maxColumns {
			return nil, errors.New("its header is damaged")
		}
		types = types[n:]
		width := int64(0)
		switch {
		case kind < 10:
			width = []int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
		case kind < 12:
			return nil, errors.New("a value of an unknown type")
		default:
			width = (kind - 12) / 2
		}
		if width > int64(len(body)) {
			return nil, errors.New("a value is cut off")
		}
		b := body[:width:width]
		body = body[width:]
		switch {
		case kind >= 12:
			out = append(out, Value{Bytes: b})
		case kind == 9:
			out = append(out, Value{Int: 1})
		case kind >= 1 && kind <= 6:
			v := int64(int8(b[0]))
			for _, c := range b[1:] {
				v = v<<8 | int64(c)
			}
			out = append(out, Value{Int: v})
		default:
			out = append(out, Value{})
		}
	}
	return out, nil
}

// varint reads a number of one to nine bytes and says how many they are; 0 if
// it is cut off.
func varint(p []byte) (v int64, n int) {
	for i, c := range p {
		if i == 8 {
			return v<<8 | int64(c), 9
		}
		v = v<<7 | int64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
