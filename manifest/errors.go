package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one thing that is wrong with a manifest.
type Error struct {
	// File is the name of the file, as it was given to Load.
	File string
	// Position is where the error is: the start of Span.
	Position Position
	// Span is the piece of the file that is wrong.
	Span Span
	// Pointer is the JSON pointer of the value that is wrong. It is empty for
	// the whole document and where the file is not JSON.
	Pointer string
	// Message says in lower case what is wrong.
	Message string
	// Hint says what to do about it. It may be empty.
	Hint string

	order int // of the file: the manifest before the build environment
}

// Error returns "file:line:column: message (at /pointer); hint".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, e.Position.Line, e.Position.Column, e.Message)
	if e.Pointer != "" {
		fmt.Fprintf(&b, " (at %s)", printable(clip(e.Pointer, maxPointerText)))
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong with a manifest, sorted by place. It is
// the type of the error that Load returns.
type Errors []*Error

// Error returns the errors, one a line.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "\n")
}

// Unwrap returns the single errors for errors.Is and errors.As.
func (es Errors) Unwrap() []error {
	list := make([]error, len(es))
	for i, e := range es {
		list[i] = e
	}
	return list
}

// Bounds of what is reported about a hostile file.
const (
	maxErrors      = 100
	maxQuoted      = 80
	maxPointerText = 300
)

// sorted orders errors by place, drops repeated ones and says when there are
// more than can be shown.
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(a.order, b.order),
			cmp.Compare(a.Position.Line, b.Position.Line),
			cmp.Compare(a.Position.Column, b.Position.Column),
			cmp.Compare(a.Pointer, b.Pointer),
			cmp.Compare(a.Message, b.Message),
		)
	})
	es = slices.CompactFunc(es, func(a, b *Error) bool { return *a == *b })
	if len(es) > maxErrors {
		es = es[:maxErrors]
		last := *es[maxErrors-1]
		last.Message = fmt.Sprintf("more than %d errors; the others are not shown", maxErrors-1)
		last.Hint, last.Pointer = "", ""
		es[maxErrors-1] = &last
	}
	return es
}

// clip shortens a text to a number of characters.
func clip(s string, limit int) string {
	count := 0
	for i := range s {
		if count == limit {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// printable keeps a text on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// quote writes a string of the file for a message: in quotes, on one line, and
// not longer than a line.
func quote(s string) string { return strconv.Quote(clip(s, maxQuoted)) }

// list joins words as "a, b or c".
func list(words []string, last string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}

func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return quoted
}
