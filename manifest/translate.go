package manifest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

func unescapePercent(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// translator turns the error tree of the validator into sentences.
type translator struct {
	schema *optionsSchema
	root   *node
	found  []finding
}

func (t *translator) translate(e *jsonschema.ValidationError) []finding {
	t.found = nil
	t.walk(e)
	return t.found
}

// sub translates a part of the tree on its own.
func (t *translator) sub(e *jsonschema.ValidationError) []finding {
	return (&translator{schema: t.schema, root: t.root}).translate(e)
}

func (t *translator) add(e *jsonschema.ValidationError, hint, format string, args ...any) {
	t.found = append(t.found, finding{loc: e.InstanceLocation, hint: hint,
		message: optionName(e.InstanceLocation) + " " + fmt.Sprintf(format, args...)})
}

// at returns the value of a location, or nil.
func (t *translator) at(loc []string) *node {
	n := t.root
	for _, token := range loc {
		if n = n.child(token); n == nil {
			return nil
		}
	}
	return n
}

// describe says what stands at the place of an error.
func (t *translator) describe(e *jsonschema.ValidationError) string {
	if n := t.at(e.InstanceLocation); n != nil {
		return describe(n)
	}
	return "something else"
}

func (t *translator) walk(e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf:
		t.alternatives(e, "anyOf")
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			t.several(e, k.Subschemas)
		} else {
			t.alternatives(e, "oneOf")
		}
	case *kind.PropertyNames:
		t.propertyName(e, k.Property)
	case *kind.AdditionalProperties:
		for _, property := range t.first(e.InstanceLocation, k.Properties) {
			t.unknownOption(append(slices.Clone(e.InstanceLocation), property), e.SchemaURL)
		}
	case *kind.FalseSchema:
		t.refused(e)
	case *kind.Not:
		t.not(e)
	default:
		if len(e.Causes) == 0 {
			t.leaf(e)
		}
		for _, cause := range e.Causes {
			t.walk(cause)
		}
	}
}

// first returns the first keys of an object by their place in the file, as many
// as are reported.
func (t *translator) first(loc, keys []string) []string {
	n := t.at(loc)
	if n == nil {
		return keys
	}
	keys = slices.Clone(keys)
	start := func(key string) int {
		if kid := n.get(key); kid != nil {
			return kid.keyStart
		}
		return 0
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(start(a), start(b)) })
	return keys[:min(len(keys), 2*maxErrors)]
}

// leaf translates an error that has no parts.
func (t *translator) leaf(e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		t.add(e, "", "must be %s, found %s", kinds(k.Want), t.kindAt(e, k.Got))
	case *kind.Required:
		for _, missing := range k.Missing {
			message := "the option " + quote(missing) + " is missing"
			if len(e.InstanceLocation) > 0 {
				message += " in " + optionName(e.InstanceLocation)
			}
			t.found = append(t.found, finding{loc: e.InstanceLocation, message: message})
		}
	case *kind.Enum:
		t.enum(e, k.Want)
	case *kind.Const:
		t.add(e, "", "must be %s, found %s", constant(k.Want), t.describe(e))
	case *kind.Pattern:
		t.add(e, t.description(e), "is %s, which does not match the pattern %s", quote(k.Got), clip(k.Want, 200))
	case *kind.Format:
		t.add(e, t.description(e), "is %s, which is not of the format %s", t.describe(e), k.Want)
	case *kind.DependentRequired:
		t.needs(e, k.Prop, k.Missing)
	case *kind.Dependency:
		t.needs(e, k.Prop, k.Missing)
	case *kind.UniqueItems:
		first, second := min(k.Duplicates[0], k.Duplicates[1]), max(k.Duplicates[0], k.Duplicates[1])
		loc := append(slices.Clone(e.InstanceLocation), strconv.Itoa(second))
		t.found = append(t.found, finding{loc: loc, hint: "remove one of the two",
			message: fmt.Sprintf("%s is the same as element %d", optionName(loc), first+1)})
	default:
		if !t.bound(e) {
			t.add(e, "", "is not allowed: %s", oneLine(e))
		}
	}
}

