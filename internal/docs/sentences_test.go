package docs

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark/ast"
)

// maxWords is the number of words that a sentence may have.
const maxWords = 25

// abbreviations have a full stop that ends no sentence.
var abbreviations = []string{"approx.", "cf.", "e.g.", "i.e.", "vs."}

// prose is the text below a node as its reader counts words: a code span or an
// address is one word, and a link is its text. It keeps the ends of lines.
func prose(n ast.Node, source []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Segment.Value(source))
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteByte('\n')
			}
		case *ast.String:
			b.Write(c.Value)
		case *ast.CodeSpan:
			for t := c.FirstChild(); t != nil; t = t.NextSibling() {
				if t, ok := t.(*ast.Text); ok && bytes.HasSuffix(t.Segment.Value(source), []byte("\n")) {
					b.WriteByte('\n')
				}
			}
			b.WriteString("code")
		case *ast.AutoLink:
			b.WriteString("address")
		case *ast.RawHTML:
		default:
			b.WriteString(prose(c, source))
		}
	}
	return b.String()
}

// sentences splits a text. A colon and a semicolon end a sentence too, because the
// reader can pause there.
func sentences(p place) []place {
	var list []place
	var words []string
	start := p.line
	end := func() {
		if len(words) > 0 {
			list = append(list, place{p.page, start, strings.Join(words, " ")})
		}
		words = nil
	}
	line := p.line
	for text := range strings.SplitSeq(p.text, "\n") {
		for word := range strings.FieldsSeq(text) {
			if len(words) == 0 {
				start = line
			}
			if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
				words = append(words, word)
			}
			bare := strings.Trim(word, `()[]"'“”’`)
			if bare != "" && strings.Contains(".!?:;", bare[len(bare)-1:]) && !slices.Contains(abbreviations, bare) {
				end()
			}
		}
		line++
	}
	end()
	return list
}

// TestSentences checks that the sentences of the pages are short. It leaves out
// the pages that are made from the code, and the tables.
func TestSentences(t *testing.T) {
	t.Parallel()
	checked, n := 0, 0
	for _, p := range pages(t) {
		if p.name != "README.md" && path.Dir(p.name) != "docs" || p.generated() {
			continue
		}
		checked++
		for _, text := range p.prose {
			for _, s := range sentences(text) {
				n++
				if words := len(strings.Fields(s.text)); words > maxWords {
					t.Errorf("%s: a sentence of %d words, the limit is %d: %s", s, words, maxWords, s.text)
				}
			}
		}
	}
	if checked < 15 || n < 1000 {
		t.Errorf("only %d pages with %d sentences", checked, n)
	}
}

// TestSplitSentences checks what counts as a word and as a sentence.
func TestSplitSentences(t *testing.T) {
	t.Parallel()
	p := readPage("a.md", []byte("# A heading. It is none\n\nOne, e.g. `two three`, or\n[four five](six.md). \"Eight\" — (nine.) Ten:\n"+
		"a `b\nc`; d.e f\n\n- in a list. It\n  goes on\n\n```sh\nmake it. Now\n```\n\n| a cell. Another |\n| --- |\n| a cell. Another |\n"))
	var got []string
	for _, text := range p.prose {
		for _, s := range sentences(text) {
			got = append(got, s.String()+" "+s.text)
		}
	}
	want := []string{
		"a.md:3 One, e.g. code, or four five.", `a.md:4 "Eight" (nine.)`, "a.md:4 Ten:", "a.md:5 a code;", "a.md:6 d.e f",
		"a.md:8 in a list.", "a.md:8 It goes on",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
