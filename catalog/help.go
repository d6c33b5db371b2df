package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// Help is what there is to say about a module. Text and Markdown write the
// same in two forms.
type Help struct {
	// Name and Kind say which module it is.
	Name string
	Kind module.Kind
	// Summary says in one sentence what the module does.
	Summary string
	// Sandboxes are those that its steps have, in the order edit, tools, inside.
	Sandboxes []module.Sandbox
	// Ledger is what its steps do with the ledger.
	Ledger module.LedgerUse
	// Paragraphs say more about it: where it runs, and for a module of the
	// user what its author says.
	Paragraphs []string
	// Any says that the module takes any options, so that there are none to
	// be listed.
	Any bool
	// Options are the options and those inside them.
	Options []Option
	// Example holds options that show how it is used; nil if there are none.
	Example json.RawMessage
}

// Option is one option of a module.
type Option struct {
	// Name is the place of the option: its keys, joined by dots. The elements
	// of a list are "[]", and a key that is free is "NAME".
	Name string
	// Type is the type for people, such as "list of strings".
	Type string
	// Required says that it has to be there.
	Required bool
	// Or lists the options of which one may be given instead.
	Or []string
	// Enum lists the values that are allowed, and is empty for all.
	Enum []string
	// Default is the value without one given, or nil if there is none.
	Default *string
	// Description is what the option does, in paragraphs.
	Description []string

	limits []limit
}

// limit is a bound of a value: words, and values that are code.
type limit struct {
	words string
	codes []string
}

// Help returns the help for a module. An unknown name is an error that lists
// the modules of the kind.
func (c *Catalog) Help(kind module.Kind, name string) (*Help, error) {
	m := c.Module(kind, name)
	if m == nil || m.Internal() {
		return nil, fmt.Errorf("there is no %s %q; there are %s", kind, name, strings.Join(c.Names(kind), ", "))
	}
	data, _ := c.Schema(kind, name)
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	h := &Help{Name: name, Kind: kind, Summary: strings.ToUpper(m.Summary[:1]) + m.Summary[1:] + "."}
	h.Sandboxes, h.Ledger = c.steps(m)
	if u := c.User(kind, name); u != nil {
		h.Paragraphs = u.paragraphs()
	} else {
		h.Paragraphs = []string{h.where()}
	}
	h.Any = s.Properties == nil
	h.options("", &s)
	if example, ok := c.Example(kind, name); ok {
		h.Example = example
	}
	return h, nil
}

// steps says what the steps of a module need. Those of one that the graph
// makes out of several are the parts that have its name and one more word.
func (c *Catalog) steps(m *module.Module) ([]module.Sandbox, module.LedgerUse) {
	sandboxes, ledger := map[module.Sandbox]bool{}, m.Ledger
	if m.Run == nil {
		for k, e := range c.entries {
			if k.kind != m.Kind || !e.module.Internal() || !strings.HasPrefix(k.name, m.Name+".") {
				continue
			}
			sandboxes[e.module.Sandbox] = true
			if ledger != module.LedgerWrite && e.module.Ledger != module.LedgerNone {
				ledger = e.module.Ledger
			}
		}
	}
	if len(sandboxes) == 0 {
		sandboxes[m.Sandbox] = true
	}
	order := []module.Sandbox{module.Edit, module.Tools, module.Inside}
	return slices.SortedFunc(maps.Keys(sandboxes), func(a, b module.Sandbox) int {
		return slices.Index(order, a) - slices.Index(order, b)
	}), ledger
}

// where says where a module runs and what it has of the ledger.
func (h *Help) where() string {
	text := "Sandbox: "
	switch {
	case len(h.Sandboxes) > 1:
		needs := "needs no build root"
		if slices.Contains(h.Sandboxes, module.Tools) {
			needs = "may need a build root"
		}
		text += joinWords(h.Sandboxes) + ". It is made of several steps and " + needs + "."
	case h.Sandboxes[0] == module.Edit:
		text += "edit. It works on the files of the tree alone and needs no build root."
	case h.Sandboxes[0] == module.Tools:
		text += "tools. Its root is the build root, whose programs it may run."
	default:
		text += "inside. It runs programs of the tree, which is its root, and needs no build root."
	}
	switch h.Ledger {
	case module.LedgerRead:
		text += " It reads the ledger."
	case module.LedgerWrite:
		text += " It reads and writes the ledger."
	}
	return text
}

func joinWords[S ~string](words []S) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// options appends the options of an object and of those inside it.
func (h *Help) options(prefix string, s *schema) {
	choices := map[string][]string{}
	for _, one := range s.OneOf {
		for _, name := range one.Required {
			for _, other := range s.OneOf {
				if !slices.Contains(other.Required, name) {
					choices[name] = append(choices[name], other.Required...)
				}
			}
		}
	}
	for _, p := range s.Properties {
		o := Option{
			Name: prefix + p.name, Type: p.schema.typeName(), Required: slices.Contains(s.Required, p.name),
			Description: paragraphs(p.schema.Description), limits: p.schema.bounds(),
		}
		if !o.Required {
			o.Or = choices[p.name]
		}
		o.Enum = plainValues(p.schema.Enum)
		if len(p.schema.Const) > 0 {
			o.Enum = []string{plainValue(p.schema.Const)}
		}
		if d := p.schema.Default; len(d) > 0 && string(d) != "null" {
			v := plainValue(d)
			o.Default = &v
		}
		h.Options = append(h.Options, o)
		h.inner(o.Name, &p.schema)
	}
}

