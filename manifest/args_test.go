package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const manyArgs = `"args": {
	"size": {"type": "integer", "default": 10},
	"ratio": {"type": "number", "default": 1.50},
	"fast": {"type": "boolean", "default": false},
	"host": {"type": "string", "default": "a\u00e9\"\n"},
	"_X9": {"type": "string", "enum": ["a", ""], "pattern": "^a?$"}
}`

// loadNoop loads a manifest that declares arguments and has one stage.
func loadNoop(t testing.TB, options string, given map[string]string) *Manifest {
	t.Helper()
	return load(t, `{`+manyArgs+`, "stages": [{"name": "org.osbuild.noop", "options": `+options+`}]}`, WithArgs(given))
}

func TestSubstitution(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, options string
		given         map[string]string
		want          string
	}{
		{"nothing", `{ "a" : [ 1 ] }`, nil, `{ "a" : [ 1 ] }`},
		{"defaults", `{"b": {"$arg": "size"}, "a": [{"$arg": "ratio"}, { "$arg" : "fast" } , {"$arg": "host"}]}`, nil,
			`{"b": 10, "a": [1.50, false , "aé\"\n"]}`},
		{"given", `{"b": {"$arg": "size"}, "a": [{"$arg": "ratio"}, {"$arg": "fast"}, {"$arg": "host"}]}`,
			map[string]string{"size": "-0", "ratio": "100E-2", "fast": "true", "host": "\x01{\"$arg\": \"size\"}${size}"},
			`{"b": -0, "a": [100E-2, true, "\u0001{\"$arg\": \"size\"}${size}"]}`},
		{"large integer", `{"a": {"$arg": "size"}}`, map[string]string{"size": "123456789012345678901234567890"}, `{"a": 123456789012345678901234567890}`},
		{"empty text", `{"a": {"$arg": "host"}}`, map[string]string{"host": ""}, `{"a": ""}`},
		{"escaped keys", `{"a": {"\u0024arg": "si\u007ae"}}`, nil, `{"a": 10}`},
		{"order and literals around it", `{"z": 1.0, "m": {"$arg": "size"}, "a": 1e3, "é": "\u00e9"}`, nil, `{"z": 1.0, "m": 10, "a": 1e3, "é": "\u00e9"}`},
		{"large object", `{` + numbered(20) + `"m": {"$arg": "size"}}`, nil, `{` + numbered(20) + `"m": 10}`},
		{"nested", `{"a": {"b": [[{"c": {"$arg": "size"}}]]}}`, nil, `{"a": {"b": [[{"c": 10}]]}}`},

		{"format", `{"a": {"$format": "x ${host}-${size}${fast} y${_X9}"}}`, map[string]string{"host": "h${size}"}, `{"a": "x h${size}-10false y"}`},
		{"format keeps literals", `{"a": {"$format": "${ratio}"}}`, nil, `{"a": "1.50"}`},
		{"format without arguments", `{"a": {"$format": ""}}`, nil, `{"a": ""}`},
		{"dollars", `{"a": {"$format": "$ $$ $x $$x} { } $"}}`, nil, `{"a": "$ $$ $x $$x} { } $"}`},
		{"dollars before a bracket", `{"a": {"$format": "$${size} $$${size} $$$${size} $$$$${size}${size}"}}`, nil, `{"a": "${size} $10 $${size} $$1010"}`},
		{"dollars at the end", `{"a": {"$format": "${size}$$"}}`, nil, `{"a": "10$$"}`},

		{"literal", `{"a": {"$literal": {"$arg": [ "x" ]}}, "b": {"$literal": {"$literal": 1}}, "c": {"$literal": {"$format": {"$arg": "nope"}, "d": 1}}}`, nil,
			`{"a": {"$arg": [ "x" ]}, "b": {"$literal": 1}, "c": {"$format": {"$arg": "nope"}, "d": 1}}`},
		{"other keys with a dollar", `{"$schema": 1, "$arg2x": {"$ref": "x"}}`, nil, `{"$schema": 1, "$arg2x": {"$ref": "x"}}`},
		{"texts are no markers", `{"a": "${size}", "b": "$arg"}`, nil, `{"a": "${size}", "b": "$arg"}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			given := map[string]string{"_X9": ""}
			for k, v := range c.given {
				given[k] = v
			}
			m := loadNoop(t, c.options, given)
			s := m.Pipeline(TreePipeline).Stages[0]
			if diff := cmp.Diff(c.want, string(s.Options)); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			out := load(t, `{"stages": [{"name": "org.osbuild.noop", "options": `+c.want+`}]}`)
			if s.ID != out.TreeID() {
				t.Errorf("id %s, and %s when written out", s.ID, out.TreeID())
			}
		})
	}
}

// A manifest with arguments has the ids of the one that is written out, inputs
// of format v1 included, and gets other ones with other values.
func TestIDsWithArgs(t *testing.T) {
	t.Parallel()
	sha := "sha256:" + strings.Repeat("a", 64)
	const noop = `{"name": "org.osbuild.noop", "options": {"x": %s}}`
	cases := []struct{ name, with, without string }{
		{"2019", `{"build": {"stages": [` + noop + `]}, "stages": [` + noop + `], "assembler": {"name": "org.osbuild.qemu", "options": {"format": "raw", "filename": %s}}}`, `"` + sha + `"`},
		{"v1", `{"pipeline": {"build": {"pipeline": {"stages": [` + noop + `]}, "runner": "r"}, "stages": [{"name": "org.osbuild.rpm", "options": {"packages": [%s]}}],
			"assembler": {"name": "org.osbuild.tar", "options": {"x": %s}}}, "sources": {"org.osbuild.curl": {"urls": {"` + sha + `": "http://h/x"}}}}`, `"` + sha + `"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			with := strings.ReplaceAll(c.with, "%s", `{"$arg": "v"}`)
			a := load(t, strings.Replace(with, "{", `{"args": {"v": {"type": "string"}}, `, 1), WithArgs(map[string]string{"v": sha}))
			b := load(t, strings.ReplaceAll(c.with, "%s", c.without))
			if a.TreeID() != b.TreeID() || a.OutputID() != b.OutputID() || a.OutputID() == "" {
				t.Errorf("ids %s and %s, written out %s and %s", a.TreeID(), a.OutputID(), b.TreeID(), b.OutputID())
			}
			if diff := cmp.Diff(outline(b), outline(a)); diff != "" {
				t.Errorf("pipelines (-written out +with arguments):\n%s", diff)
			}
		})
	}
	first, second := loadNoop(t, `{"a": {"$arg": "ratio"}}`, map[string]string{"_X9": ""}), loadNoop(t, `{"a": {"$arg": "ratio"}}`, map[string]string{"_X9": "", "ratio": "1"})
	if want := sum(`"org.osbuild.noop"`, "null", "null", `{"a": 1.5}`); first.TreeID() != want {
		t.Errorf("id %s, want %s", first.TreeID(), want)
	}
	if want := sum(`"org.osbuild.noop"`, "null", "null", `{"a": 1}`); second.TreeID() != want {
		t.Errorf("id %s, want %s", second.TreeID(), want)
	}
}

