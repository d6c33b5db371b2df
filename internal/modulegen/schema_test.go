package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/internal/genfiles"
	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// compile compiles the schema; nothing else can be loaded.
func compile(t testing.TB) *jsonschema.Schema {
	t.Helper()
	data, err := manifestSchema(catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var directive = regexp.MustCompile(`(?m)\A((#|//).*\n)+`)

// validate returns what the schema says of a manifest.
func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(directive.ReplaceAllString(text, "")))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s.Validate(v)
}

// open is the catalog with all modules that somebody can have, as the schema
// sees them. What a schema cannot say is not looked at.
type open struct{ *catalog.Catalog }

func (c open) Schema(kind module.Kind, name string) ([]byte, bool) {
	if !strings.HasPrefix(name, "org.osbuild.") && !strings.HasPrefix(name, "org.osbuildkit.") {
		return []byte("{}"), true
	}
	return c.Catalog.Schema(kind, name)
}

func (open) Check(module.Kind, string, json.RawMessage) []module.Problem { return nil }

// read returns what the reader of manifests says of one.
func read(text string) error {
	_, err := manifest.Load("image.json", []byte(text), open{catalog.Builtin()}, manifest.WithArgs(map[string]string{"host": "web1"}))
	return err
}

// manifests finds the manifests in a page.
func manifests(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, b := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(data), -1) {
		if strings.Contains(b[1], `"stages"`) {
			out = append(out, b[1])
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no manifest", file)
	}
	return out
}

