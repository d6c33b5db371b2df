package manifest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// alternatives reports a value that fits none of the schemas of anyOf or oneOf:
// it says what the choice is, or what is wrong with the one that was meant.
func (t *translator) alternatives(e *jsonschema.ValidationError, keyword string) {
	branches, _ := t.schema.at(e.SchemaURL)[keyword].([]any)
	if keys := t.choice(branches); keys != nil {
		how := "exactly one"
		if keyword == "anyOf" {
			how = "at least one"
		}
		where := ""
		if len(e.InstanceLocation) > 0 {
			where = " in " + optionName(e.InstanceLocation)
		}
		t.found = append(t.found, finding{loc: e.InstanceLocation,
			message: fmt.Sprintf("give %s of %s%s", how, strings.Join(keys, ", "), where)})
		return
	}
	// Alternatives of another type were not meant.
	var meant []*jsonschema.ValidationError
	var want []string
	for _, cause := range e.Causes {
		if types := wrongType(cause, len(e.InstanceLocation)); types != nil {
			want = append(want, types...)
			continue
		}
		meant = append(meant, cause)
	}
	if len(meant) == 0 && len(want) > 0 {
		slices.Sort(want)
		t.add(e, "", "must be %s, found %s", kinds(slices.Compact(want)), t.kindAt(e, ""))
		return
	}
	if best := t.best(meant); best != nil {
		t.found = append(t.found, best...)
		return
	}
	t.add(e, "", "fits none of its forms: %s", t.forms(branches))
}

// several reports a value that fits more than one schema of oneOf.
func (t *translator) several(e *jsonschema.ValidationError, matched []int) {
	branches, _ := t.schema.at(e.SchemaURL)["oneOf"].([]any)
	if keys := t.choice(branches); keys != nil {
		t.add(e, "", "may have only one of %s", strings.Join(keys, ", "))
		return
	}
	var both []any
	for _, i := range matched {
		if i < len(branches) {
			both = append(both, branches[i])
		}
	}
	t.add(e, "", "fits more than one of its forms: %s", t.forms(both))
}

// choice returns the options to choose from if every schema only requires
// options, or nil.
func (t *translator) choice(branches []any) []string {
	var keys []string
	for _, b := range branches {
		m, _ := b.(map[string]any)
		required := texts(m["required"])
		if len(required) == 0 {
			return nil
		}
		for keyword := range m {
			if keyword != "required" && keyword != "title" && keyword != "description" && keyword != "not" {
				return nil
			}
		}
		keys = append(keys, strings.Join(required, " with "))
	}
	return keys
}

// wrongType returns the types that a schema wants of the value itself, if it has
// another one.
func wrongType(e *jsonschema.ValidationError, depth int) []string {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		if len(e.InstanceLocation) == depth {
			return k.Want
		}
	case *kind.Reference, *kind.Group, *kind.AllOf:
		for _, cause := range e.Causes {
			if types := wrongType(cause, depth); types != nil {
				return types
			}
		}
	}
	return nil
}

// best returns what is wrong with the alternative that was most likely meant:
// the only one, or the one that alone has no wrong constant ("type": "…") and
// no unknown option.
func (t *translator) best(meant []*jsonschema.ValidationError) []finding {
	if len(meant) == 1 {
		return t.sub(meant[0])
	}
	var fitting []*jsonschema.ValidationError
	for _, e := range meant {
		if !excluded(e) {
			fitting = append(fitting, e)
		}
	}
	if len(fitting) == 1 {
		return t.sub(fitting[0])
	}
	return nil
}

// excluded reports whether an alternative was surely not meant.
func excluded(e *jsonschema.ValidationError) bool {
	switch e.ErrorKind.(type) {
	case *kind.Const, *kind.AdditionalProperties, *kind.FalseSchema:
		return true
	}
	return slices.ContainsFunc(e.Causes, excluded)
}

// forms describes schemas by their title, their options, or their type.
func (t *translator) forms(branches []any) string {
	words := make([]string, 0, len(branches))
	for _, b := range branches {
		m, _ := b.(map[string]any)
		m = t.schema.deref(m)
		title, _ := m["title"].(string)
		required := texts(m["required"])
		typ, _ := m["type"].(string)
		pattern, _ := m["pattern"].(string)
		enum, _ := m["enum"].([]any)
		switch {
		case title != "":
			words = append(words, title)
		case len(required) > 0:
			words = append(words, "an object with "+list(quoteAll(required), "and"))
		case m["const"] != nil:
			words = append(words, constant(m["const"]))
		case len(enum) > 0:
			for _, v := range enum {
				words = append(words, constant(v))
			}
		case pattern != "":
			words = append(words, "a string like "+clip(pattern, 200))
		case typ != "":
			words = append(words, kinds([]string{typ}))
		default:
			words = append(words, "another form")
		}
	}
	return strings.Join(words, "; ")
}

// integers finds numbers such as 1.0 and 1e3 where an integer is wanted. JSON
// Schema takes them, but osbuild does not, and a Go program cannot read them
// into an integer: the value is checked once more with a fraction in their
// places.
func (t *translator) integers() []finding {
	odd := false
	change := func(n *node) json.Number {
		if !strings.ContainsAny(n.text, ".eE") {
			return json.Number(n.text)
		}
		odd = true
		return "0.5"
	}
	value := toAny(t.root, change)
	if !odd {
		return nil
	}
	failed, ok := t.schema.compiled.Validate(value).(*jsonschema.ValidationError)
	if !ok {
		return nil
	}
	var found []finding
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if k, ok := e.ErrorKind.(*kind.Type); ok && slices.Contains(k.Want, "integer") {
			if n := t.at(e.InstanceLocation); n != nil && n.kind == kindNumber && strings.ContainsAny(n.text, ".eE") {
				found = append(found, finding{loc: e.InstanceLocation, hint: "write it without fraction and exponent",
					message: optionName(e.InstanceLocation) + " must be an integer, found the number " + describe(n)})
			}
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(failed)
	return found
}
