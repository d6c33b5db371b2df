package cli

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// maxLine is how much of a line is shown.
const maxLine = 160

// around is how many bytes beside what is shown of a line are looked at for
// addresses with credentials.
const around = 4096

// lineCursor is a place in a text: what is shown of a file is in order, and a
// file may be one line of 16 MiB, which is not to be read anew for each error.
type lineCursor struct {
	data []byte
	// line is the number of the line that begins at start.
	line, start int
	// offset is that of the character number column, both from 0, of the line.
	column, offset int
}

// seek returns the line, and the offset in it of the character number column;
// ok is false if there is no such line.
func (c *lineCursor) seek(data []byte, line, column int) (text []byte, offset int, ok bool) {
	same := len(data) == len(c.data) && len(data) > 0 && &data[0] == &c.data[0]
	if !same || line < c.line {
		*c = lineCursor{data: data, line: 1}
	}
	for c.line < line {
		n := bytes.IndexByte(data[c.start:], '\n')
		if n < 0 {
			return nil, 0, false
		}
		*c = lineCursor{data: data, line: c.line + 1, start: c.start + n + 1}
	}
	text = data[c.start:]
	if n := bytes.IndexByte(text, '\n'); n >= 0 {
		text = text[:n]
	}
	text = bytes.TrimPrefix(bytes.TrimSuffix(text, []byte("\r")), []byte("\ufeff"))
	if column < c.column {
		c.column, c.offset = 0, 0
	}
	for c.column < column && c.offset < len(text) {
		_, n := utf8.DecodeRune(text[c.offset:])
		c.column, c.offset = c.column+1, c.offset+n
	}
	return text, c.offset, true
}

// excerpt prints the first line of a span and marks it with carets.
func (a *app) excerpt(data []byte, span manifest.Span) {
	if span.Start.Line < 1 {
		return
	}
	from := max(span.Start.Column-1, 0)
	cut := max(0, from-maxLine/4)
	text, offset, ok := a.shown.seek(data, span.Start.Line, cut)
	if !ok {
		return
	}
	if len(text) <= maxLine || utf8.RuneCount(text[:min(len(text), utf8.UTFMax*(maxLine+1))]) <= maxLine {
		cut, offset = 0, 0
	}
	// An address may begin before what is shown, and end after it.
	before := []rune(string(text[max(0, offset-around):offset]))
	line := redact.Mask(append(before, []rune(string(text[offset:min(len(text), offset+utf8.UTFMax*maxLine+around)]))...))
	line = line[len(before):]
	line = line[:min(len(line), maxLine)]
	from = min(from-cut, len(line))
	to := len(line)
	if span.End.Line == span.Start.Line {
		to = min(max(span.End.Column-1-cut, from+1), max(len(line), from+1))
	}
	var pad strings.Builder
	for i, r := range line {
		switch {
		case i >= from:
		case r == '\t':
			pad.WriteRune('\t')
		default:
			pad.WriteByte(' ')
		}
		if r != '\t' && unicode.IsControl(r) {
			line[i] = utf8.RuneError // it would be a command to the terminal
		}
	}
	fmt.Fprintf(a.stderr, "%6d | %s\n       | %s%s\n", span.Start.Line, string(line), pad.String(), strings.Repeat("^", max(1, to-from)))
}
