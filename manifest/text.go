package manifest

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const byteOrderMark = "\ufeff"

// directive is a line before the JSON that is for BuildKit, not for us.
var directive = regexp.MustCompile(`^(?:#|//)[ \t]*[A-Za-z][A-Za-z0-9_-]*[ \t]*=[^\n]*(?:\n|$)`)

// preamble returns the length of what may stand before the JSON value: a byte
// order mark, a "#!" line, and directives such as "# syntax=…".
func preamble(text string) int {
	rest := strings.TrimPrefix(text, byteOrderMark)
	if strings.HasPrefix(rest, "#!") {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	for {
		trimmed := strings.TrimLeft(rest, " \t\r\n")
		line := directive.FindString(trimmed)
		if line == "" {
			return len(text) - len(rest)
		}
		rest = trimmed[len(line):]
	}
}

// readText reads one file into nodes. Faults and duplicated keys go to the
// reporter; the node is nil if the file could not be read to its end.
func readText(file string, data []byte, order int) (*Text, *node, *reporter) {
	r := &reporter{file: file, order: order}
	if len(data) > MaxSize {
		r.lines = newLines("")
		r.at(0, 0, "", "split it, or let a source carry the large part",
			fmt.Sprintf("the file has %d bytes; the limit is %d (16 MiB)", len(data), MaxSize))
		return nil, nil, r
	}
	text := string(data)
	r.lines = newLines(text)
	if !utf8.ValidString(text) {
		r.invalidUTF8(text)
		return nil, nil, r
	}
	r.directives(data)
	p, root, f := parseDocument(text, preamble(text))
	for _, d := range p.duplicates {
		first := r.lines.position(d.first.keyStart)
		r.at(d.second.keyStart, d.second.keyEnd, d.pointer, "remove one of the two",
			fmt.Sprintf("duplicated key %s; the first is at %d:%d", quote(d.second.key), first.Line, first.Column))
	}
	if f != nil {
		if f.open > 0 {
			open := r.lines.position(f.open - 1)
			f.hint = fmt.Sprintf("the \"%c\" at %d:%d is not closed", text[f.open-1], open.Line, open.Column)
		}
		r.at(f.start, f.end, f.pointer, f.hint, f.message)
		return nil, nil, r
	}
	return &Text{File: file, Data: data, Index: &Index{root: root, lines: r.lines}}, root, r
}

func (r *reporter) invalidUTF8(text string) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		r.at(0, 1, "", "save it as UTF-8", "the file is UTF-16, not UTF-8")
		return
	}
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		if c == utf8.RuneError && size == 1 {
			r.at(i, i+1, "", "save the file as UTF-8", fmt.Sprintf("invalid UTF-8: byte 0x%02x", text[i]))
			return
		}
		i += size
	}
}

// reporter collects the errors of one file.
type reporter struct {
	file  string
	order int
	lines *lines
	list  Errors
}

// full reports whether more errors than are shown have been found.
func (r *reporter) full() bool { return len(r.list) > 2*maxErrors }

func (r *reporter) at(start, end int, pointer, hint, message string) {
	if r.full() {
		return
	}
	span := r.lines.span(start, end)
	r.list = append(r.list, &Error{File: r.file, Position: span.Start, Span: span, Pointer: pointer,
		Message: message, Hint: hint, order: r.order})
}

// value reports an error of a value.
func (r *reporter) value(n *node, pointer, hint, format string, args ...any) {
	r.at(n.start, n.end, pointer, hint, fmt.Sprintf(format, args...)+n.explain())
}

// key reports an error of a key.
func (r *reporter) key(n *node, pointer, hint, format string, args ...any) {
	if n.keyEnd == 0 {
		r.value(n, pointer, hint, format, args...)
		return
	}
	r.at(n.keyStart, n.keyEnd, pointer, hint, fmt.Sprintf(format, args...))
}

func didYouMean(name string, candidates []string) string {
	if near := Nearest(name, candidates); near != "" {
		return "did you mean " + quote(near) + "?"
	}
	return ""
}
