package manifest

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Position is a place in a file.
type Position struct {
	// Line counts from 1. Lines end with a line feed.
	Line int
	// Column counts characters, not bytes, from 1. A byte order mark at the
	// start of the file is no character of the first line.
	Column int
}

// Span is a piece of a file: from Start up to, and without, End.
type Span struct {
	Start, End Position
}

// Index gives the place of each value and of each key of a JSON file by its
// JSON pointer (RFC 6901). It is safe for use by several goroutines.
type Index struct {
	root  *node
	lines *lines
}

// Value returns the place of the value that the pointer names. The empty
// pointer is the whole document. The second result is false if there is no such
// value.
func (x *Index) Value(pointer string) (Span, bool) {
	n := x.find(pointer)
	if n == nil {
		return Span{}, false
	}
	return x.lines.span(n.start, n.end), true
}

// Key returns the place of the key, with its quotes, of the object member that
// the pointer names. The second result is false if there is no such member.
func (x *Index) Key(pointer string) (Span, bool) {
	n := x.find(pointer)
	if n == nil || n.keyEnd == 0 {
		return Span{}, false
	}
	return x.lines.span(n.keyStart, n.keyEnd), true
}

// Member returns the place of an object member from the first quote of its key
// to the end of its value, or that of the value where it has no key. The second
// result is false if there is no such value.
func (x *Index) Member(pointer string) (Span, bool) {
	n := x.find(pointer)
	if n == nil {
		return Span{}, false
	}
	start := n.start
	if n.keyEnd != 0 {
		start = n.keyStart
	}
	return x.lines.span(start, n.end), true
}

func (x *Index) find(pointer string) *node {
	if x == nil || x.root == nil {
		return nil
	}
	n := x.root
	if pointer == "" {
		return n
	}
	if pointer[0] != '/' {
		return nil
	}
	for _, token := range SplitPointer(pointer) {
		if n = n.child(token); n == nil {
			return nil
		}
	}
	return n
}

// child returns the member or element that one token of a pointer names.
func (n *node) child(token string) *node {
	switch n.kind {
	case kindObject:
		return n.get(token)
	case kindArray:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(n.kids) || strconv.Itoa(i) != token {
			return nil
		}
		return n.kids[i]
	}
	return nil
}

var (
	tokenEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	tokenUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

func escapeToken(s string) string { return tokenEscaper.Replace(s) }

// SplitPointer returns the tokens of a JSON pointer (RFC 6901), without escapes; none
// for the pointer of the whole document, which is empty.
func SplitPointer(pointer string) []string {
	if pointer == "" {
		return nil
	}
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range tokens {
		tokens[i] = tokenUnescaper.Replace(tokens[i])
	}
	return tokens
}

// JoinPointer appends tokens, which it escapes, to a JSON pointer.
func JoinPointer(pointer string, tokens ...string) string {
	var b strings.Builder
	b.WriteString(pointer)
	for _, token := range tokens {
		b.WriteByte('/')
		b.WriteString(escapeToken(token))
	}
	return b.String()
}

// block is the distance in bytes of the marks that lines keeps, so that a
// column is found fast in a file of one long line too.
const block = 128

// lines turns byte offsets into positions.
type lines struct {
	text   string
	starts []int // offset of the first byte of each line
	runes  []int // number of characters before each block
}

func newLines(text string) *lines {
	l := &lines{text: text, starts: []int{0}}
	if strings.HasPrefix(text, byteOrderMark) {
		l.starts[0] = len(byteOrderMark)
	}
	for i := 0; i < len(text); i++ {
		if text[i] == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	count := 0
	for i := 0; i < len(text); i += block {
		l.runes = append(l.runes, count)
		count += countRunes(text[i:min(i+block, len(text))])
	}
	l.runes = append(l.runes, count)
	return l
}

// countRunes counts the bytes that begin a character, so that the counts of two
// pieces add up wherever a text is cut.
func countRunes(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		if utf8.RuneStart(s[i]) {
			n++
		}
	}
	return n
}

func (l *lines) runesBefore(offset int) int {
	b := offset / block
	return l.runes[b] + countRunes(l.text[b*block:offset])
}

func (l *lines) position(offset int) Position {
	offset = max(l.starts[0], min(offset, len(l.text)))
	line := sort.SearchInts(l.starts, offset+1) - 1
	return Position{Line: line + 1, Column: l.runesBefore(offset) - l.runesBefore(l.starts[line]) + 1}
}

func (l *lines) span(start, end int) Span {
	return Span{Start: l.position(start), End: l.position(end)}
}
