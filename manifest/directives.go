package manifest

import (
	"slices"
	"strings"
)

// Directive is a line before the JSON that is for BuildKit or the frontend:
// "# NAME=VALUE" or "// NAME=VALUE".
type Directive struct {
	// Name is in lower case, as its case does not count.
	Name string
	// Value is what comes after the "=", without surrounding space.
	Value string
	// Span is the place of the line.
	Span Span

	start, end int
}

// CheckDirective is the name of the directive that configures the checks, as in a
// Dockerfile.
const CheckDirective = "check"

// directiveNames are the directives that have a meaning.
var directiveNames = []string{"syntax", CheckDirective}

// Directives returns the directives that stand before the JSON of a manifest, in
// their order.
func Directives(data []byte) []Directive {
	text := string(data)
	end := preamble(text)
	if end == 0 {
		return nil
	}
	places := newLines(text)
	var out []Directive
	at := len(text) - len(strings.TrimPrefix(text, byteOrderMark))
	for line := range strings.Lines(text[at:end]) {
		trimmed := strings.TrimSpace(line)
		if directive.MatchString(trimmed) {
			start := at + strings.Index(line, trimmed)
			name, value, _ := strings.Cut(strings.TrimLeft(trimmed, "#/"), "=")
			out = append(out, Directive{
				Name: strings.ToLower(strings.TrimSpace(name)), Value: strings.TrimSpace(value),
				Span: places.span(start, start+len(trimmed)), start: start, end: start + len(trimmed),
			})
		}
		at += len(line)
	}
	return out
}

// directives reports those that have no meaning.
func (r *reporter) directives(data []byte) {
	for _, d := range Directives(data) {
		if slices.Contains(directiveNames, d.Name) {
			continue
		}
		hint := didYouMean(d.Name, directiveNames)
		if hint == "" {
			hint = "the directives are " + list(directiveNames, "and")
		}
		r.at(d.start, d.end, "", hint, "unknown directive "+quote(d.Name))
	}
}