// bound translates the errors of sizes and amounts.
func (t *translator) bound(e *jsonschema.ValidationError) bool {
	switch k := e.ErrorKind.(type) {
	case *kind.Minimum:
		t.add(e, "", "must be at least %s, found %s", rat(k.Want), t.describe(e))
	case *kind.Maximum:
		t.add(e, "", "must be at most %s, found %s", rat(k.Want), t.describe(e))
	case *kind.ExclusiveMinimum:
		t.add(e, "", "must be more than %s, found %s", rat(k.Want), t.describe(e))
	case *kind.ExclusiveMaximum:
		t.add(e, "", "must be less than %s, found %s", rat(k.Want), t.describe(e))
	case *kind.MultipleOf:
		t.add(e, "", "must be a multiple of %s, found %s", rat(k.Want), t.describe(e))
	case *kind.MinLength:
		t.tooFew(e, k.Got, k.Want, "character")
	case *kind.MinItems:
		t.tooFew(e, k.Got, k.Want, "element")
	case *kind.MinProperties:
		t.tooFew(e, k.Got, k.Want, "option")
	case *kind.MaxLength:
		t.add(e, "", "may have at most %s, found %d", count(k.Want, "character"), k.Got)
	case *kind.MaxItems:
		t.add(e, "", "may have at most %s, found %d", count(k.Want, "element"), k.Got)
	case *kind.MaxProperties:
		t.add(e, "", "may have at most %s, found %d", count(k.Want, "option"), k.Got)
	case *kind.AdditionalItems:
		t.add(e, "", "has %s too many", count(k.Count, "element"))
	case *kind.Contains:
		t.add(e, t.description(e), "lacks an element that it must have")
	case *kind.MinContains:
		t.add(e, t.description(e), "lacks elements: %d of %d that it must have", len(k.Got), k.Want)
	default:
		return false
	}
	return true
}

// needs reports an option that is of no use without others.
func (t *translator) needs(e *jsonschema.ValidationError, option string, missing []string) {
	loc := append(slices.Clone(e.InstanceLocation), option)
	t.found = append(t.found, finding{loc: loc, key: true,
		message: fmt.Sprintf("the option %s needs %s too", quote(option), list(quoteAll(missing), "and"))})
}

func (t *translator) tooFew(e *jsonschema.ValidationError, got, want int, unit string) {
	if got == 0 && want == 1 {
		t.add(e, "", "may not be empty")
		return
	}
	t.add(e, "", "must have at least %s, found %d", count(want, unit), got)
}

func count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}

func rat(r *big.Rat) string {
	if r.IsInt() {
		return r.RatString()
	}
	return strings.TrimRight(r.FloatString(9), "0")
}

// kinds writes the names of JSON types with articles.
func kinds(types []string) string {
	words := make([]string, len(types))
	for i, name := range types {
		switch name {
		case "null":
			words[i] = name
		case "integer", "array", "object":
			words[i] = "an " + name
		default:
			words[i] = "a " + name
		}
	}
	return list(words, "or")
}

func (t *translator) kindAt(e *jsonschema.ValidationError, got string) string {
	n := t.at(e.InstanceLocation)
	if n == nil {
		return kinds([]string{got})
	}
	if n.kind == kindNumber {
		return "the number " + describe(n)
	}
	return n.kind.String()
}