// Without "args" nothing is a marker, and declarations that are not used
// change no id.
func TestIDsWithoutArgs(t *testing.T) {
	t.Parallel()
	const options = `{"a": {"$arg": "x"}, "b": {"$format": "${x}"}}`
	m := load(t, `{"stages": [{"name": "org.osbuild.noop", "options": `+options+`}]}`, WithArgs(map[string]string{"x": "1"}))
	if want := sum(`"org.osbuild.noop"`, "null", "null", options); m.TreeID() != want {
		t.Errorf("id %s, want %s", m.TreeID(), want)
	}
	m = load(t, `{"args": {"x": {"type": "string", "default": ""}}, "stages": [{"name": "org.osbuild.noop"}]}`)
	if m.TreeID() != noopID || m.Format != Format2019 {
		t.Errorf("id %s, format %s", m.TreeID(), m.Format)
	}
	if m = load(t, `{"args": {}, "pipeline": {"stages": [{"name": "org.osbuild.noop"}]}}`); m.TreeID() != noopID || m.Format != FormatV1 {
		t.Errorf("v1: id %s, format %s", m.TreeID(), m.Format)
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	m := load(t, `{"args": {
		"z": {"type": "integer", "default": 5, "description": "A size."},
		"a": {"type": "string", "enum": ["x", "y\u00e9"], "pattern": "x|y"},
		"n": {"type": "number", "enum": [1, 2.50]},
		"SOURCE_DATE_EPOCH": {"type": "integer", "default": 1700000000}
	}, "stages": [{"name": "org.osbuild.noop", "options": {"x": [{"$arg": "a"}, {"$format": "${z}${a}"}]}}]}`,
		WithArgs(map[string]string{"a": "yé", "n": "25e-1", "SOURCE_DATE_EPOCH": "", "other": "x"}))
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	want := []*Arg{
		{Name: "z", Type: IntegerArg, Default: raw("5"), Description: "A size.", Pointer: "/args/z", Value: raw("5"), Uses: 1},
		{Name: "a", Type: StringArg, Enum: []json.RawMessage{raw(`"x"`), raw(`"y\u00e9"`)}, Pattern: "x|y", Pointer: "/args/a", Given: true, Value: raw(`"yé"`), Uses: 2},
		{Name: "n", Type: NumberArg, Enum: []json.RawMessage{raw("1"), raw("2.50")}, Pointer: "/args/n", Given: true, Value: raw("25e-1")},
		{Name: "SOURCE_DATE_EPOCH", Type: IntegerArg, Default: raw("1700000000"), Pointer: "/args/SOURCE_DATE_EPOCH", Value: raw("1700000000")},
	}
	if diff := cmp.Diff(want, m.Args, withoutSpans); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	for _, a := range m.Args {
		if span, _ := m.Index.Key(a.Pointer); a.Span != span || span.Start.Line == 0 {
			t.Errorf("%s: the place is %v, want %v", a.Name, a.Span, span)
		}
	}
	if m.Arg("a") != m.Args[1] || m.Arg("other") != nil || !m.Arg("a").Required() || m.Arg("z").Required() {
		t.Error("Arg or Required is wrong")
	}
	// The index gives the places in the file, where the markers are.
	for pointer, want := range map[string]string{"/stages/0/options/x/0": "6:63-6:76", "/stages/0/options/x/0/$arg": "6:72-6:75", "/args/z": "2:8-2:67"} {
		s, _ := m.Index.Value(pointer)
		if got := fmt.Sprintf("%d:%d-%d:%d", s.Start.Line, s.Start.Column, s.End.Line, s.End.Column); got != want {
			t.Errorf("%s is at %s, want %s", pointer, got, want)
		}
	}
}

func TestReadArgs(t *testing.T) {
	t.Parallel()
	args, err := ReadArgs("a.json", []byte("# syntax=x\n"+`{"args": {"b": {"type": "string"}, "a": {"type": "boolean", "default": true}}, "stages": 7}`))
	want := []*Arg{
		{Name: "b", Type: StringArg, Pointer: "/args/b"},
		{Name: "a", Type: BooleanArg, Pointer: "/args/a", Default: json.RawMessage("true"), Value: json.RawMessage("true")},
	}
	if diff := cmp.Diff(want, args, withoutSpans); err != nil || diff != "" {
		t.Errorf("error %v; arguments (-want +got):\n%s", err, diff)
	}
	if args, err := ReadArgs("a.json", []byte(`{}`)); args != nil || err != nil {
		t.Errorf("without arguments: %v, %v", args, err)
	}
	for text, want := range map[string]string{
		`{"args": {"a": {"type": "int"}}}`: `a.json:1:25: "type" must be "string", "integer", "number" or "boolean", found "int" (at /args/a/type); did you mean "integer"?`,
		`{`:                                `a.json:1:2: expected a key or "}", found the end of the file; the "{" at 1:1 is not closed`,
		`[]`:                               `a.json:1:1: the manifest must be an object, found an array`,
	} {
		if _, err := ReadArgs("a.json", []byte(text)); fmt.Sprint(err) != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestUndeclaredArgs(t *testing.T) {
	t.Parallel()
	given := map[string]string{
		"size": "1", "siez": "1", "SIZE": "1", "frob": "x", "OSBUILDKIT_MIROR": "x", "OSBUILDKIT_MIRROR": "x",
		"BUILDKIT_INLINE_CACHE": "1", "SOURCE_DATE_EPOCH": "0", "https_proxy": "x", "TARGETARCH": "x",
	}
	show := func(m *Manifest) string {
		var b strings.Builder
		for _, u := range m.UndeclaredArgs("OSBUILDKIT_MIRROR") {
			fmt.Fprintf(&b, "%d:%d-%d:%d %s\n", u.Span.Start.Line, u.Span.Start.Column, u.Span.End.Line, u.Span.End.Column, u.Warning())
		}
		return b.String()
	}
	m := load(t, "// syntax=x\n{\"args\":\n{\"size\": {\"type\": \"integer\"}}}", WithArgs(given))
	want := `2:2-2:8 the build argument "OSBUILDKIT_MIROR" is not declared and has no effect; did you mean "OSBUILDKIT_MIRROR"?
2:2-2:8 the build argument "SIZE" is not declared and has no effect; did you mean "size"?
2:2-2:8 the build argument "frob" is not declared and has no effect; declare it under "args"
2:2-2:8 the build argument "siez" is not declared and has no effect; did you mean "size"?
`
	if diff := cmp.Diff(want, show(m)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	m = load(t, "// syntax=x\n  {}", WithArgs(map[string]string{"size": "1"}))
	if got, want := show(m), "2:3-2:4 the build argument \"size\" is not declared and has no effect; declare it under \"args\"\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
	if got := show(load(t, `{}`)); got != "" {
		t.Error(got)
	}
}

// What "syntax" says is for BuildKit.
func TestSyntax(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"syntax": "registry.example.com/osbuildkit/frontend:1@sha256:abc", "stages": [{"name": "org.osbuild.noop"}]}`,
		`{"syntax": "", "pipeline": {"stages": [{"name": "org.osbuild.noop"}]}}`,
		"#!/usr/bin/env osbuildkit\n# syntax=x\n\n// syntax=y\n{\"stages\": [{\"name\": \"org.osbuild.noop\"}]}",
	} {
		if got := load(t, text).TreeID(); got != noopID {
			t.Errorf("%s: id %s", text, got)
		}
	}
}

// FuzzArgs checks that whatever is declared and given, Load does not panic,
// errors have a place in the file, and the options that come out are JSON with
// the ids of a manifest in which they are written out.
func FuzzArgs(f *testing.F) {
	for _, c := range badArgs {
		if len(c.manifest) < 1000 {
			f.Add([]byte(c.manifest), "1")
		}
	}
	f.Add([]byte(`{"args": {"n": {"type": "string"}}, "stages": [{"name": "org.osbuild.noop", "options": {"a": {"$format": "$$${n}$${"}}}]}`), "\x00\"$")
	f.Add([]byte(`{"args": {"host": {"type": "string"}}, "stages": [{"name": "org.osbuild.noop", "options": {"a": [{"$literal": {"$arg": 1}}, {"$arg": "host"}]}}]}`), "é")
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		m, err := Load("a.json", data, testCatalog, WithArgs(map[string]string{"n": value, "host": value, "a": value}))
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || strings.Count(err.Error(), "\n") != len(errs)-1 {
				t.Fatalf("error of type %T: %v", err, err)
			}
			for _, e := range errs {
				inside(t, data, e.Span.Start)
				inside(t, data, e.Span.End)
			}
			return
		}
		for _, u := range m.UndeclaredArgs() {
			inside(t, data, u.Span.Start)
			inside(t, data, u.Span.End)
		}
		tree := m.Pipeline(TreePipeline)
		if tree.Build != "" || m.Format != Format2019 {
			return
		}
		type stage struct {
			Name    string          `json:"name"`
			Options json.RawMessage `json:"options"`
		}
		out := struct {
			Base   *string `json:"base"`
			Stages []stage `json:"stages"`
		}{Stages: []stage{}}
		if tree.Base != "" {
			out.Base = &tree.Base
		}
		for _, s := range tree.Stages {
			out.Stages = append(out.Stages, stage{s.Type, s.Options})
		}
		text, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Load("b.json", text, testCatalog)
		if err != nil {
			t.Fatalf("written out: %v", err)
		}
		if plain.TreeID() != m.TreeID() {
			t.Errorf("id %s, written out %s: %s", m.TreeID(), plain.TreeID(), text)
		}
	})
}

// withoutSpans compares arguments without their places.
var withoutSpans = cmpopts.IgnoreFields(Arg{}, "Span")
