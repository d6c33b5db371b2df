package vfat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/disk/content"
	"github.com/osbuildkit/osbuildkit/internal/unix"
)

// entrySize is the size of a directory entry. A long name takes several.
const entrySize = 32

// maxDirectory is the size of the largest directory in entries.
const maxDirectory = 65536

const (
	attrVolume    = 0x08
	attrDirectory = 0x10
	attrArchive   = 0x20
	attrLongName  = 0x0f
)

// directory is a directory before it is written.
type directory struct {
	source *content.File
	// entries are in the order of the disk, those of long names included.
	entries  []entry
	first    uint32
	clusters int64
}

// entry is one entry of 32 bytes.
type entry struct {
	// long is the whole entry if it is a part of a long name.
	long  []byte
	short [11]byte
	attr  byte
	time  int64
	file  *content.File // of a regular file
	sub   *directory    // of a directory below
	up    *directory    // of "." and ".."; nil is cluster 0
	dots  bool
	first uint32
}

// newDirectory turns the root directory, and all below it, into entries.
func newDirectory(root *content.File, label string) (*directory, error) {
	d := &directory{source: root}
	if label != "" {
		e := entry{attr: attrVolume, time: root.Time}
		copy(e.short[:], labelField(label))
		d.entries = append(d.entries, e)
	}
	return d, d.fill()
}

// fill adds the entries of what is in a directory.
func (d *directory) fill() error {
	used := map[[11]byte]bool{}
	folded := map[string]string{}
	for _, n := range d.source.Entries {
		if err := checkFile(n.File); err != nil {
			return err
		}
		if err := checkName(n.Name); err != nil {
			return fmt.Errorf("%q: %w", n.File.Path, err)
		}
		fold := strings.ToUpper(n.Name)
		if other, ok := folded[fold]; ok {
			return fmt.Errorf("%q and %q differ only in case, which a FAT file system takes for one name", n.File.Path, other)
		}
		folded[fold] = n.Name
		if s, exact := shortName(n.Name); exact {
			used[s] = true
		}
	}
	for _, n := range d.source.Entries {
		e := entry{attr: attrArchive, time: n.File.Time}
		var exact bool
		if e.short, exact = shortName(n.Name); !exact {
			e.short = alias(n.Name, used)
			d.entries = append(d.entries, longName(n.Name, e.short)...)
		}
		if n.File.Kind() == unix.S_IFDIR {
			e.attr, e.sub = attrDirectory, &directory{source: n.File}
			e.sub.entries = []entry{
				{short: dots("."), attr: attrDirectory, time: n.File.Time, up: e.sub, dots: true},
				{short: dots(".."), attr: attrDirectory, time: d.source.Time, up: d, dots: true},
			}
			if d.source.Path == "/" {
				e.sub.entries[1].up = nil // the root is 0 here
			}
			if err := e.sub.fill(); err != nil {
				return err
			}
		} else {
			e.file = n.File
		}
		d.entries = append(d.entries, e)
	}
	if len(d.entries) > maxDirectory {
		return fmt.Errorf("the directory %q needs %d entries, and a FAT file system takes %d", d.source.Path, len(d.entries), maxDirectory)
	}
	return nil
}

func dots(s string) (out [11]byte) {
	copy(out[:], fmt.Sprintf("%-11s", s))
	return out
}

// encode returns the entries as they stand on the disk.
func (d *directory) encode() []byte {
	var b []byte
	for _, e := range d.entries {
		if e.long != nil {
			b = append(b, e.long...)
			continue
		}
		first, size := e.first, uint32(0)
		switch {
		case e.dots && e.up != nil:
			first = e.up.first
		case e.file != nil:
			size = uint32(e.file.Size)
		}
		date, clock := stamp(e.time)
		b = append(b, e.short[:]...)
		b = append(b, e.attr, 0, 0)
		for _, v := range []uint16{clock, date, date, uint16(first >> 16), clock, date, uint16(first)} {
			b = le.AppendUint16(b, v)
		}
		b = le.AppendUint32(b, size)
	}
	return b
}

// checkName reports why a name cannot be that of a file.
func checkName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("a name in a FAT file system must be valid UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) }):
		return fmt.Errorf(`a name in a FAT file system cannot have control characters or one of \ : * ? " < > |`)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("a name in a FAT file system cannot end with a dot or a space")
	case len(utf16.Encode([]rune(name))) > 255:
		return fmt.Errorf("a name in a FAT file system can have 255 characters")
	}
	return nil
}

func isShort(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("$%'-_@~`!(){}^#&", c) >= 0
}

// shortName returns the name in the form of eight and three characters; exact
// is false where it has another one.
func shortName(name string) (out [11]byte, exact bool) {
	base, ext, dot := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || dot && ext == "" {
		return out, false
	}
	for i := range len(base + ext) {
		if !isShort((base + ext)[i]) {
			return out, false
		}
	}
	copy(out[:], fmt.Sprintf("%-8s%-3s", base, ext))
	return out, true
}

// alias makes a short name for a file with a long one.
func alias(name string, used map[[11]byte]bool) (out [11]byte) {
	clean := func(s string, n int) string {
		var b []byte
		for i := range len(s) {
			c := s[i]
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			switch {
			case c == '.' || c == ' ':
				continue
			case !isShort(c):
				c = '_'
			}
			if b = append(b, c); len(b) == n {
				break
			}
		}
		return string(b)
	}
	base, ext := name, ""
	if i := strings.LastIndexByte(strings.TrimLeft(name, "."), '.'); i >= 0 {
		i += len(name) - len(strings.TrimLeft(name, "."))
		base, ext = name[:i], name[i+1:]
	}
	ext = clean(ext, 3)
	for n := 1; ; n++ {
		number := "~" + strconv.Itoa(n)
		copy(out[:], fmt.Sprintf("%-8s%-3s", clean(base, 8-len(number))+number, ext))
		if !used[out] {
			used[out] = true
			return out
		}
	}
}

// longName returns the entries that hold a long name, the last part first.
func longName(name string, short [11]byte) []entry {
	const perEntry = 13
	var sum byte
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	units := utf16.Encode([]rune(name))
	if len(units)%perEntry != 0 {
		units = append(units, 0)
	}
	for len(units)%perEntry != 0 {
		units = append(units, 0xffff)
	}
	var out []entry
	for i := 0; i < len(units); i += perEntry {
		e := make([]byte, entrySize)
		e[0], e[11], e[13] = byte(i/perEntry+1), attrLongName, sum
		if i+perEntry == len(units) {
			e[0] |= 0x40
		}
		for j, u := range units[i : i+perEntry] {
			at := 1 + 2*j
			switch {
			case j >= 11:
				at = 28 + 2*(j-11)
			case j >= 5:
				at = 14 + 2*(j-5)
			}
			le.PutUint16(e[at:], u)
		}
		out = append(out, entry{long: e})
	}
	slices.Reverse(out)
	return out
}
