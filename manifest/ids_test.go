package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func sum(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(h[:])
}

// Ids that osbuild itself printed.
const (
	noopID     = "beda46704765a47e6d4f44aff22168ae36866c9c0e6e11552b775b77776b2969"
	truncateID = "5a5e18bf5cfb11ecc0e30bfef877d8dda1683d1a609fc06d957773fbbe204131"
	chmodID    = "b6c64e453579c94c1347a80feb514a4118b0c25425e3df8b485ef379b647b2f7"
)

func TestStageIDsThatOsbuildPrinted(t *testing.T) {
	t.Parallel()
	for _, form := range []string{`%s`, `{"pipeline": %s}`} {
		m := load(t, strings.Replace(form, "%s", `{"stages": [{"name": "org.osbuild.noop"}]}`, 1))
		if got := m.TreeID(); got != noopID {
			t.Errorf("noop: got %s, want %s", got, noopID)
		}
		m = load(t, strings.Replace(form, "%s", `{"stages": [
			{"options": {"size": "1M", "filename": "/newfile"}, "name": "org.osbuild.truncate"},
			{"name": "org.osbuild.chmod", "options": {"items": {"\/newfile": {"mode":"0444"}}}}]}`, 1))
		stages := m.Pipeline(TreePipeline).Stages
		if stages[0].ID != truncateID || stages[1].ID != chmodID {
			t.Errorf("got %s and %s, want %s and %s", stages[0].ID, stages[1].ID, truncateID, chmodID)
		}
	}
}

func TestIDsByFormula(t *testing.T) {
	t.Parallel()
	const (
		j    = `"org.osbuild.noop"`
		base = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	)
	q := func(s string) string { return `"` + s + `"` }
	first := sum(j, "null", "null", "{}")
	second := sum(j, "null", q(first), `{"a": 1.0, "b": "\u00e9\ud83d\ude00"}`)
	tar := `"org.osbuild.tar"`
	treeInput := func(id string) string {
		return sum(`"org.osbuild.tree"`, `"org.osbuild.pipeline"`, `{"`+id+`": {}}`, "{}")
	}
	rpm := `{"packages": ["sha256:` + base + `", {"check_gpg": true, "checksum": "sha256:` + noopID + `"}]}`
	rpmInput := sum(`"org.osbuild.files"`, `"org.osbuild.source"`,
		`{"sha256:`+base+`": {}, "sha256:`+noopID+`": {"metadata": {"rpm.check_gpg": true}}}`, "{}")
	ostreeInput := sum(`"org.osbuild.ostree"`, `"org.osbuild.source"`, `{"abcdef": {"ref": "x/\u00e9"}}`, "{}")

	tests := []struct {
		name, manifest, tree, output string
	}{
		{"nothing", `{}`, "", ""},
		{"nothing in v1", `{"sources": {}}`, "", ""},
		{"null options", `{"stages": [{"name": "org.osbuild.noop", "options": null}]}`, first, ""},
		{"chain", `{"stages": [{"name": "org.osbuild.noop"}, {"name": "org.osbuild.noop", "options": {"b": "é😀", "a": 1.0}}]}`, second, ""},
		{"build, bare", `{"build": {"stages": [{"name": "org.osbuild.noop"}]}, "stages": [{"name": "org.osbuild.noop"}]}`,
			sum(j, q(first), "null", "{}"), ""},
		{"build with runner", `{"build": {"runner": "r", "pipeline": {"stages": [{"name": "org.osbuild.noop"}]}}, "stages": [{"name": "org.osbuild.noop"}]}`,
			sum(j, q(first), "null", "{}"), ""},
		{"empty build", `{"build": {"name": "x"}, "stages": [{"name": "org.osbuild.noop"}]}`, first, ""},
		{"base", `{"base": "` + base + `", "stages": [{"name": "org.osbuild.noop"}]}`, sum(j, "null", q(base), "{}"), ""},
		{"assembler of 2019", `{"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.tar"}}`,
			first, sum(tar, "null", q(first), "{}")},
		{"assembler of 2019 without tree", `{"assembler": {"name": "org.osbuild.tar"}}`, "", sum(tar, "null", "null", "{}")},
		{"assembler of v1", `{"pipeline": {"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.tar"}}}`,
			first, sum(tar, "null", "null", "{}", `{"tree": "`+treeInput(first)+`"}`)},
		{"assembler of v1 without tree", `{"pipeline": {"assembler": {"name": "org.osbuild.tar"}}}`,
			"", sum(tar, "null", "null", "{}", `{"tree": "`+treeInput("null")+`"}`)},
		{"rpm of v1", `{"sources": {"org.osbuild.files": {"urls": {"sha256:` + base + `": "http://h/a", "sha256:` + noopID + `": {"url": "http://h/b"}}}},
			"pipeline": {"stages": [{"name": "org.osbuild.rpm", "options": ` + rpm + `}]}}`,
			sum(`"org.osbuild.rpm"`, "null", "null", rpm, `{"packages": "`+rpmInput+`"}`), ""},
		{"rpm of 2019 has no inputs", `{"stages": [{"name": "org.osbuild.rpm", "options": ` + rpm + `}]}`,
			sum(`"org.osbuild.rpm"`, "null", "null", rpm), ""},
		{"ostree of v1", `{"sources": {"org.osbuild.ostree": {"commits": {"abcdef": {"remote": {"url": "http://h"}}}}},
			"pipeline": {"stages": [{"name": "org.osbuild.ostree", "options": {"commit": "abcdef", "ref": "x/é"}}]}}`,
			sum(`"org.osbuild.ostree"`, "null", "null", `{"commit": "abcdef", "ref": "x/\u00e9"}`, `{"commits": "`+ostreeInput+`"}`), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := load(t, test.manifest)
			if got := m.TreeID(); got != test.tree {
				t.Errorf("tree id: got %q, want %q", got, test.tree)
			}
			if got := m.OutputID(); got != test.output {
				t.Errorf("output id: got %q, want %q", got, test.output)
			}
		})
	}
}

