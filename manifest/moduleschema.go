package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Drafts of JSON Schema, by what "$schema" says.
const (
	draft2020 = "https://json-schema.org/draft/2020-12/schema"
	draft4    = "http://json-schema.org/draft-04/schema#"
)

// drafts are the drafts that may be named.
var drafts = []string{
	draft4, "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#",
	"https://json-schema.org/draft/2019-09/schema", draft2020,
}

// Keywords of JSON Schema, by what stands behind them. A keyword that is
// unknown to the validator would check nothing: it is refused, as it is more
// likely misspelt than meant for another program.
var (
	// schemaKeywords hold a schema, or a list of them.
	schemaKeywords = []string{
		"additionalItems", "additionalProperties", "allOf", "anyOf", "contains", "contentSchema", "else", "if", "items",
		"not", "oneOf", "prefixItems", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
	}
	// namedKeywords hold schemas by name.
	namedKeywords = []string{"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
	plainKeywords = []string{
		"$comment", "$ref", "const", "contentEncoding", "contentMediaType", "default", "dependentRequired", "deprecated",
		"description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maxContains", "maxItems",
		"maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties", "minimum",
		"multipleOf", "pattern", "readOnly", "required", "title", "type", "uniqueItems", "writeOnly",
	}
	rootKeywords = []string{"$id", "$schema", "id"}

	allKeywords = slices.Concat(schemaKeywords, namedKeywords, plainKeywords)

	// Keywords that one of the drafts reads over in silence.
	notInDraft4 = []string{
		"const", "contains", "dependentRequired", "dependentSchemas", "else", "if", "maxContains", "minContains",
		"prefixItems", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties",
	}
	notInDraft2020 = []string{"additionalItems", "dependencies"}
)

// moduleSchema checks the schema of a module's options and returns it as it
// is compiled: with its draft if it is not the newest, and for an object if it
// says nothing else, as in osbuild's descriptions.
func (l *loader) moduleSchema(n *node) []byte {
	before := len(l.list)
	draft, why := l.draft(n)
	eachSchema(n, "/schema", func(s *node, pointer string) { l.schemaKeys(s, pointer, draft, why) })
	if t := n.get("type"); t != nil && (t.kind != kindString || t.text != "object") {
		l.value(t, "/schema/type", `write "object"`, "the options of a module are an object")
	}
	if len(l.list) > before {
		return nil
	}
	text := string(l.raw(n))
	add := ""
	if n.get("$schema") == nil && draft != draft2020 {
		add += `"$schema": "` + draft + `", `
	}
	if n.get("type") == nil {
		add += `"type": "object", `
	}
	if add != "" {
		if len(n.kids) == 0 {
			add = strings.TrimSuffix(add, ", ")
		}
		text = "{" + add + text[1:]
	}
	if compiled := compileSchema([]byte(text)); compiled.err != nil {
		l.schemaError(n, compiled.err)
		return nil
	}
	return []byte(text)
}

// eachSchema calls fn for a schema and for those inside it.
func eachSchema(n *node, pointer string, fn func(n *node, pointer string)) {
	if n.kind != kindObject {
		return
	}
	fn(n, pointer)
	for _, kid := range n.kids {
		at := JoinPointer(pointer, kid.key)
		switch {
		case slices.Contains(namedKeywords, kid.key) && kid.kind == kindObject:
			for _, named := range kid.kids {
				eachSchema(named, JoinPointer(at, named.key), fn)
			}
		case slices.Contains(schemaKeywords, kid.key) && kid.kind == kindArray:
			for i, element := range kid.kids {
				eachSchema(element, elementPointer(at, i), fn)
			}
		case slices.Contains(schemaKeywords, kid.key):
			eachSchema(kid, at, fn)
		}
	}
}

// draft says which draft a schema is written in, and what shows it: a schema
// that names none is of draft 4 if something in it can be read in no other
// way, as in osbuild's descriptions, and else of draft 2020-12.
func (l *loader) draft(n *node) (draft, why string) {
	if s := n.get("$schema"); s != nil {
		const pointer = "/schema/$schema"
		if !l.want(s, pointer, `"$schema"`, kindString) {
			return draft2020, ""
		}
		plain := func(s string) string {
			return strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s, "https://"), "http://"), "#")
		}
		for _, d := range drafts {
			if plain(d) == plain(s.text) {
				return d, `its "$schema"`
			}
		}
		l.value(s, pointer, "the drafts that can be read are "+list(drafts, "and"), "unknown draft of JSON Schema: %s", quote(s.text))
		return draft2020, ""
	}
	draft = draft2020
	eachSchema(n, "", func(s *node, _ string) {
		for _, kid := range s.kids {
			old := slices.Contains(notInDraft2020, kid.key) ||
				kid.key == "items" && kid.kind == kindArray ||
				(kid.key == "exclusiveMinimum" || kid.key == "exclusiveMaximum") && kid.kind == kindBool
			if old && draft == draft2020 {
				at := l.lines.position(kid.keyStart)
				draft, why = draft4, fmt.Sprintf("its %s at %d:%d", quote(kid.key), at.Line, at.Column)
			}
		}
	})
	return draft, why
}

