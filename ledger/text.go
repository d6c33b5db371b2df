package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The text form. The first line is the header. Then comes a line for each
// path, sorted by the bytes of the paths, and after it, each after one space,
// a line for each of its attributes, sorted by name: name, space, value.
//
//	osbuildkit ledger 1
//	/etc/shadow
//	 security.selinux system_u:object_r:shadow_t:s0%00
//	 user.note two%20words
//
// In paths, names and values alike a byte that is not a printable ASCII
// character, or is a space or a percent sign, is written as % and two
// upper-case hexadecimal digits, and no other byte is. So a ledger has one
// text only, and a path needs not be UTF-8.
const header = "osbuildkit ledger 1\n"

// maxText bounds the text of a ledger. A large system with a label on each of
// its 500 000 files has 60 MB.
const maxText = 512 << 20

// Encode returns the text of the ledger.
func (l *Ledger) Encode() ([]byte, error) {
	out := []byte(header)
	for _, p := range l.Paths() {
		out = append(escape(out, p), '\n')
		a := l.files[p]
		for _, name := range slices.Sorted(maps.Keys(a)) {
			out = append(escape(append(out, ' '), name), ' ')
			out = append(escape(out, a[name]), '\n')
		}
		if len(out) > maxText {
			return nil, fmt.Errorf("the ledger is larger than %d MiB", maxText>>20)
		}
	}
	return out, nil
}

// plain reports whether a byte stands for itself.
func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '%' }

const digits = "0123456789ABCDEF"

func escape[T string | []byte](out []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return out
}

var errEscape = errors.New("a byte is not escaped as it should be")

func unescape(s []byte) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return nil, errEscape
			}
			hi, lo := bytes.IndexByte([]byte(digits), s[i+1]), bytes.IndexByte([]byte(digits), s[i+2])
			if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
				return nil, errEscape
			}
			c, i = byte(hi<<4|lo), i+2
		} else if !plain(c) {
			return nil, errEscape
		}
		out = append(out, c)
	}
	return out, nil
}

// Decode reads the text of a ledger. It takes nothing but what Encode writes.
func Decode(data []byte) (*Ledger, error) {
	if len(data) > maxText {
		return nil, fmt.Errorf("the ledger is larger than %d MiB", maxText>>20)
	}
	rest, ok := bytes.CutPrefix(data, []byte(header))
	if !ok {
		return nil, fmt.Errorf("this is no ledger of a kind that is known here: it does not begin with %q", header[:len(header)-1])
	}
	d := decoder{l: &Ledger{}, number: 1}
	for len(rest) > 0 {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		d.number++
		if !ok {
			return nil, fmt.Errorf("ledger, line %d: the last line is cut off", d.number)
		}
		if err := d.line(line); err != nil {
			return nil, fmt.Errorf("ledger, line %d: %w", d.number, err)
		}
		rest = after
	}
	if d.path != "" && d.name == "" {
		return nil, fmt.Errorf("ledger, line %d: the path has no attribute", d.number)
	}
	return d.l, nil
}

type decoder struct {
	l      *Ledger
	number int
	// path is the path whose attributes are being read, name the last of
	// their names.
	path, name string
}

func (d *decoder) line(line []byte) error {
	attribute, ok := bytes.CutPrefix(line, []byte(" "))
	if !ok {
		return d.newPath(line)
	}
	rawName, rawValue, ok := bytes.Cut(attribute, []byte(" "))
	if !ok || d.path == "" {
		return errors.New("not of the form: path, or after a path: space, name, space, value")
	}
	name, err := unescape(rawName)
	if err != nil {
		return err
	}
	value, err := unescape(rawValue)
	if err != nil {
		return err
	}
	if string(name) <= d.name {
		return errors.New("the attributes are not sorted")
	}
	d.name = string(name)
	return d.l.Set(d.path, d.name, value)
}

func (d *decoder) newPath(line []byte) error {
	name, err := unescape(line)
	if err != nil {
		return err
	}
	if d.path != "" && d.name == "" {
		return errors.New("the path before has no attribute")
	}
	if p := string(name); clean(p) != p {
		return errors.New("the path is not absolute and clean")
	} else if p <= d.path {
		return errors.New("the paths are not sorted")
	}
	d.path, d.name = string(name), ""
	return nil
}
