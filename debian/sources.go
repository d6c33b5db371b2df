package debian

import (
	"slices"
	"strings"
)

// SourceEntry is one entry of a file of package sources: a line, or a stanza.
type SourceEntry struct {
	// Type is "deb", or what else the entry is for.
	Type string
	// URIs, Suites and Components say where packages are.
	URIs, Suites, Components []string
	// OneLine is "deb" where the entry is a line, with its options in brackets.
	OneLine string
	// Fields are the further fields of a stanza.
	Fields []Field
}

// sourceFields are those fields of a stanza that SourceEntry has by name.
var sourceFields = []string{"Types", "URIs", "Suites", "Components", "Enabled"}

// ParseSources reads a file of package sources, whose name says in which form it
// is. Entries that are not enabled, and lines that are none, are left out.
func ParseSources(name string, data []byte) ([]SourceEntry, error) {
	if !strings.HasSuffix(name, ".sources") {
		return parseLines(string(data)), nil
	}
	stanzas, err := ParseControl(data)
	if err != nil {
		return nil, err
	}
	var out []SourceEntry
	for _, s := range stanzas {
		if v := s.Get("Enabled"); strings.EqualFold(v, "no") || strings.EqualFold(v, "false") {
			continue
		}
		e := SourceEntry{URIs: strings.Fields(s.Get("URIs")), Suites: strings.Fields(s.Get("Suites")), Components: strings.Fields(s.Get("Components"))}
		for _, typ := range strings.Fields(s.Get("Types")) {
			if e.Type == "" || typ == "deb" {
				e.Type = typ
			}
		}
		for _, f := range s {
			if !slices.ContainsFunc(sourceFields, func(name string) bool { return strings.EqualFold(name, f.Name) }) {
				e.Fields = append(e.Fields, f)
			}
		}
		if e.Type != "" && len(e.URIs) > 0 && len(e.Suites) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

func parseLines(text string) []SourceEntry {
	var out []SourceEntry
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		typ := line[:max(0, strings.IndexAny(line, " \t"))]
		head, rest := typ, line[len(typ):]
		if typ != "deb" && typ != "deb-src" {
			continue
		}
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			options, after, closed := strings.Cut(rest, "]")
			if !closed {
				continue
			}
			head, rest = typ+" "+options+"]", after
		}
		if f := strings.Fields(rest); len(f) >= 2 {
			out = append(out, SourceEntry{Type: typ, URIs: f[:1], Suites: f[1:2], Components: f[2:], OneLine: head})
		}
	}
	return out
}

// Same reports whether two entries differ in their suites alone.
func (e SourceEntry) Same(o SourceEntry) bool {
	e.Suites, o.Suites = nil, nil
	return e.String() == o.String()
}

// String returns the entry in its form, without a line end.
func (e SourceEntry) String() string {
	if e.OneLine != "" {
		return strings.TrimSpace(e.OneLine + " " + strings.Join(e.URIs, " ") + " " + strings.Join(e.Suites, " ") + " " + strings.Join(e.Components, " "))
	}
	s := Stanza{
		{Name: "Types", Value: e.Type}, {Name: "URIs", Value: strings.Join(e.URIs, " ")},
		{Name: "Suites", Value: strings.Join(e.Suites, " ")}, {Name: "Components", Value: strings.Join(e.Components, " ")},
	}
	return strings.TrimSuffix(append(s, e.Fields...).String(), "\n")
}