// constant writes a value of a schema.
func constant(v any) string {
	if s, ok := v.(string); ok {
		return quote(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "another value"
	}
	return clip(string(b), maxQuoted)
}

// maxHints is the number of errors in the options of one stage up to which the
// nearest names are looked for. It is ten times what is shown.
const maxHints = 10 * maxErrors

func (t *translator) enum(e *jsonschema.ValidationError, want []any) {
	words := make([]string, len(want))
	var names []string
	for i, v := range want {
		words[i] = constant(v)
		if s, ok := v.(string); ok {
			names = append(names, s)
		}
	}
	hint := ""
	if n := t.at(e.InstanceLocation); n != nil && n.kind == kindString && len(t.found) <= maxHints {
		hint = didYouMean(n.text, names)
	}
	t.add(e, hint, "must be %s, found %s", list(words, "or"), t.describe(e))
}

// description is the first sentence of what the schema says about a value.
func (t *translator) description(e *jsonschema.ValidationError) string {
	text, _ := t.schema.at(e.SchemaURL)["description"].(string)
	return firstSentence(text)
}

// unknownOption reports a key that a schema does not have.
func (t *translator) unknownOption(loc []string, schemaURL string) {
	key := loc[len(loc)-1]
	known := t.schema.properties(t.schema.at(schemaURL))
	hint := ""
	if len(t.found) <= maxHints {
		hint = didYouMean(key, known)
	}
	if hint == "" {
		switch {
		case len(known) == 0:
			hint = "there are no options here"
		case len(known) <= 20:
			hint = "the options are " + strings.Join(known, ", ")
		}
	}
	message := "unknown option " + quote(key)
	if len(loc) > 1 {
		message += " in " + optionName(loc[:len(loc)-1])
	}
	t.found = append(t.found, finding{loc: loc, key: true, message: message, hint: hint})
}

// properties lists the keys that a schema knows, sorted, those of the schemas
// that it is made of included.
func (s *optionsSchema) properties(m map[string]any) []string {
	set := map[string]bool{}
	s.collect(m, set, 0)
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *optionsSchema) collect(m map[string]any, set map[string]bool, depth int) {
	if depth > 10 || m == nil {
		return
	}
	properties, _ := m["properties"].(map[string]any)
	for k := range properties {
		set[k] = true
	}
	if ref, _ := m["$ref"].(string); strings.HasPrefix(ref, "#/") {
		s.collect(s.at(ref), set, depth+1)
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		parts, _ := m[keyword].([]any)
		for _, part := range parts {
			sub, _ := part.(map[string]any)
			s.collect(sub, set, depth+1)
		}
	}
}

// refused reports a value where a schema is false.
func (t *translator) refused(e *jsonschema.ValidationError) {
	for _, keyword := range []string{"/unevaluatedProperties", "/additionalProperties"} {
		if parent, ok := strings.CutSuffix(e.SchemaURL, keyword); ok && len(e.InstanceLocation) > 0 {
			t.unknownOption(e.InstanceLocation, parent)
			return
		}
	}
	t.found = append(t.found, finding{loc: e.InstanceLocation, key: true, message: optionName(e.InstanceLocation) + " is not allowed here"})
}

// not reports options that fit what they may not fit: mostly two options that
// exclude each other.
func (t *translator) not(e *jsonschema.ValidationError) {
	not, _ := t.schema.at(e.SchemaURL)["not"].(map[string]any)
	if keys := texts(not["required"]); len(keys) > 0 && len(not) == 1 {
		if len(keys) == 1 {
			loc := append(slices.Clone(e.InstanceLocation), keys[0])
			t.found = append(t.found, finding{loc: loc, key: true, message: optionName(loc) + " is not allowed here"})
			return
		}
		t.add(e, "remove one of them", "may not have %s together", list(quoteAll(keys), "and"))
		return
	}
	t.add(e, t.description(e), "has a value that is not allowed")
}

func texts(v any) []string {
	items, _ := v.([]any)
	var out []string
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// propertyName reports a key that does not fit the schema of keys.
func (t *translator) propertyName(e *jsonschema.ValidationError, property string) {
	loc := append(t.owner(e.InstanceLocation, property), property)
	// The parts are about the key as a value of its own, without a location.
	keys := &translator{schema: t.schema, root: &node{kind: kindString, text: property}}
	for _, cause := range e.Causes {
		if k, ok := cause.ErrorKind.(*kind.Pattern); ok {
			t.found = append(t.found, finding{loc: loc, key: true, hint: t.description(cause),
				message: fmt.Sprintf("the key %s does not match the pattern %s", quote(property), clip(k.Want, 200))})
			continue
		}
		for _, f := range keys.sub(cause) {
			message := "the key " + quote(property) + strings.TrimPrefix(f.message, "the options")
			t.found = append(t.found, finding{loc: loc, key: true, message: message, hint: f.hint})
		}
	}
	if len(e.Causes) == 0 {
		t.found = append(t.found, finding{loc: loc, key: true, message: "the key " + quote(property) + " is not allowed"})
	}
}

// owner returns the location of the object that has a key. The validator's own
// location may have been overwritten by that of a neighbour.
func (t *translator) owner(loc []string, key string) []string {
	if n := t.at(loc); n != nil && n.kind == kindObject && n.get(key) != nil {
		return slices.Clone(loc)
	}
	var search func(n *node, loc []string) []string
	search = func(n *node, loc []string) []string {
		if n.kind == kindObject && n.get(key) != nil {
			return loc
		}
		for i, kid := range n.kids {
			token := kid.key
			if n.kind == kindArray {
				token = strconv.Itoa(i)
			}
			if found := search(kid, append(slices.Clone(loc), token)); found != nil {
				return found
			}
		}
		return nil
	}
	return search(t.root, []string{})
}
