package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// about is how a page begins: with the question that it answers.
var about = regexp.MustCompile(`(?m)\A(?:<!-- .* -->\n)?# .+\n\n(This page (?:says|lists|leads|holds) .*)`)

// TestFirstSentences checks that each page begins with what it answers. The pages
// about single modules, sources and rules begin with what these do.
func TestFirstSentences(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, p := range pages(t) {
		if path.Dir(p.name) != "docs" && path.Base(p.name) != "README.md" || p.name == "README.md" {
			continue
		}
		checked++
		if !about.Match(p.source) {
			t.Errorf("%s does not begin with a sentence such as \"This page says …\"", p.name)
		}
	}
	if checked < 15 {
		t.Errorf("only %d pages", checked)
	}
}

// TestLeadingPage checks that docs/README.md leads to every page but those that an
// index of a directory has.
func TestLeadingPage(t *testing.T) {
	t.Parallel()
	var lead *page
	for _, p := range pages(t) {
		if p.name == "docs/README.md" {
			lead = p
		}
	}
	if lead == nil {
		t.Fatal("there is no docs/README.md")
	}
	for _, p := range pages(t) {
		rel := strings.TrimPrefix(p.name, "docs/")
		if p == lead || rel == p.name || path.Dir(rel) != "." && path.Base(rel) != "README.md" {
			continue
		}
		if !strings.Contains(string(lead.source), "("+rel) {
			t.Errorf("docs/README.md has no link to %s", rel)
		}
	}
}