// schemaKeys reports the keywords of one schema that would check nothing.
func (l *loader) schemaKeys(s *node, pointer, draft, why string) {
	for _, kid := range s.kids {
		at := JoinPointer(pointer, kid.key)
		switch {
		case l.full():
			return
		case strings.HasPrefix(kid.key, "x-"), pointer == "/schema" && slices.Contains(rootKeywords, kid.key):
		case !slices.Contains(allKeywords, kid.key):
			hint := didYouMean(kid.key, allKeywords)
			if hint == "" {
				hint = `a keyword for another program begins with "x-"`
			}
			l.key(kid, at, hint, "unknown keyword %s in the schema", quote(kid.key))
		case draft == draft4 && slices.Contains(notInDraft4, kid.key):
			l.key(kid, at, "write all of the schema in draft 2020-12", "the keyword %s is newer than draft 4, which %s shows the schema to be written in", quote(kid.key), why)
		case draft == draft2020 && slices.Contains(notInDraft2020, kid.key):
			l.key(kid, at, `change "$schema", or use the keyword that has replaced it`, "the keyword %s is not in draft 2020-12", quote(kid.key))
		}
	}
}

// schemaError reports what the compiler says about a schema at its place.
func (l *loader) schemaError(n *node, err error) {
	var invalid *jsonschema.SchemaValidationError
	var failed *jsonschema.ValidationError
	var regex *jsonschema.InvalidRegexError
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &failed):
		t := &translator{schema: &optionsSchema{}, root: n}
		for _, f := range t.translate(failed) {
			at, pointer := l.below(n, "/schema", f.loc)
			if rest, ok := strings.CutPrefix(f.message, "the options "); ok {
				f.message = "the schema " + rest
			}
			l.value(at, pointer, f.hint, "%s", strings.TrimSuffix(f.message, ": "))
		}
	case errors.As(err, &regex):
		_, fragment, _ := strings.Cut(regex.URL, "#")
		at, pointer := l.below(n, "/schema", SplitPointer(unescapePercent(fragment)))
		l.value(at, pointer, "patterns are those of Go's regexp package", "the pattern %s cannot be used: %s", quote(regex.Regex), oneLine(regex.Err))
	}
	if len(l.list) == 0 {
		l.value(n, "/schema", "", "the schema cannot be used: %s", oneLine(err))
	}
}

// below follows tokens as far as they lead.
func (l *loader) below(n *node, pointer string, loc []string) (*node, string) {
	for _, token := range loc {
		kid := n.child(token)
		if kid == nil {
			break
		}
		n, pointer = kid, JoinPointer(pointer, token)
	}
	return n, pointer
}
