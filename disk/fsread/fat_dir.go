package fsread

import (
	"slices"
	"strings"
	"unicode/utf16"
)

// maxFATDirectory is the most that a directory may have: 2^16 entries.
const maxFATDirectory = 2 << 20

// ReadDir reads a directory.
func (f *fat) ReadDir(number uint64) ([]Entry, error) {
	e, err := f.entry(number)
	if err != nil {
		return nil, err
	}
	if !e.directory {
		return nil, damaged("the entry at %d is not a directory", number)
	}
	var parts []part
	if number == 0 && f.bits < 32 {
		parts = []part{{0, f.root, f.rootSize}}
	} else if parts, err = f.chain(e.cluster, maxFATDirectory); err != nil {
		return nil, err
	} else if err := f.claim(number, parts); err != nil {
		return nil, err
	}
	d := &fatDir{}
	for _, p := range parts {
		for at := int64(0); at < p.size; at += f.cluster {
			b := make([]byte, min(f.cluster, p.size-at))
			if err := readFull(f.r, b, p.disk+at); err != nil {
				return nil, err
			}
			if d.size += len(b); d.size > maxFATDirectory {
				return nil, damaged("a directory of over %d bytes", maxFATDirectory)
			}
			end, err := d.entries(b, uint64(p.disk+at))
			if end || err != nil {
				return d.out, err
			}
		}
	}
	return d.out, nil
}

// fatDir collects the entries of a directory. A long name comes in pieces
// before the entry that it belongs to, the last piece first.
type fatDir struct {
	out    []Entry
	size   int
	long   []uint16
	expect byte // number of the next piece
	sum    byte
}

// entries reads a part of a directory, which starts at an offset, and tells
// whether the directory ends in it.
func (d *fatDir) entries(b []byte, at uint64) (end bool, err error) {
	for ; len(b) >= 32; b, at = b[32:], at+32 {
		switch attributes := b[11]; {
		case b[0] == 0:
			return true, nil
		case b[0] == 0xe5:
			d.long = nil
		case attributes&0x3f == attributeLongName:
			d.piece(b)
		case attributes&attributeLabel != 0:
			d.long = nil
		default:
			name := d.name(b)
			d.long = nil
			if name == "." || name == ".." {
				continue
			}
			if !validName(name) {
				return false, damaged("the name %q", name)
			}
			d.out = append(d.out, Entry{name, at})
		}
	}
	return false, nil
}

// piece takes 13 characters of a long name.
func (d *fatDir) piece(b []byte) {
	const first, most = 0x40, 20
	order := b[0] &^ first
	if b[0]&first != 0 {
		d.long, d.expect, d.sum = []uint16{}, order, b[13]
	}
	if d.long == nil || order != d.expect || order == 0 || order > most || b[13] != d.sum {
		d.long = nil
		return
	}
	d.expect--
	var units []uint16
	for _, r := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
		for i := r[0]; i < r[1]; i += 2 {
			units = append(units, le.Uint16(b[i:]))
		}
	}
	d.long = append(units, d.long...)
}

// name returns the long name of an entry if there is a whole one that belongs to
// it, else the short one.
func (d *fatDir) name(b []byte) string {
	sum := byte(0)
	for _, c := range b[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	if d.long != nil && d.expect == 0 && d.sum == sum {
		if end := slices.Index(d.long, 0); end >= 0 {
			d.long = d.long[:end]
		}
		return string(utf16.Decode(d.long))
	}
	const lowerName, lowerExt = 0x08, 0x10
	name, ext := shortName(b[:8], b[12]&lowerName != 0), shortName(b[8:11], b[12]&lowerExt != 0)
	if ext != "" {
		name += "." + ext
	}
	return name
}

// shortName reads a part of a short name. Characters behind ASCII, of a code
// page that is not known, become question marks.
func shortName(b []byte, lower bool) string {
	var s strings.Builder
	for i, c := range b {
		if i == 0 && c == 0x05 {
			c = 0xe5
		}
		switch {
		case c >= 0x80 || c < ' ':
			s.WriteByte('?')
		case lower && c >= 'A' && c <= 'Z':
			s.WriteByte(c - 'A' + 'a')
		default:
			s.WriteByte(c)
		}
	}
	return strings.TrimRight(s.String(), " ")
}
