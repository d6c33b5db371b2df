package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
)

func TestParseModuleFile(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text string
		want       ModuleFile
	}{
		{"empty", `{}`, ModuleFile{Sandbox: module.Tools, Schema: []byte(AnyOptions)}},
		{"all", `{"$schema": "x", "summary": " Set the\tmotd. ", "description": ["One.", "", "Two\nlines."], "sandbox": "inside", "network": false,
			"schema": {"additionalProperties": false, "properties": {"text": {"type": "string"}}}}`, ModuleFile{
			Summary: "Set the motd", Description: "One.\n\nTwo\nlines.", Sandbox: module.Inside,
			Schema: []byte(`{"type": "object", "additionalProperties": false, "properties": {"text": {"type": "string"}}}`),
		}},
		{"no schema at all", `{"schema": {}}`, ModuleFile{Sandbox: module.Tools, Schema: []byte(`{"type": "object"}`)}},
		{"draft 4", `{"schema": {"properties": {"n": {"minimum": 1, "exclusiveMinimum": true}}}}`, ModuleFile{Sandbox: module.Tools,
			Schema: []byte(`{"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "properties": {"n": {"minimum": 1, "exclusiveMinimum": true}}}`)}},
		{"a property may have the name of a keyword", `{"schema": {"type": "object", "properties": {"dependencies": {"type": "string"}, "items": {}, "foo": true}, "x-order": 1}}`,
			ModuleFile{Sandbox: module.Tools,
				Schema: []byte(`{"type": "object", "properties": {"dependencies": {"type": "string"}, "items": {}, "foo": true}, "x-order": 1}`)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseModuleFile("x.json", module.Stage, []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestModuleFileErrors(t *testing.T) {
	t.Parallel()
	cases := []struct{ text, want string }{
		{``, `x.json:1:1: the file is empty; the smallest manifest is {}`},
		{`[]`, `x.json:1:1: the description of a module must be an object, found an array`},
		{`{"sumary": "x"}`, `x.json:1:2: unknown key "sumary" in the description of a module (at /sumary); did you mean "summary"?`},
		{`{"schema_2": {}}`, `x.json:1:2: unknown key "schema_2" in the description of a module (at /schema_2); it is of osbuild's format v2, which is not supported yet; "schema" describes the options`},
		{`{"summary": 1, "summary": ""}`, `x.json:1:13: "summary" must be a string, found a number (at /summary)
x.json:1:16: duplicated key "summary"; the first is at 1:2 (at /summary); remove one of the two`},
		{"{\n \"network\": \"yes\"}", `x.json:2:13: "network" must be a boolean, found a string (at /network)`},
		{`{"sandbox": "edit"}`, `x.json:1:13: a step of kind "edit" has no file system that a program of yours could run in (at /sandbox); write "tools": the module then runs in the build root`},
		{`{"sandbox": "tool"}`, `x.json:1:13: unknown sandbox "tool" (at /sandbox); did you mean "tools"?`},
		{`{"schema": true}`, `x.json:1:12: "schema" must be an object, found a boolean (at /schema)`},
		{`{"schema": {"type": "string"}}`, `x.json:1:21: the options of a module are an object (at /schema/type); write "object"`},
		{`{"schema": {"properties": {"a": {"minLenght": 1}}}}`,
			`x.json:1:34: unknown keyword "minLenght" in the schema (at /schema/properties/a/minLenght); did you mean "minLength"?`},
		{`{"schema": {"properties": {"a": {"minLength": "1"}}}}`, `x.json:1:47: "minLength" must be an integer, found a string (at /schema/properties/a/minLength)`},
		{`{"schema": {"properties": {"a": {"type": "text"}}}}`,
			`x.json:1:42: "type" must be "array", "boolean", "integer", "null", "number", "object" or "string", found "text" (at /schema/properties/a/type)`},
		{`{"schema": {"properties": {"a": {"pattern": "(?=x"}}}}`, `x.json:1:45: "pattern" is "(?=x", which is not of the format regex (at /schema/properties/a/pattern)`},
		{`{"schema": {"properties": {"a": {"$ref": "#/$defs/b"}}}}`, `x.json:1:12: the schema cannot be used: json-pointer in "mem:///options#/$defs/b" not found (at /schema)`},
		{`{"schema": {"properties": {"a": {"$ref": "file:///etc/passwd"}}}}`,
			`x.json:1:12: the schema cannot be used: failing loading "file:///etc/passwd": a schema may not refer to another file: file:///etc/passwd (at /schema)`},
		{`{"schema": {"$schema": "http://example.com/x"}}`, `x.json:1:24: unknown draft of JSON Schema: "http://example.com/x" (at /schema/$schema); the drafts that can be read are ` + list(drafts, "and")},
		{`{"schema": {"properties": {"a": {"items": [{}], "const": 1}}}}`,
			`x.json:1:49: the keyword "const" is newer than draft 4, which its "items" at 1:34 shows the schema to be written in (at /schema/properties/a/const); write all of the schema in draft 2020-12`},
		{`{"schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "dependencies": {}}}`,
			`x.json:1:72: the keyword "dependencies" is not in draft 2020-12 (at /schema/dependencies); change "$schema", or use the keyword that has replaced it`},
	}
	for _, c := range cases {
		_, err := ParseModuleFile("x.json", module.Stage, []byte(c.text))
		if err == nil {
			t.Errorf("%s: no error", c.text)
		} else if d := cmp.Diff(c.want, err.Error()); d != "" {
			t.Errorf("%s: %s", c.text, d)
		}
	}
	_, err := ParseModuleFile("x.json", module.Assembler, []byte(`{"sandbox": "inside"}`))
	if err == nil || !strings.Contains(err.Error(), "an assembler reads a finished tree") {
		t.Error(err)
	}
}

// checkOptions checks options with the schema of a module; want is the error,
// or empty.
func checkOptions(t *testing.T, m *ModuleFile, options, want string) {
	t.Helper()
	_, err := Load("f", []byte(`{"stages": [{"name": "a", "options": `+options+`}]}`), fakeCatalog{module.Stage: {"a": string(m.Schema)}})
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", options, got, want)
	}
}

// What a draft 4 schema says is what is checked.
func TestDraft4Options(t *testing.T) {
	t.Parallel()
	m, err := ParseModuleFile("x.json", module.Stage, []byte(`{"schema": {
		"id": "http://example.com/schema", "additionalProperties": false, "required": ["port"],
		"definitions": {"port": {"type": "integer", "minimum": 1, "maximum": 1024, "exclusiveMaximum": true}},
		"dependencies": {"tls": ["certificate"]},
		"properties": {
			"port": {"$ref": "#/definitions/port"}, "tls": {"type": "boolean"}, "certificate": {"type": "string"},
			"pair": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}], "additionalItems": false}
		}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ options, want string }{
		{`{"port": 80, "pair": ["a", 1]}`, ""},
		{`{"port": 1024}`, `f:1:47: "port" must be less than 1024, found 1024 (at /stages/0/options/port)`},
		{`{}`, `f:1:38: the option "port" is missing (at /stages/0/options)`},
		{`{"port": 1, "prot": 1}`, `f:1:50: unknown option "prot" (at /stages/0/options/prot); did you mean "port"?`},
		{`{"port": 1, "tls": true}`, `f:1:50: the option "tls" needs "certificate" too (at /stages/0/options/tls)`},
		{`{"port": 1, "pair": ["a", "b"]}`, `f:1:64: element 2 of "pair" must be an integer, found a string (at /stages/0/options/pair/1)`},
		{`{"port": 1, "pair": ["a", 1, 1]}`, `f:1:58: "pair" has 1 element too many (at /stages/0/options/pair)`},
		{`[]`, `f:1:38: "options" must be an object, found an array (at /stages/0/options)`},
	} {
		checkOptions(t, m, x.options, x.want)
	}
}

func FuzzParseModuleFile(f *testing.F) {
	f.Add(`{"summary": "x", "description": ["a"], "sandbox": "inside", "schema": {"properties": {"a": {"pattern": "("}}}}`)
	f.Add(`{"schema": {"$ref": "#", "items": [{}], "dependencies": {"a": ["b"]}, "$id": "x"}}`)
	f.Add(`{"schema": {"$schema": "http://json-schema.org/draft-07/schema#", "allOf": [{"not": {}}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseModuleFile("x.json", module.Stage, []byte(text))
		if err != nil {
			return
		}
		c := fakeCatalog{module.Stage: {"a": string(m.Schema)}}
		_, _ = Load("f", []byte(`{"stages": [{"name": "a", "options": {"a": [1, "x"]}}]}`), c)
	})
}