func TestManifestsOfTheProjectAreValid(t *testing.T) {
	t.Parallel()
	s := compile(t)
	var texts []string
	files, err := filepath.Glob("../../examples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	for _, page := range []string{"README.md", "docs/manifest.md", "docs/modules-of-your-own.md"} {
		texts = append(texts, manifests(t, page)...)
	}
	c := catalog.Builtin()
	for _, name := range c.Names(module.Stage) {
		example, _ := c.Example(module.Stage, name)
		stage := `{"stages": [{"name": "` + name + `", "options": ` + string(example) + `}]}`
		texts = append(texts, stage, `{"args": {}, `+stage[1:], `{"pipeline": `+stage+`}`, `{"build": {"runner": "r", "pipeline": `+stage+`}}`)
	}
	for _, name := range c.Names(module.Assembler) {
		example, _ := c.Example(module.Assembler, name)
		assembler := `{"assembler": {"name": "` + name + `", "options": ` + string(example) + `}}`
		texts = append(texts, assembler, `{"args": {}, `+assembler[1:], `{"pipeline": `+assembler+`}`)
	}
	for _, text := range texts {
		if err := validate(t, s, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// The snippets of the rules of lint, good or bad, are about options that may be
// still to come: the schema has to say what the reader says.
func TestSnippetsOfLint(t *testing.T) {
	t.Parallel()
	s := compile(t)
	valid := 0
	for _, r := range lint.Rules() {
		for _, text := range []string{r.Good, r.Bad} {
			got, want := validate(t, s, text), read(text)
			if (got == nil) != (want == nil) {
				t.Errorf("%s: the schema says %v, and the reader %v\n%s", r.Name, got, want, text)
			}
			if got == nil {
				valid++
			}
		}
	}
	if valid < 15 {
		t.Errorf("only %d snippets are valid", valid)
	}
}

const (
	hostname = `{"name": "org.osbuild.hostname", "options": {"hostname": "a"}}`
	tree64   = "482b23d7482b23d7482b23d7482b23d7482b23d7482b23d7482b23d7482b23d7"
)

func optionsOf(name, options string) string {
	return `"stages": [{"name": "` + name + `", "options": ` + options + `}]}`
}

// cases are manifests of which the schema and the reader say the same.
var cases = []struct {
	text string
	ok   bool
}{
	{`{}`, true},
	{`[]`, false},
	{`{"$schema": "x", "syntax": "y", "name": "n", "base": "` + tree64 + `", "stages": []}`, true},
	{`{"base": "` + tree64[1:] + `"}`, false},
	{`{"base": null, "build": null, "assembler": null}`, true},
	{`{"syntax": 1}`, false},
	{`{"stagess": []}`, false},
	{`{"version": "2"}`, false},
	{`{"pipelines": []}`, false},
	{`{"pipeline": {}, "sources": {}, "$schema": "x", "args": {}}`, true},
	{`{"pipeline": {}, "stages": []}`, false},
	{`{"pipeline": {"name": "x"}}`, false},
	{`{"sources": {}, "name": "x"}`, false},
	{`{"pipeline": null}`, false},
	{`{"build": {"stages": [` + hostname + `], "build": {"runner": "r"}}}`, true},
	{`{"build": {"runner": "r", "pipeline": null}}`, true},
	{`{"build": {"pipeline": {}}}`, false},
	{`{"build": {"runner": "r", "stages": []}}`, false},
	{`{"build": {"args": {}}}`, false},
	{`{"build": {"assembler": null}}`, true},
	{`{"build": {"assembler": {"name": "org.osbuild.noop"}}}`, false},
	{`{"pipeline": {"build": {"runner": "r", "pipeline": {"stages": [` + hostname + `]}}}}`, true},
	{`{"pipeline": {"build": {"runner": "r"}}}`, false},
	{`{"pipeline": {"build": {"stages": []}}}`, false},
	{`{"stages": [` + hostname + `, 3]}`, false},
	{`{"stages": [{"options": {}}]}`, false},
	{`{"stages": [{"type": "org.osbuild.hostname"}]}`, false},
	{`{"stages": [{"name": "org.osbuild.hostnam"}]}`, false},
	{`{"stages": [{"name": "org.osbuild.hostname"}]}`, false},
	{`{"stages": [{"name": "org.osbuild.hostname", "options": null}]}`, false},
	{`{"stages": [{"name": "org.osbuild.fix-bls", "options": null}, {"name": "org.osbuild.noop"}]}`, true},
	{`{"stages": [{"name": "org.osbuild.qemu", "options": {}}]}`, false},
	{`{"stages": [{"name": "org.osbuildkit.prepare"}]}`, false},
	{`{"stages": [{"name": "org.example.motd", "options": {"text": {"$args": 1}}}, {"name": "plain"}]}`, true},
	{`{"stages": [{"name": "org.example.motd", "options": 3}]}`, false},
	{`{"assembler": {"name": "org.osbuild.noop"}}`, true},
	{`{"assembler": {"name": "org.osbuild.noop", "options": {"x": 1}}}`, false},
	{`{"assembler": {"name": "org.osbuild.hostname", "options": {"hostname": "a"}}}`, false},
	{`{` + optionsOf("org.osbuild.hostname", `{"hostname": "a_b"}`), false},
	{`{` + optionsOf("org.osbuild.hostname", `{"hostname": "a", "x": 1}`), false},
	{`{` + optionsOf("org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "label": "l", "path": "/"}]}`), false},

	// Markers.
	{`{` + optionsOf("org.osbuild.hostname", `{"hostname": {"$arg": "host"}}`), false},
	{`{` + optionsOf("org.osbuild.noop", `{"a": {"$arg": "host"}}`), true},
	{`{"args": {"host": {"type": "string"}}, ` + optionsOf("org.osbuild.hostname", `{"hostname": {"$arg": "host"}}`), true},
	{`{"args": {"host": {"type": "string"}}, ` + optionsOf("org.osbuild.hostname", `{"hostname": {"$format": "a-${host}"}}`), true},
	{`{"args": {}, ` + optionsOf("org.osbuild.hostname", `{"hostname": {"$literal": "a"}}`), true},
	{`{"args": {"host": {"type": "string"}}, ` + optionsOf("org.osbuild.hostname", `{"hostname": {"$arg": "host", "x": 1}}`), false},
	{`{"args": {}, ` + optionsOf("org.osbuild.hostname", `{"hostname": {"$args": "host"}}`), false},
	{`{"args": {}, ` + optionsOf("org.osbuild.hostname", `{"hostname": 1}`), false},
	{`{"args": {"host": {"type": "string"}}, ` + optionsOf("org.osbuild.hostname", `{"$arg": "host"}`), false},
	{`{"args": {"p": {"type": "string", "default": "/"}}, ` + optionsOf("org.osbuild.fstab", `{"filesystems": [{"uuid": "u", "path": {"$arg": "p"}}]}`), true},
	{`{"args": {"p": {"type": "string", "default": "/"}}, ` + optionsOf("org.osbuild.fstab", `{"filesystems": [{"path": {"$arg": "p"}}]}`), false},
	{`{"args": {"p": {"type": "string", "default": "u"}}, ` + optionsOf("org.osbuild.users", `{"users": {"a": {"groups": [{"$arg": "p"}]}}}`), true},
	{`{"args": {"p": {"type": "string", "default": "u"}}, "pipeline": {"build": {"runner": "r", "pipeline": {` + optionsOf("org.osbuild.users", `{"users": {"a": {"groups": [{"$arg": "p"}]}}}`) + `}}}`, true},

	// Declarations.
	{`{"args": 3}`, false},
	{`{"args": {"a": {}}}`, false},
	{`{"args": {"a": 3}}`, false},
	{`{"args": {"a": {"type": "int"}}}`, false},
	{`{"args": {"1a": {"type": "integer", "default": 1}}}`, false},
	{`{"args": {"a": {"type": "integer", "default": 1, "enum": [1, 2], "description": "x"}}}`, true},
	{`{"args": {"a": {"type": "integer", "default": "1"}}}`, false},
	{`{"args": {"a": {"type": "integer", "default": 1, "pattern": "x"}}}`, false},
	{`{"args": {"a": {"type": "boolean", "default": true}, "b": {"type": "number", "default": 1.5}}}`, true},
	{`{"args": {"a": {"type": "string", "default": "x", "pattern": "^x$"}}}`, true},
	{`{"args": {"a": {"type": "string", "default": "x", "enum": []}}}`, false},
	{`{"args": {"a": {"type": "string", "default": "x", "enum": ["x", 1]}}}`, false},
	{`{"args": {"a": {"type": "string", "default": "x", "value": 1}}}`, false},
	{`{"args": {"SOURCE_DATE_EPOCH": {"type": "integer", "default": 1}}}`, true},
	{`{"args": {"SOURCE_DATE_EPOCH": {"type": "string", "default": "1"}}}`, false},
	{`{"args": {"http_Proxy": {"type": "string", "default": "1"}}}`, false},
	{`{"args": {"BUILDKIT_X": {"type": "string", "default": "1"}}}`, false},
	{`{"args": {"OSBUILDKIT_X": {"type": "string", "default": "1"}}}`, false},
	{`{"args": {"TARGETOS": {"type": "string", "default": "1"}}}`, false},
	{`{"args": {"TARGETOSX": {"type": "string", "default": "1"}, "targetos": {"type": "string", "default": ""}}}`, true},

	// Sources.
	{`{"sources": {"org.osbuild.curl": {"urls": {"sha256:` + tree64 + `": "https://example.com/a"}, "options": {}}}}`, true},
	{`{"sources": {"org.osbuild.files": {"urls": {"sha256:` + tree64 + `": {"url": "https://example.com/a", "insecure": true, "secrets": {"name": "x"}}}}}}`, true},
	{`{"sources": {"org.osbuild.librepo": {"items": {"sha256:` + tree64 + `": {}}}, "org.osbuild.ostree": {"commits": {"` + tree64 + `": {}}}}}`, true},
	{`{"sources": {"org.osbuild.curl": {"urls": {"sha256:0": "https://example.com/a"}}}}`, false},
	{`{"sources": {"org.osbuild.curl": {"items": {}}}}`, false},
	{`{"sources": {"org.osbuild.curl": {"urls": {"sha256:` + tree64 + `": {"insecure": true}}}}}`, false},
	{`{"sources": {"org.osbuild.curl": {"urls": {"sha256:` + tree64 + `": {"url": "x", "insecure": 1}}}}}`, false},
	{`{"sources": {"org.osbuild.culr": {"urls": {}}}}`, false},
	{`{"sources": {"org.osbuild.ostree": {"commits": {"xyz": {}}}}}`, false},
}

// The schema takes what the reader takes, and nothing else, as far as a schema
// can say it.
func TestSchemaAgreesWithTheReader(t *testing.T) {
	t.Parallel()
	s := compile(t)
	for _, x := range cases {
		if err := validate(t, s, x.text); (err == nil) != x.ok {
			t.Errorf("the schema says %v, want valid: %t\n%s", err, x.ok, x.text)
		}
		if err := read(x.text); (err == nil) != x.ok {
			t.Errorf("the reader says %v, want valid: %t\n%s", err, x.ok, x.text)
		}
	}
}

// beyond are keywords of 2020-12 that the validator of VS Code lacks, or that
// mean something else there than in other validators.
var beyond = []string{"$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$anchor", "unevaluatedProperties", "unevaluatedItems", "minContains", "contentSchema", "prefixItems", "dependentSchemas"}

// No keyword stands beside a reference: VS Code joins the two in its own way.
func TestSchemaIsForEditors(t *testing.T) {
	t.Parallel()
	data, err := manifestSchema(catalog.Builtin())
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for _, kid := range v {
				walk(at+"/-", kid)
			}
		case map[string]any:
			if v["$ref"] != nil && len(v) > 1 {
				t.Errorf("%s: keywords beside a reference", at)
			}
			for _, k := range beyond {
				if v[k] != nil {
					t.Errorf("%s: %s", at, k)
				}
			}
			// What Go's expressions have and those of JavaScript do not.
			if p, ok := v["pattern"].(string); ok && regexp.MustCompile(`\(\?[^:]|\\[AzQEpPaC]|\[\[:`).MatchString(p) {
				t.Errorf("%s: editors do not understand the pattern %s", at, p)
			}
			for k, kid := range v {
				if k != "examples" && k != "default" && k != "enum" {
					walk(at+"/"+k, kid)
				}
			}
		}
	}
	walk("", doc)
}

// Every module that a manifest may name is in the committed schema, with what
// it does.
func TestEveryModuleIsInTheSchema(t *testing.T) {
	t.Parallel()
	root, err := genfiles.Root()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, schemaFile))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs map[string]struct {
			Properties struct {
				Name struct {
					AnyOf []struct{ Const, Description string }
				}
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	c := catalog.Builtin()
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, marked := range []bool{false, true} {
			described := map[string]string{}
			for _, one := range doc.Defs[name(string(kind), marked)].Properties.Name.AnyOf {
				described[one.Const] = one.Description
			}
			for _, n := range c.Names(kind) {
				if described[n] == "" {
					t.Errorf("the %s %s is not in the schema", kind, n)
				}
				if _, ok := doc.Defs[name(string(kind)+"-"+n, marked)]; !ok {
					t.Errorf("the options of the %s %s are not in the schema", kind, n)
				}
			}
		}
	}
}

// Forms of schemas that modules may come to have.
func TestWithMarkers(t *testing.T) {
	t.Parallel()
	const options = `{"type": "object", "additionalProperties": false, "properties": {
		"a": {"type": "integer", "minimum": 2, "default": 3},
		"l": {"type": "array", "items": {"type": "string"}},
		"p": {"type": "object", "patternProperties": {"^x": {"type": "string"}}, "additionalProperties": false},
		"u": {"oneOf": [
			{"type": "object", "required": ["t"], "properties": {"t": {"const": "a"}}},
			{"type": "object", "required": ["t"], "properties": {"t": {"const": "b"}}}]},
		"x": {"type": "string"}, "y": {"type": "string"}},
		"oneOf": [{"required": ["x"]}, {"required": ["y"]}],
		"if": {"properties": {"x": {"const": "big"}}}, "then": {"properties": {"a": {"type": "integer", "minimum": 9}}}}`
	var plain object
	if err := json.Unmarshal([]byte(options), &plain); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(object{"allOf": []any{withMarkers(plain)}, "$defs": object{"marker": marker()}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	for options, ok := range map[string]bool{
		`{"x": "1", "a": 2}`:                             true,
		`{"x": "1", "a": 1}`:                             false,
		`{"x": "1", "a": {"$arg": "n"}}`:                 true,
		`{"x": "1", "a": {"$arg": "n", "b": 1}}`:         false,
		`{"x": "1", "a": {}}`:                            false,
		`{"x": {"$arg": "n"}}`:                           true,
		`{"x": {"$arg": "n"}, "y": {"$arg": "n"}}`:       false,
		`{"$arg": "n"}`:                                  false,
		`{"x": "1", "l": {"$literal": ["a"]}}`:           true,
		`{"x": "1", "l": ["a", {"$format": "${n}"}]}`:    true,
		`{"x": "1", "l": ["a", 1]}`:                      false,
		`{"x": "1", "p": {"x1": {"$arg": "n"}}}`:         true,
		`{"x": "1", "p": {"x1": 1}}`:                     false,
		`{"x": "1", "u": {"t": "a"}}`:                    true,
		`{"x": "1", "u": {"t": "c"}}`:                    false,
		`{"x": "1", "u": {"t": {"$arg": "n"}}}`:          true,
		`{"x": "big", "a": 3}`:                           false,
		`{"x": "big", "a": {"$arg": "n"}}`:               true,
		`{"x": "big", "a": {"$arg": "n"}, "more": true}`: false,
	} {
		if err := validate(t, s, options); (err == nil) != ok {
			t.Errorf("%v, want valid: %t\n%s", err, ok, options)
		}
	}
}
