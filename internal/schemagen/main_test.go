package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/osbuildkit/osbuildkit/internal/genfiles"
)

// The tests of this package change the working directory, so none of them is
// parallel.

func TestCommittedSchemasAreUpToDate(t *testing.T) {
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no modules")
	}
	stale, err := schemas().Stale(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		t.Errorf("%s does not match the types of the options; run \"go generate ./...\"", name)
	}
}

func TestSchemasCompileAlone(t *testing.T) {
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := jsonschema.NewCompiler()
		c.UseLoader(jsonschema.SchemeURLLoader{}) // nothing can be loaded
		if err := c.AddResource("schema.json", doc); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := c.Compile("schema.json"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		missingDescriptions(t, name, "", doc)
	}
}

// missingDescriptions reports properties that have no description.
func missingDescriptions(t *testing.T, file, at string, doc any) {
	m, ok := doc.(map[string]any)
	if !ok {
		return
	}
	if props, ok := m["properties"].(map[string]any); ok {
		for name, p := range props {
			if d, _ := p.(map[string]any)["description"].(string); !strings.HasSuffix(d, ".") {
				t.Errorf("%s: %s/%s has no doc comment in full sentences: %q", file, at, name, d)
			}
			missingDescriptions(t, file, at+"/"+name, p)
		}
	}
	missingDescriptions(t, file, at+"/*", m["additionalProperties"])
	missingDescriptions(t, file, at+"/-", m["items"])
}

type number int

func (number) JSONSchemaText() string { return `{"type": ["integer", "string"]}` }

type table map[string]struct {
	A number `json:"a"`
}

func (table) KeyPattern() string { return "^x" }

func TestSchemaOf(t *testing.T) {
	type options struct {
		N number `json:"n" jsonschema:"required"`
		T table  `json:"t"`
		P string `json:"p" jsonschema:"pattern=^[<>]$"`
	}
	data, err := schemaOf(new(options), "do it", map[string]string{
		"github.com/osbuildkit/osbuildkit/internal/schemagen.options.N": "One\nline.\n\nTwo.",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	object := func(props map[string]any, more map[string]any) map[string]any {
		m := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	num := map[string]any{"type": []any{"integer", "string"}}
	want := object(map[string]any{
		"n": map[string]any{"type": []any{"integer", "string"}, "description": "One line.\n\nTwo."},
		"t": map[string]any{"type": "object", "propertyNames": map[string]any{"pattern": "^x"},
			"additionalProperties": object(map[string]any{"a": num}, nil)},
		"p": map[string]any{"type": "string", "pattern": "^[<>]$"},
	}, map[string]any{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "do it", "required": []any{"n"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if strings.Contains(string(data), `\u003c`) {
		t.Error("the schema is not written as a person would read it")
	}
}
