package catalog

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

//go:embed examples
var examples embed.FS

// Example returns options for a module, as JSON, that show how it is used; ok
// is false if there is none.
func (c *Catalog) Example(kind module.Kind, name string) (options json.RawMessage, ok bool) {
	if m := c.Module(kind, name); m == nil || m.Internal() || c.User(kind, name) != nil {
		return nil, false
	}
	data, err := examples.ReadFile("examples/" + string(kind) + "/" + name + ".json")
	return bytes.TrimSpace(data), err == nil
}

// Describe returns the help for a module as text of at most 80 columns: what
// it does, its options with their types, defaults and descriptions, and an
// example. An unknown name is an error that lists the modules of the kind.
func (c *Catalog) Describe(kind module.Kind, name string) (string, error) {
	m := c.Module(kind, name)
	if m == nil || m.Internal() {
		return "", fmt.Errorf("there is no %s %q; there are %s", kind, name, strings.Join(c.Names(kind), ", "))
	}
	data, _ := c.Schema(kind, name)
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("the schema of %s: %w", name, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\n", name, kind)
	wrap(&b, "  ", strings.ToUpper(m.Summary[:1])+m.Summary[1:]+".")
	if u := c.User(kind, name); u != nil {
		u.describe(&b)
	}
	if s.Properties == nil {
		b.WriteString("\nOptions: any.\n")
	} else {
		b.WriteString("\nOptions:\n")
		describeProperties(&b, "", &s)
	}
	if example, ok := c.Example(kind, name); ok {
		b.WriteString("\nExample:\n")
		text := fmt.Sprintf("{\n  %q: %q,\n  \"options\": %s\n}", "name", name, indentMore(string(example)))
		for line := range strings.SplitSeq(text, "\n") {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String(), nil
}

func indentMore(s string) string { return strings.ReplaceAll(s, "\n", "\n  ") }

// schema is the part of a JSON schema that a description shows.
type schema struct {
	Type                 any             `json:"type"`
	Description          string          `json:"description"`
	Default              any             `json:"default"`
	Enum                 []any           `json:"enum"`
	Required             []string        `json:"required"`
	Items                *schema         `json:"items"`
	Properties           properties      `json:"properties"`
	AdditionalProperties json.RawMessage `json:"additionalProperties"`
	OneOf                []schema        `json:"oneOf"`
}

// UnmarshalJSON reads a schema. What is none that can be shown, such as true
// or the list of schemas that draft 4 has for tuples, says nothing.
func (s *schema) UnmarshalJSON(data []byte) error {
	*s = schema{}
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return nil
	}
	type plain schema
	return json.Unmarshal(data, (*plain)(s))
}

// properties keeps the order of the properties.
type properties []property

type property struct {
	name   string
	schema schema
}

// UnmarshalJSON reads an object and keeps its order.
func (p *properties) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return err
	}
	*p = properties{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := tok.(string)
		if !ok {
			return fmt.Errorf("%v is not the name of a property", tok)
		}
		var s schema
		if err := dec.Decode(&s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*p = append(*p, property{name, s})
	}
	return nil
}

// values returns the schema of the values of an object with free keys, or nil.
func (s *schema) values() *schema {
	var v schema
	if len(s.AdditionalProperties) == 0 || s.AdditionalProperties[0] != '{' || json.Unmarshal(s.AdditionalProperties, &v) != nil {
		return nil
	}
	return &v
}

// typeName returns the type for people, such as "list of strings".
func (s *schema) typeName() string {
	switch t := s.Type.(type) {
	case string:
		switch {
		case t == "array" && s.Items != nil:
			return "list of " + s.Items.typeName() + "s"
		case t == "object" && s.values() != nil:
			return "object of " + s.values().typeName() + "s by name"
		}
		return t
	case []any:
		var names []string
		for _, n := range t {
			names = append(names, fmt.Sprint(n))
		}
		return strings.Join(names, " or ")
	}
	return "any value"
}

// describeProperties writes the options of an object and of those inside it.
func describeProperties(b *strings.Builder, prefix string, s *schema) {
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
		notes := []string{p.schema.typeName()}
		switch {
		case slices.Contains(s.Required, p.name):
			notes = append(notes, "required")
		case len(choices[p.name]) > 0:
			notes = append(notes, "this or "+strings.Join(choices[p.name], " or "))
		}
		if len(p.schema.Enum) > 0 {
			var values []string
			for _, v := range p.schema.Enum {
				values = append(values, fmt.Sprint(v))
			}
			notes = append(notes, "one of "+strings.Join(values, " "))
		}
		if p.schema.Default != nil {
			notes = append(notes, fmt.Sprintf("default %v", p.schema.Default))
		}
		name := prefix + p.name
		wrap(b, "  ", name+" ("+strings.Join(notes, ", ")+")")
		for paragraph := range strings.SplitSeq(p.schema.Description, "\n\n") {
			wrap(b, "      ", paragraph)
		}
		switch inner := &p.schema; {
		case inner.Properties != nil:
			describeProperties(b, name+".", inner)
		case inner.Items != nil && inner.Items.Properties != nil:
			describeProperties(b, name+"[].", inner.Items)
		case inner.values() != nil && inner.values().Properties != nil:
			describeProperties(b, name+".NAME.", inner.values())
		}
	}
}

// wrap writes a text in indented lines of at most 80 columns.
func wrap(b *strings.Builder, indent, text string) {
	const width = 80
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len([]rune(line))+1+len([]rune(word)) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	if len(line) > len(indent) {
		b.WriteString(line + "\n")
	}
}