func TestCanonicalPython(t *testing.T) {
	t.Parallel()
	// Each second text is what Python 3 printed.
	tests := []struct{ in, want string }{
		{` { "b" : 1 , "a" : [ ] , "é" : { } } `, `{"a": [], "b": 1, "\u00e9": {}}`},
		{`{"\ud83d\ude00": 1, "\uffff": 2}`, `{"\uffff": 2, "\ud83d\ude00": 1}`},
		{`["<>&/\/\u007f\u0080\u0001\b\t\n\f\r\"\\"]`, `["<>&//\u007f\u0080\u0001\b\t\n\f\r\"\\"]`},
		{`[1, 1.0, 1e0, -0, -0.0, 0.1, 1E5]`, `[1, 1.0, 1.0, 0, -0.0, 0.1, 100000.0]`},
		{`[1e22, 1e16, 1e15, 123456789012345678.0]`, `[1e+22, 1e+16, 1000000000000000.0, 1.2345678901234568e+17]`},
		{`[0.0001, 0.00001, 1.5e-7, 5e-324, 1.7976931348623157e308]`, `[0.0001, 1e-05, 1.5e-07, 5e-324, 1.7976931348623157e+308]`},
		{`[12345678901234567890123456789, 0.30000000000000004, 1e-400]`, `[12345678901234567890123456789, 0.30000000000000004, 0.0]`},
		{`[true, false, null]`, `[true, false, null]`},
	}
	for _, test := range tests {
		got, err := CanonicalPython([]byte(test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("CanonicalPython(%s) = %s, %v; want %s", test.in, got, err, test.want)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	tests := []struct {
		want string
		in   []string
	}{
		{`{"a":1.0,"b":[1,{"c":"é/\n"}],"ä":"😀"}`, []string{
			`{"a":1.0,"b":[1,{"c":"é/\n"}],"ä":"😀"}`,
			"{\r\n\t\"\\u00e4\": \"\\ud83d\\ude00\", \"b\": [ 1, { \"c\": \"\\u00e9\\/\\u000a\" } ], \"a\": 1.0 }\n",
		}},
		{`{"":{"x":"\u0001\u001f"},"~":"/"}`, []string{`{"~":"\u002f","":{"x":"\u0001\u001F"}}`}},
		{`[1e3,1E3,1000,-0.0,100000000000000000000000001]`, []string{`[1e3, 1E3, 1000, -0.0, 100000000000000000000000001]`}},
		{`"x"`, []string{` "\u0078" `}},
	}
	for _, test := range tests {
		for _, in := range test.in {
			got, err := Canonical([]byte(in))
			if err != nil || string(got) != test.want {
				t.Errorf("Canonical(%s) = %s, %v; want %s", in, got, err, test.want)
			}
		}
	}
	for in, want := range map[string]string{
		`{"a":1,"a":1}`:   `canonical form: duplicated key at /a`,
		`[1,]`:            `canonical form: byte 3: expected a value, found "]"`,
		"":                `canonical form: byte 0: the file is empty`,
		"\xff":            `canonical form: the JSON is not UTF-8`,
		"# syntax=x\n{}":  `canonical form: byte 0: expected a JSON object, found "#"`,
		`{"a":1} {"b":1}`: `canonical form: byte 8: unexpected "{" after the end of the JSON value`,
	} {
		if got, err := Canonical([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("Canonical(%q) = %s, %v; want the error %s", in, got, err, want)
		}
	}
}