// inner appends the options inside a value, in all its forms.
func (h *Help) inner(name string, s *schema) {
	switch {
	case s.Properties != nil:
		h.options(name+".", s)
	case s.Items != nil:
		h.inner(name+"[]", s.Items)
	case s.values() != nil:
		h.inner(name+".NAME", s.values())
	}
	for _, one := range s.alternatives() {
		h.inner(name, &one)
	}
}

// paragraphs splits a text at its empty lines.
func paragraphs(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return strings.Split(text, "\n\n")
}

// plainValue writes a JSON value as people do: a text without its quotes.
func plainValue(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil && s != "" {
		return s
	}
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

func plainValues(list []json.RawMessage) []string {
	var out []string
	for _, v := range list {
		out = append(out, plainValue(v))
	}
	return out
}

// bounds lists the bounds of a value and of what is in it.
func (s *schema) bounds() []limit {
	var out []limit
	within := func(low, high json.RawMessage, unit string) {
		switch {
		case string(low) == "1" && high == nil && unit != "":
			out = append(out, limit{words: "not empty"})
		case low != nil && high != nil:
			out = append(out, limit{words: fmt.Sprintf("from %s to %s", low, high) + unit})
		case low != nil:
			out = append(out, limit{words: fmt.Sprintf("at least %s", low) + unit})
		case high != nil:
			out = append(out, limit{words: fmt.Sprintf("at most %s", high) + unit})
		}
	}
	within(s.Minimum, s.Maximum, "")
	if v := s.ExclusiveMinimum; v != nil && v[0] != 't' && v[0] != 'f' {
		out = append(out, limit{words: fmt.Sprintf("more than %s", v)})
	}
	if v := s.ExclusiveMaximum; v != nil && v[0] != 't' && v[0] != 'f' {
		out = append(out, limit{words: fmt.Sprintf("less than %s", v)})
	}
	if s.MultipleOf != nil {
		out = append(out, limit{words: fmt.Sprintf("a multiple of %s", s.MultipleOf)})
	}
	within(s.MinLength, s.MaxLength, " characters")
	within(s.MinItems, s.MaxItems, " elements")
	within(s.MinProperties, s.MaxProperties, " members")
	if s.UniqueItems {
		out = append(out, limit{words: "no element twice"})
	}
	text := ""
	if _, several := s.Type.([]any); several {
		text = "as text "
	}
	if s.Pattern != "" {
		out = append(out, limit{words: text + "like ", codes: []string{s.Pattern}})
	}
	if s.Format != "" {
		out = append(out, limit{words: text + "of the format ", codes: []string{s.Format}})
	}
	if s.PropertyNames != nil && s.PropertyNames.Pattern != "" {
		out = append(out, limit{words: "NAME like ", codes: []string{s.PropertyNames.Pattern}})
	}
	const word = "each "
	each := func(of *schema) {
		if of == nil || of.Properties != nil {
			return
		}
		if len(of.Enum) > 0 {
			out = append(out, limit{words: word + "one of ", codes: plainValues(of.Enum)})
		}
		for _, l := range of.bounds() {
			l.words = word + l.words
			out = append(out, l)
		}
	}
	each(s.Items)
	each(s.values())
	return out
}

// marked marks each of several values.
func marked(values []string, code func(string) string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = code(v)
	}
	return out
}

// notes are what stands in brackets behind the name of an option. The function
// marks a value as one.
func (o *Option) notes(code func(string) string) string {
	notes := []string{o.Type}
	if o.Required {
		notes = append(notes, "required")
	}
	if len(o.Or) > 0 {
		notes = append(notes, "this or "+strings.Join(marked(o.Or, code), " or "))
	}
	if len(o.Enum) > 0 {
		notes = append(notes, "one of "+strings.Join(marked(o.Enum, code), " "))
	}
	if o.Default != nil {
		notes = append(notes, "default "+code(*o.Default))
	}
	return strings.Join(notes, ", ")
}

// Limits says what bounds the values of the option, as one sentence without
// its full stop, or nothing. The function marks a value as one.
func (o *Option) Limits(code func(string) string) string {
	var parts []string
	for _, l := range o.limits {
		parts = append(parts, l.words+strings.Join(marked(l.codes, code), " "))
	}
	if len(parts) == 0 {
		return ""
	}
	return "Limits: " + strings.Join(parts, "; ")
}

// Text returns the help as text of at most 80 columns.
func (h *Help) Text() string {
	plain := func(s string) string { return s }
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\n", h.Name, h.Kind)
	wrap(&b, "  ", h.Summary)
	for _, p := range h.Paragraphs {
		b.WriteString("\n")
		wrap(&b, "  ", p)
	}
	switch {
	case h.Any:
		b.WriteString("\nOptions: any.\n")
	case len(h.Options) == 0:
		b.WriteString("\nOptions: none.\n")
	default:
		b.WriteString("\nOptions:\n")
	}
	for _, o := range h.Options {
		wrap(&b, "  ", o.Name+" ("+o.notes(plain)+")")
		for _, p := range o.Description {
			wrap(&b, "      ", p)
		}
		wrap(&b, "      ", o.Limits(plain))
	}
	if h.Example != nil {
		b.WriteString("\nExample:\n")
		for line := range strings.SplitSeq(h.use(), "\n") {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

// use is the example as it stands in a manifest.
func (h *Help) use() string {
	return fmt.Sprintf("{\n  %q: %q,\n  \"options\": %s\n}", "name", h.Name, strings.ReplaceAll(string(h.Example), "\n", "\n  "))
}
