package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Canonical rewrites JSON so that texts that differ only in white space, in the
// order of keys or in the escapes of strings become equal: keys sorted by code
// point, no white space, number literals as they were written, strings as
// UTF-8 with as few escapes as possible. A duplicated key is an error.
func Canonical(raw json.RawMessage) (json.RawMessage, error) {
	return rewrite(raw, &writer{comma: ",", colon: ":", str: writeString, number: func(b []byte, literal string) []byte {
		return append(b, literal...)
	}})
}

// CanonicalPython writes JSON as Python's json.dumps(x, sort_keys=True) does,
// which is what osbuild hashes: ", " and ": " between the parts, keys sorted by
// code point, ASCII only, integers exact, other numbers as repr of a 64 bit
// float. A duplicated key is an error.
func CanonicalPython(raw json.RawMessage) ([]byte, error) {
	return rewrite(raw, pythonWriter)
}

var pythonWriter = &writer{comma: ", ", colon: ": ", str: writePythonString, number: writePythonNumber}

func rewrite(raw []byte, w *writer) ([]byte, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("canonical form: %d bytes of JSON; the limit is %d", len(raw), MaxSize)
	}
	if !utf8.Valid(raw) {
		return nil, errors.New("canonical form: the JSON is not UTF-8")
	}
	p, n, f := parseDocument(string(raw), 0)
	if f != nil {
		return nil, fmt.Errorf("canonical form: byte %d: %w", f.start, f)
	}
	if len(p.duplicates) > 0 {
		return nil, fmt.Errorf("canonical form: duplicated key at %s", clip(p.duplicates[0].pointer, maxPointerText))
	}
	return w.append(make([]byte, 0, len(raw)), n), nil
}

// writer writes nodes in one of the canonical forms.
type writer struct {
	comma, colon string
	str          func([]byte, string) []byte
	number       func([]byte, string) []byte
}

func (w *writer) append(b []byte, n *node) []byte {
	switch n.kind {
	case kindObject:
		b = append(b, '{')
		for i, kid := range sortedKids(n) {
			if i > 0 {
				b = append(b, w.comma...)
			}
			b = w.str(b, kid.key)
			b = append(b, w.colon...)
			b = w.append(b, kid)
		}
		return append(b, '}')
	case kindArray:
		b = append(b, '[')
		for i, kid := range n.kids {
			if i > 0 {
				b = append(b, w.comma...)
			}
			b = w.append(b, kid)
		}
		return append(b, ']')
	case kindString:
		return w.str(b, n.text)
	case kindNumber:
		return w.number(b, n.text)
	default:
		return append(b, n.text...)
	}
}

// sortedKids sorts members by key. The order of bytes is that of code points in
// UTF-8.
func sortedKids(n *node) []*node {
	kids := slices.Clone(n.kids)
	slices.SortFunc(kids, func(a, b *node) int { return strings.Compare(a.key, b.key) })
	return kids
}

const hexDigits = "0123456789abcdef"

// shortEscape returns the letter of the two character escapes, or 0.
func shortEscape(c rune) byte {
	switch c {
	case '"', '\\':
		return byte(c)
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	}
	return 0
}

func writeString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch e := shortEscape(c); {
		case e != 0:
			b = append(b, '\\', e)
		case c < ' ':
			b = appendHex(b, uint16(c))
		default:
			b = append(b, string(c)...)
		}
	}
	return append(b, '"')
}

func writePythonString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch e := shortEscape(c); {
		case e != 0:
			b = append(b, '\\', e)
		case c >= ' ' && c <= '~':
			b = append(b, byte(c))
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			b = appendHex(appendHex(b, uint16(high)), uint16(low))
		default:
			b = appendHex(b, uint16(c))
		}
	}
	return append(b, '"')
}

func appendHex(b []byte, v uint16) []byte {
	return append(b, '\\', 'u', hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
}

// writePythonNumber writes an integer exactly and anything else as Python's
// repr of the 64 bit float: the shortest digits that give the same float back,
// with an exponent below 1e-4 and from 1e16 on.
func writePythonNumber(b []byte, literal string) []byte {
	if !strings.ContainsAny(literal, ".eE") {
		if i, ok := new(big.Int).SetString(literal, 10); ok {
			return i.Append(b, 10)
		}
		return append(b, literal...)
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return append(b, literal...)
	}
	digits := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(digits, "e")
	e, err := strconv.Atoi(exponent)
	if err != nil || e < -4 || e >= 16 {
		return append(append(append(b, mantissa...), 'e'), exponent...)
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(plain, ".") {
		plain += ".0"
	}
	return append(b, plain...)
}
