package docs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

// place is a text at a line of a page.
type place struct {
	page string // the name below the root of the repository
	line int
	text string
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.page, p.line) }

// block is a block of code.
type block struct {
	place
	language string
	// before is the text of the paragraph or heading before it.
	before string
}

// page is one page of the documentation.
type page struct {
	name   string
	source []byte
	// anchors are the fragments that links can name.
	anchors []string
	// headings are their texts.
	headings []string
	blocks   []block
	// spans are the texts that are marked as code within sentences.
	spans []place
	links []place
	// prose are the texts of paragraphs and list items, as prose makes them.
	prose []place
}

// generated reports whether a program has written the page.
func (p *page) generated() bool { return bytes.HasPrefix(p.source, []byte("<!-- Made from ")) }

// root is the root of the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// pages reads all pages of the documentation.
func pages(t testing.TB) []*page {
	t.Helper()
	list, err := readPages()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var readPages = sync.OnceValues(func() ([]*page, error) {
	dir, err := genfiles.Root()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, top := range []string{"README.md", "docs", "examples"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(full string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(full, ".md") {
				names = append(names, full)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var list []*page
	for _, full := range names {
		source, err := os.ReadFile(full)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(dir, full)
		if err != nil {
			return nil, err
		}
		list = append(list, readPage(filepath.ToSlash(name), source))
	}
	return list, nil
})

// readPage parses a page.
func readPage(name string, source []byte) *page {
	p := &page{name: name, source: source}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	before, line := "", 1
	at := func(offset int) int { return 1 + bytes.Count(source[:offset], []byte("\n")) }
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		if n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
			line = at(n.Lines().At(0).Start)
		}
		switch n := n.(type) {
		case *ast.Heading:
			before = plain(n, source)
			p.headings = append(p.headings, before)
			p.anchors = append(p.anchors, anchor(before, p.anchors))
		case *ast.Paragraph:
			before = plain(n, source)
			p.prose = append(p.prose, place{name, line, prose(n, source)})
		case *ast.TextBlock: // a paragraph of a list without empty lines
			p.prose = append(p.prose, place{name, line, prose(n, source)})
		case *ast.FencedCodeBlock:
			if n.Lines().Len() > 0 {
				p.blocks = append(p.blocks, block{
					place:    place{name, at(n.Lines().At(0).Start), string(n.Lines().Value(source))},
					language: string(n.Language(source)), before: before,
				})
			}
		case *ast.CodeSpan:
			if t, ok := n.FirstChild().(*ast.Text); ok {
				line = at(t.Segment.Start)
			}
			p.spans = append(p.spans, place{name, line, strings.Join(strings.Fields(plain(n, source)), " ")})
		case *ast.Link:
			if t, ok := n.FirstChild().(*ast.Text); ok {
				line = at(t.Segment.Start)
			}
			p.links = append(p.links, place{name, line, string(n.Destination)})
		case *ast.AutoLink:
			p.links = append(p.links, place{name, line, string(n.URL(source))})
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		panic(err) // the function above returns none
	}
	return p
}

// plain is the text below a node, without marks.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Segment.Value(source))
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(c.Value)
		default:
			b.WriteString(plain(c, source))
		}
	}
	return b.String()
}

// anchor is the fragment of a heading, as the forge makes it from its text.
func anchor(heading string, taken []string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	name := b.String()
	for i := 1; slices.Contains(taken, name); i++ {
		name = fmt.Sprintf("%s-%d", b.String(), i)
	}
	return name
}

// TestLinks follows the links that stay within the repository.
func TestLinks(t *testing.T) {
	t.Parallel()
	byName := map[string]*page{}
	for _, p := range pages(t) {
		byName[p.name] = p
	}
	// The pages are also reached by these addresses.
	own := []string{
		"https://github.com/osbuildkit/osbuildkit/blob/main/", "https://github.com/osbuildkit/osbuildkit/raw/main/",
		"https://github.com/osbuildkit/osbuildkit/tree/main/",
	}
	followed := 0
	for _, p := range pages(t) {
		for _, l := range p.links {
			target, fragment, _ := strings.Cut(l.text, "#")
			switch {
			case target == "":
				target = p.name
			case slices.ContainsFunc(own, func(prefix string) bool { return strings.HasPrefix(target, prefix) }):
				for _, prefix := range own {
					target = strings.TrimPrefix(target, prefix)
				}
			case strings.Contains(target, "://"):
				continue
			default:
				target = path.Join(path.Dir(p.name), target)
			}
			followed++
			if _, err := os.Stat(filepath.Join(root(t), target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", l, l.text)
				continue
			}
			if fragment == "" {
				continue
			}
			if to := byName[target]; to == nil || !slices.Contains(to.anchors, fragment) {
				t.Errorf("%s: %s has no heading #%s", l, target, fragment)
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links were found", followed)
	}
}

// TestReadPage keeps the tests honest: each kind of content is found.
func TestReadPage(t *testing.T) {
	t.Parallel()
	p := readPage("a.md", []byte("# A `b` c!\n\nText with `code\nspan` and [a link](x.md#y).\n\n"+
		"## A b c\n\n| `in a | table` | [t](#u) |\n| --- | --- |\n| `cell` | [t](#u) |\n\n- in a list:\n\n  ```sh\n  make\n  ```\n"))
	var got []string
	for _, list := range [][]place{p.spans, p.links} {
		for _, x := range list {
			got = append(got, fmt.Sprintf("%d %s", x.line, x.text))
		}
	}
	for _, b := range p.blocks {
		got = append(got, fmt.Sprintf("%d %s %q %q", b.line, b.language, b.text, b.before))
	}
	got = append(got, p.anchors...)
	for _, want := range []string{"1 b", "3 code span", "10 cell", "4 x.md#y", "10 #u", `15 sh "make\n" "in a list:"`, "a-b-c", "a-b-c-1"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not found in\n%s", want, strings.Join(got, "\n"))
		}
	}
}
