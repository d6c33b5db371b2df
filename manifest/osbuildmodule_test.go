package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/module"
)

const d4 = `{"$schema": "http://json-schema.org/draft-04/schema#", `

func TestParseOsbuildMeta(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text string
		want       ModuleFile
	}{
		{"empty", `{}`, ModuleFile{Schema: []byte(AnyOptions)}},
		{"all", `{"summary": "Set it.", "description": ["One.", "", "Two."], "capabilities": ["CAP_MAC_ADMIN"],
			"schema": { "required": ["b", "a"], "properties": {"b": {"type": "string"}, "a": {}}}, "schema_2": {"options": {"not": {}}}}`, ModuleFile{
			Summary: "Set it", Description: "One.\n\nTwo.",
			Schema: []byte(d4 + `"type": "object", "required": ["b", "a"], "properties": {"b": {"type": "string"}, "a": {}}}`)}},
		{"format v2 only", `{"description": "One.", "schema_2": {"options": {"type": "object", "properties": {"a": {"$ref": "#/definitions/x"}}},
			"definitions": {"x": {"type": "string"}}, "inputs": {"type": "object"}}}`, ModuleFile{Description: "One.",
			Schema: []byte(d4 + `"definitions": {"x": {"type": "string"}}, "type": "object", "properties": {"a": {"$ref": "#/definitions/x"}}}`)}},
		{"no options", `{"schema": {}}`, ModuleFile{Schema: []byte(d4 + `"type": "object"}`)}},
		{"null", `{"schema": null, "description": 3}`, ModuleFile{Schema: []byte(AnyOptions)}},
		{"what draft 4 passes over", `{"schema": {"type": "object", "if": {}, "foo": 1}}`, ModuleFile{Schema: []byte(d4 + `"type": "object", "if": {}, "foo": 1}`)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseOsbuildMeta([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			c.want.Sandbox = module.Tools
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for text, want := range map[string]string{
		`[`:                            "is not what osbuild describes a module with: ",
		`{"summary": 3}`:               "is not what osbuild describes a module with: ",
		`{"schema": [1]}`:              "its schema of the options is no JSON object: ",
		`{"schema": {"type": "text"}}`: "its schema of the options cannot be used: ",
		`{"schema": {"properties": {"a": {"pattern": "(?=x"}}}}`: "its schema of the options cannot be used: ",
	} {
		if _, err := ParseOsbuildMeta([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestParseOsbuildSource(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text string
		want       ModuleFile
	}{
		{"nothing", "#!/usr/bin/python3\nprint()\n", ModuleFile{Schema: []byte(AnyOptions)}},
		{"text at the top", "#!/usr/bin/python3\n# x\n\n\"\"\"\nSet it.\n\n  More of\n  it.\n\"\"\"\n\nSCHEMA = r\"\"\"\n\"properties\": {\"a\": {\"pattern\": \"^\\\\d\"}}\n\"\"\"\n",
			ModuleFile{Summary: "Set it", Description: "More of\nit.", Schema: []byte(d4 + `"type": "object", "properties": {"a": {"pattern": "^\\d"}}}`)}},
		{"three variables", "STAGE_DESC = \"Set it\"\nSTAGE_INFO = '''One.\nTwo.'''\nSTAGE_OPTS = \"\"\"\n\"required\": [\"a\"]\n\"\"\"\ndef main(): pass\n",
			ModuleFile{Summary: "Set it", Description: "One.\nTwo.", Schema: []byte(d4 + `"type": "object", "required": ["a"]}`)}},
		{"with braces and escapes", "SCHEMA = \"\"\"{\"properties\": {\"a\": {\"pattern\": \"^\\\\\\\\d\"}}}\"\"\"\n",
			ModuleFile{Schema: []byte(d4 + `"type": "object", "properties": {"a": {"pattern": "^\\d"}}}`)}},
		{"no end", "SCHEMA = \"\"\"\n\"required\"", ModuleFile{Schema: []byte(AnyOptions)}},
		{"not at the margin", "if True:\n    SCHEMA = \"\"\"\"required\": []\"\"\"\n", ModuleFile{Schema: []byte(AnyOptions)}},
		{"no string", "SCHEMA = open('x').read()\n", ModuleFile{Schema: []byte(AnyOptions)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseOsbuildSource([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			c.want.Sandbox = module.Tools
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("%s\n%s", d, got.Schema)
			}
		})
	}
	if _, err := ParseOsbuildSource([]byte("SCHEMA = '''required'''")); err == nil || !strings.Contains(err.Error(), "is no JSON object") {
		t.Error(err)
	}
}

// Patterns with look-ahead are checked, and do not take all the time there is.
func TestLookAhead(t *testing.T) {
	t.Parallel()
	m, err := ParseOsbuildMeta([]byte(`{"schema": {"properties": {
		"path": {"type": "string", "pattern": "^\\/(?!\\.\\.)((?!\\/\\.\\.\\/).)+$"}, "slow": {"type": "string", "pattern": "^(?=(a+)+$)b"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ options, want string }{
		{`{"path": "/a/b..c"}`, ""},
		{`{"path": "/../a"}`, `f:1:47: "path" is "/../a", which does not match the pattern ^\/(?!\.\.)((?!\/\.\.\/).)+$ (at /stages/0/options/path)`},
		{`{"path": "/a/../b"}`, `f:1:47: "path" is "/a/../b", which does not match the pattern ^\/(?!\.\.)((?!\/\.\.\/).)+$ (at /stages/0/options/path)`},
		{`{"slow": "` + strings.Repeat("a", 40) + `!"}`, `f:1:47: "slow" is "` + strings.Repeat("a", 40) + `!", which does not match the pattern ^(?=(a+)+$)b (at /stages/0/options/slow)`},
	} {
		checkOptions(t, m, x.options, x.want)
	}
}

func FuzzParseOsbuild(f *testing.F) {
	f.Add("\"\"\"top\"\"\"\nSCHEMA = r'''\"a\": \"\\d\"'''\nSTAGE_DESC = 'x\\n'")
	f.Add(`{"summary": "x", "description": ["a"], "schema": {"properties": {"a": {"pattern": "(?!b)"}}}}`)
	f.Add(`{"schema_2": {"options": {"$ref": "#/definitions/a"}, "definitions": {"a": {}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func([]byte) (*ModuleFile, error){ParseOsbuildMeta, ParseOsbuildSource} {
			m, err := parse([]byte(text))
			if err != nil {
				continue
			}
			c := fakeCatalog{module.Stage: {"a": string(m.Schema)}}
			_, _ = Load("f", []byte(`{"stages": [{"name": "a", "options": {"a": [1, "x"]}}]}`), c)
		}
	})
}
