package manifest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Markers: an object with one of these as its only key stands for a value.
const (
	// argMarker is replaced by the value of an argument, with its type.
	argMarker = "$arg"
	// formatMarker is replaced by a text with the arguments in it.
	formatMarker = "$format"
	// literalMarker is replaced by its own value, in which nothing is a marker.
	literalMarker = "$literal"
)

var markers = []string{argMarker, formatMarker, literalMarker}

// origin says where the value of a marker comes from.
type origin struct {
	args []*argument
}

// explain is what is added to a message about a value that does not stand in
// the text.
func (n *node) explain() string {
	if n.from == nil {
		return ""
	}
	var given, defaults []string
	for _, a := range n.from.args {
		names := &defaults
		if a.Given {
			names = &given
		}
		if name := quote(a.Name); !slices.Contains(*names, name) && len(*names) < 5 {
			*names = append(*names, name)
		}
	}
	var from []string
	if len(given) > 0 {
		from = append(from, "the "+plural(len(given), "build argument")+" "+list(given, "and"))
	}
	if len(defaults) > 0 {
		from = append(from, "the "+plural(len(defaults), "default")+" of the "+plural(len(defaults), "build argument")+" "+list(defaults, "and"))
	}
	if len(from) == 0 {
		from = []string{quote(formatMarker)}
	}
	return "; the value is " + describe(n) + ", from " + list(from, "and")
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// substitution replaces the markers in the options of one stage.
type substitution struct {
	*loader
	pointer string     // of the options
	path    []pathStep // from there to the current value
	edits   []edit
	failed  bool
}

// edit is a replacement in the text of the manifest.
type edit struct {
	start, end int
	text       []byte
}

// substitute replaces the markers in options. It returns the options with the
// values in the markers' places, in nodes and as text, and whether all markers
// could be replaced; what could not has been reported. The nodes that are given
// stay as they are: the index has their places.
func (l *loader) substitute(options *node, pointer string) (*node, json.RawMessage, bool) {
	s := &substitution{loader: l, pointer: pointer}
	out := options
	if m := markerKey(options); m != nil {
		s.failKey(m, `put it in the place of a single value`, "%s cannot stand for all options", quote(m.key))
	} else {
		out = s.kids(options)
	}
	return out, s.render(options), !s.failed
}

// render is the text of the options after the edits.
func (s *substitution) render(options *node) json.RawMessage {
	data := s.text.Data
	if len(s.edits) == 0 || s.failed {
		return data[options.start:options.end:options.end]
	}
	size := options.end - options.start
	for _, e := range s.edits {
		size += len(e.text)
	}
	out, at := make([]byte, 0, size), options.start
	for _, e := range s.edits {
		out = append(append(out, data[at:e.start]...), e.text...)
		at = e.end
	}
	return append(out, data[at:options.end]...)
}

// markerKey returns the member that makes an object a marker, or nil.
func markerKey(n *node) *node {
	if n.kind != kindObject {
		return nil
	}
	for _, kid := range n.kids {
		if strings.HasPrefix(kid.key, "$") && slices.Contains(markers, kid.key) {
			return kid
		}
	}
	return nil
}

// replace returns what stands in the place of a value: itself, or a copy.
func (s *substitution) replace(n *node) *node {
	switch n.kind {
	case kindObject, kindArray:
	default:
		return n
	}
	if m := markerKey(n); m != nil {
		return s.marker(n, m)
	}
	if n.kind == kindObject && len(n.kids) == 1 && strings.HasPrefix(n.kids[0].key, "$") {
		if near := didYouMean(n.kids[0].key, markers); near != "" {
			s.failKey(n.kids[0], near, "unknown marker %s", quote(n.kids[0].key))
			return n
		}
	}
	return s.kids(n)
}

// kids replaces the markers below an object or array. It copies what changes.
func (s *substitution) kids(n *node) *node {
	out := n
	for i, kid := range n.kids {
		s.path = append(s.path, pathStep{key: kid.key, index: i, element: n.kind == kindArray})
		got := s.replace(kid)
		s.path = s.path[:len(s.path)-1]
		if got == kid {
			continue
		}
		if out == n {
			c := *n
			c.kids = slices.Clone(n.kids)
			out = &c
		}
		out.kids[i] = got
	}
	if out != n && out.byName != nil {
		out.byName = make(map[string]*node, len(out.kids))
		for _, kid := range out.kids {
			out.byName[kid.key] = kid
		}
	}
	return out
}

// marker returns the value that takes the place of n, whose member m makes it a
// marker, or n if there is none.
func (s *substitution) marker(n, m *node) *node {
	if len(n.kids) > 1 {
		s.failKey(m, `write such an object as {"`+literalMarker+`": {…}} if it is meant as it stands`,
			"an object with %s may have no other key", quote(m.key))
		return n
	}
	if m.key == literalMarker {
		out := *m
		out.key, out.keyStart, out.keyEnd = n.key, n.keyStart, n.keyEnd
		s.edits = append(s.edits, edit{n.start, n.end, s.raw(m)})
		return &out
	}
	if m.kind != kindString {
		s.fail(m, "", "%s must be a string, found %s", quote(m.key), m.kind)
		return n
	}
	out := *n
	out.kids, out.byName = nil, nil
	var written []byte
	if m.key == formatMarker {
		text, args, ok := s.format(m)
		if !ok {
			return n
		}
		out.kind, out.text, out.from = kindString, text, &origin{args}
		written = out.encode()
	} else {
		a := s.lookup(m, m.text)
		if a == nil || !s.spend(m, len(a.value.text)) {
			return n
		}
		out.kind, out.text, out.from = a.value.kind, a.value.text, &origin{[]*argument{a}}
		written = a.Value
	}
	s.edits = append(s.edits, edit{n.start, n.end, written})
	return &out
}

// lookup returns the argument with a name, or nil if there is none or its value
// is not known.
func (s *substitution) lookup(m *node, name string) *argument {
	a := s.args.byName[name]
	if a != nil {
		a.Uses++
		if a.value == nil {
			s.failed = true
			return nil
		}
		return a
	}
	if s.args.spoilt || s.full() {
		s.failed = true
		return nil
	}
	names := make([]string, len(s.args.list))
	for i, a := range s.args.list {
		names[i] = a.Name
	}
	hint := didYouMean(name, names)
	if hint == "" {
		hint = `declare it under "args"`
	}
	s.fail(m, hint, "no build argument %s is declared", quote(name))
	return nil
}

// format returns the text that a "$format" stands for, and its arguments.
//
// In "${NAME}" the argument's text is put. Of the dollar signs before a "{"
// each two stand for one, so that "$${" is a plain "${"; all others are plain.
func (s *substitution) format(m *node) (string, []*argument, bool) {
	var b strings.Builder
	var args []*argument
	rest := m.text
	for {
		i := strings.IndexByte(rest, '$')
		if i < 0 {
			i = len(rest)
		}
		dollars := i
		for dollars < len(rest) && rest[dollars] == '$' {
			dollars++
		}
		n := dollars - i
		if dollars == len(rest) || rest[dollars] != '{' {
			b.WriteString(rest[:dollars])
			if rest = rest[dollars:]; rest == "" {
				break
			}
			continue
		}
		b.WriteString(rest[:i+n/2])
		rest = rest[dollars:]
		if n%2 == 0 {
			b.WriteByte('{')
			rest = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(rest[1:], "}")
		if !closed || !argName.MatchString(name) {
			s.fail(m, `write ${NAME}, or $${ for a plain ${`, "%s in %s names no build argument", quote("$"+clip(rest, 20)), quote(formatMarker))
			return "", nil, false
		}
		a := s.lookup(m, name)
		if a == nil || !s.spend(m, len(a.value.text)) {
			return "", nil, false
		}
		b.WriteString(a.value.text)
		if !slices.Contains(args, a) {
			args = append(args, a)
		}
		rest = after
	}
	return b.String(), args, true
}

// spend bounds what arguments add to the manifest.
func (s *substitution) spend(m *node, size int) bool {
	if s.args.expanded > maxExpansion {
		s.failed = true
		return false // already reported
	}
	if s.args.expanded += size; s.args.expanded > maxExpansion {
		s.fail(m, "", "the values of the build arguments take more than %d bytes (16 MiB) in all their places", maxExpansion)
		return false
	}
	return true
}

// fail reports an error of the value of a marker.
func (s *substitution) fail(m *node, hint, format string, args ...any) {
	if s.failed = true; !s.full() {
		s.value(m, s.place(m), hint, format, args...)
	}
}

// failKey reports an error of the key of a marker.
func (s *substitution) failKey(m *node, hint, format string, args ...any) {
	if s.failed = true; !s.full() {
		s.key(m, s.place(m), hint, format, args...)
	}
}

// place is the JSON pointer of a member of the current value.
func (s *substitution) place(m *node) string {
	tokens := make([]string, 0, len(s.path)+1)
	for _, step := range s.path {
		if step.element {
			tokens = append(tokens, strconv.Itoa(step.index))
		} else {
			tokens = append(tokens, step.key)
		}
	}
	return JoinPointer(s.pointer, append(tokens, m.key)...)
}

// unmarked is the hint for an error where something looks like a marker in a
// file without build arguments, or "".
func (l *loader) unmarked(n *node) string {
	if l.args != nil || len(n.kids) > 1 {
		return ""
	}
	m := markerKey(n)
	if m == nil {
		return ""
	}
	if l.order > 0 {
		return "a build environment takes no build arguments"
	}
	return quote(m.key) + ` is a marker only in a manifest with "args"`
}
