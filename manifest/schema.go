package manifest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func elementPointer(pointer string, i int) string { return pointer + "/" + strconv.Itoa(i) }

// optionsSchema is a compiled schema with its document, in which the words of a
// message are looked up.
type optionsSchema struct {
	compiled *jsonschema.Schema
	doc      any
	err      error
}

// schemas keeps each compiled schema of the process by its text.
var schemas sync.Map

func compileSchema(text []byte) *optionsSchema {
	if s, ok := schemas.Load(string(text)); ok {
		return s.(*optionsSchema)
	}
	s := &optionsSchema{}
	s.doc, s.err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if s.err == nil {
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		c.AssertFormat()
		c.UseLoader(noLoader{})
		c.UseRegexpEngine(pattern)
		const url = "mem:///options"
		if s.err = c.AddResource(url, s.doc); s.err == nil {
			s.compiled, s.err = c.Compile(url)
		}
	}
	kept, _ := schemas.LoadOrStore(string(text), s)
	return kept.(*optionsSchema)
}

// noLoader refuses references of a schema to other files.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, errors.New("a schema may not refer to another file: " + url)
}

// at returns the part of the schema that an URL of the validator names, with
// its reference followed.
func (s *optionsSchema) at(url string) map[string]any { return s.deref(s.lookup(url)) }

func (s *optionsSchema) lookup(url string) map[string]any {
	_, fragment, _ := strings.Cut(url, "#")
	current := s.doc
	for _, token := range SplitPointer(unescapePercent(fragment)) {
		switch v := current.(type) {
		case map[string]any:
			current = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			current = v[i]
		default:
			return nil
		}
	}
	m, _ := current.(map[string]any)
	return m
}

// deref follows references inside the schema.
func (s *optionsSchema) deref(m map[string]any) map[string]any {
	for range 20 {
		ref, _ := m["$ref"].(string)
		if _, own := m["properties"]; own || !strings.HasPrefix(ref, "#/") {
			return m
		}
		m = s.lookup(ref)
	}
	return m
}

// toAny makes of a node what the validator works on. Numbers keep their
// literals; change, if given, may replace one.
func toAny(n *node, change func(*node) json.Number) any {
	switch n.kind {
	case kindObject:
		m := make(map[string]any, len(n.kids))
		for _, kid := range n.kids {
			m[kid.key] = toAny(kid, change)
		}
		return m
	case kindArray:
		a := make([]any, len(n.kids))
		for i, kid := range n.kids {
			a[i] = toAny(kid, change)
		}
		return a
	case kindString:
		return n.text
	case kindNumber:
		if change != nil {
			return change(n)
		}
		return json.Number(n.text)
	case kindBool:
		return n.text == "true"
	}
	return nil
}

// options checks the options of a known stage; they are nil if absent.
func (l *loader) options(stage, options *node, s *Stage) {
	if l.full() {
		return
	}
	text, _ := l.catalog.Schema(s.Kind, s.Type)
	schema := compileSchema(text)
	if schema.err != nil {
		l.value(stage, s.Pointer, "this is a fault of the module, not of the manifest", "the schema of %s cannot be used: %s", s.Type, oneLine(schema.err))
		return
	}
	at := &place{stage: stage, options: options, pointer: s.Pointer, unmarked: l.unmarked}
	root := options
	if root == nil {
		root = &node{kind: kindObject}
	}
	if found := schema.validate(root); len(found) > 0 {
		at.report(l.reporter, found)
		return
	}
	var found []finding
	for _, problem := range l.catalog.Check(s.Kind, s.Type, s.Options) {
		found = append(found, finding{loc: SplitPointer(problem.Pointer), message: problem.Message})
	}
	at.report(l.reporter, found)
	l.references(options, s)
}

func oneLine(err error) string { return strings.ReplaceAll(clip(err.Error(), 500), "\n", " ") }

// validate checks a value and says in our words what is wrong.
func (s *optionsSchema) validate(root *node) []finding {
	t := &translator{schema: s, root: root}
	var failed *jsonschema.ValidationError
	if err := s.compiled.Validate(toAny(root, nil)); errors.As(err, &failed) {
		return t.translate(failed)
	} else if err != nil {
		return []finding{{message: "the options cannot be checked: " + oneLine(err)}}
	}
	return t.integers()
}

// finding is one thing that is wrong with options.
type finding struct {
	loc           []string // tokens of the pointer inside the options
	key           bool     // the key is wrong and not the value
	message, hint string
}

// place turns findings into errors with positions.
type place struct {
	stage, options *node
	pointer        string // of the stage
	// unmarked is the hint for what looks like a marker and is none.
	unmarked func(*node) string
}

// report reports the first findings in the order of the file: the validator
// gives them in no order.
func (p *place) report(r *reporter, found []finding) {
	errs := make([]locatedFinding, len(found))
	for i, f := range found {
		errs[i] = p.locate(f)
	}
	slices.SortFunc(errs, func(a, b locatedFinding) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pointer, b.pointer), cmp.Compare(a.message, b.message))
	})
	for _, e := range errs {
		r.at(e.start, e.end, e.pointer, e.hint, e.message)
	}
}

type locatedFinding struct {
	start, end int
	pointer    string
	finding
}

// locate finds the value or key of a finding. Where a problem names what is not
// there, the value that lacks it is the place.
func (p *place) locate(f finding) locatedFinding {
	if p.options == nil {
		return locatedFinding{p.stage.start, p.stage.end, p.pointer, f}
	}
	n, pointer := p.options, p.pointer+"/options"
	parent := n
	for _, token := range f.loc {
		kid := n.child(token)
		if kid == nil {
			return locatedFinding{n.start, n.end, pointer, f}
		}
		parent, n, pointer = n, kid, JoinPointer(pointer, token)
	}
	f.message += n.explain()
	f.hint = cmp.Or(p.unmarked(n), p.unmarked(parent), f.hint)
	if f.key && n.keyEnd != 0 {
		return locatedFinding{n.keyStart, n.keyEnd, pointer, f}
	}
	return locatedFinding{n.start, n.end, pointer, f}
}

// optionName says which option a location is.
func optionName(loc []string) string {
	if len(loc) == 0 {
		return "the options"
	}
	last := loc[len(loc)-1]
	if _, err := strconv.Atoi(last); err == nil && len(loc) > 1 {
		i, _ := strconv.Atoi(last)
		return fmt.Sprintf("element %d of %s", i+1, optionName(loc[:len(loc)-1]))
	}
	return quote(last)
}
