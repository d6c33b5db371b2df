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
// it does, where it runs, its options with their types, defaults, limits and
// descriptions, and an example. An unknown name is an error that lists the
// modules of the kind.
func (c *Catalog) Describe(kind module.Kind, name string) (string, error) {
	h, err := c.Help(kind, name)
	if err != nil {
		return "", err
	}
	return h.Text(), nil
}

// schema is the part of a JSON schema that a description shows.
type schema struct {
	Type                 any               `json:"type"`
	Description          string            `json:"description"`
	Default              json.RawMessage   `json:"default"`
	Enum                 []json.RawMessage `json:"enum"`
	Const                json.RawMessage   `json:"const"`
	Required             []string          `json:"required"`
	Items                *schema           `json:"items"`
	Properties           properties        `json:"properties"`
	PropertyNames        *schema           `json:"propertyNames"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
	OneOf                []schema          `json:"oneOf"`
	AnyOf                []schema          `json:"anyOf"`
	limits
}

// limits are the parts of a schema that bound a value. What they are is checked
// where a schema is read; here they are only shown.
type limits struct {
	Pattern          string          `json:"pattern"`
	Format           string          `json:"format"`
	Minimum          json.RawMessage `json:"minimum"`
	Maximum          json.RawMessage `json:"maximum"`
	ExclusiveMinimum json.RawMessage `json:"exclusiveMinimum"`
	ExclusiveMaximum json.RawMessage `json:"exclusiveMaximum"`
	MultipleOf       json.RawMessage `json:"multipleOf"`
	MinLength        json.RawMessage `json:"minLength"`
	MaxLength        json.RawMessage `json:"maxLength"`
	MinItems         json.RawMessage `json:"minItems"`
	MaxItems         json.RawMessage `json:"maxItems"`
	UniqueItems      bool            `json:"uniqueItems"`
	MinProperties    json.RawMessage `json:"minProperties"`
	MaxProperties    json.RawMessage `json:"maxProperties"`
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
	var names []string
	for _, one := range s.alternatives() {
		if t := one.typeName(); t != anyValue && !slices.Contains(names, t) {
			names = append(names, t)
		}
	}
	if len(names) > 0 {
		return strings.Join(names, " or ")
	}
	return anyValue
}

// anyValue is the name of the type that takes everything.
const anyValue = "any value"

// alternatives are the schemas of which a value has to fit one.
func (s *schema) alternatives() []schema { return slices.Concat(s.OneOf, s.AnyOf) }

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
