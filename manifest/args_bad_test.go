package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withArgs is a manifest that declares arguments and names a host.
func withArgs(args, hostname string) string {
	return `{"args": ` + args + `, "stages": [{"name": "org.osbuild.hostname", "options": {"hostname": ` + hostname + `}}]}`
}

// hostArgs is a manifest that declares the argument "host" and uses it.
func hostArgs(declaration string) string {
	return withArgs(`{"host": `+declaration+`}`, `{"$arg": "host"}`)
}

func optionsOf(options string) string {
	return `{"args": {"n": {"type": "integer", "default": 1}}, "stages": [{"name": "org.osbuild.noop", "options": ` + options + `}]}`
}

var badArgs = []struct {
	name, manifest string
	given          map[string]string
	want           string
}{
	{"args of the wrong type", `{"args": []}`, nil,
		`a.json:1:10: "args" must be an object, found an array (at /args)`},
	{"args of the wrong type with markers", withArgs(`[]`, `{"$arg": "x"}`), nil,
		`a.json:1:10: "args" must be an object, found an array (at /args)`},
	{"args in v1", `{"args": 1, "pipeline": {}}`, nil,
		`a.json:1:10: "args" must be an object, found a number (at /args)`},
	{"args in the pipeline of v1", `{"pipeline": {"args": {}}}`, nil,
		`a.json:1:15: unknown key "args" in the pipeline (at /pipeline/args); build arguments are declared at the top of the manifest`},
	{"args in a build pipeline", `{"build": {"args": {}}}`, nil,
		`a.json:1:12: unknown key "args" in the pipeline (at /build/args); build arguments are declared at the top of the manifest`},
	{"misspelt args", `{"arg": {}}`, nil,
		`a.json:1:2: unknown key "arg" in the manifest (at /arg); did you mean "args"?`},
	{"too many", `{"args": {` + strings.TrimSuffix(numbered(300), ", ") + `}}`, nil,
		`a.json:1:2: more than 256 build arguments (at /args)`},
	{"name", `{"args": {"a-b": {"type": "string", "default": ""}}}`, nil,
		`a.json:1:11: "a-b" is no name of a build argument (at /args/a-b); use letters, digits and "_", and no digit at the start`},
	{"empty name", `{"args": {"": {"type": "string", "default": ""}}}`, nil,
		`a.json:1:11: "" is no name of a build argument (at /args/); use letters, digits and "_", and no digit at the start`},
	{"long name", `{"args": {"` + strings.Repeat("x", 65) + `": {"type": "string", "default": ""}}}`, nil,
		`a.json:1:11: the name of a build argument may have at most 64 characters, found 65 (at /args/` + strings.Repeat("x", 65) + `)`},
	{"names that others have", `{"args": {"BUILDKIT_X": {}, "OSBUILDKIT_MIRROR": {},` + "\n" + `"http_proxy": {}, "No_Proxy": {}, "TARGETARCH": {}}}`, nil,
		`a.json:1:11: the build argument "BUILDKIT_X" may not be declared: it belongs to BuildKit (at /args/BUILDKIT_X); choose another name
a.json:1:29: the build argument "OSBUILDKIT_MIRROR" may not be declared: it belongs to osbuildkit (at /args/OSBUILDKIT_MIRROR); choose another name
a.json:2:1: the build argument "http_proxy" may not be declared: it names the proxy of the builder (at /args/http_proxy); choose another name
a.json:2:19: the build argument "No_Proxy" may not be declared: it names the proxy of the builder (at /args/No_Proxy); choose another name
a.json:2:35: the build argument "TARGETARCH" may not be declared: it is BuildKit's name for a platform (at /args/TARGETARCH); choose another name`},
	{"duplicated", "{\"args\": {\"a\": {\"type\": \"string\", \"default\": \"\"},\n\"a\": {}}}", nil,
		`a.json:2:1: duplicated key "a"; the first is at 1:11 (at /args/a); remove one of the two`},
	{"declaration of the wrong type", hostArgs(`"a"`), nil,
		`a.json:1:19: a build argument must be an object, found a string (at /args/host); write {"type": "string", "default": …}`},
	{"unknown key", hostArgs(`{"type": "string", "default": "a", "defualt": "b", "required": true}`), nil,
		`a.json:1:54: unknown key "defualt" in the build argument (at /args/host/defualt); did you mean "default"?
a.json:1:70: unknown key "required" in the build argument (at /args/host/required); an argument without "default" is required`},
	{"no type", hostArgs(`{"default": "a"}`), nil,
		`a.json:1:19: the build argument "host" has no "type" (at /args/host); the types are string, integer, number and boolean`},
	{"type of the wrong type", hostArgs(`{"type": ["string"]}`), nil,
		`a.json:1:28: "type" must be a string, found an array (at /args/host/type)`},
	{"unknown type", hostArgs(`{"type": "int"}`), nil,
		`a.json:1:28: "type" must be "string", "integer", "number" or "boolean", found "int" (at /args/host/type); did you mean "integer"?`},
	{"description of the wrong type", hostArgs(`{"type": "string", "default": "a", "description": 1}`), nil,
		`a.json:1:69: "description" must be a string, found a number (at /args/host/description)`},
	{"null default", hostArgs(`{"type": "string", "default": null}`), nil,
		`a.json:1:49: "default" must be a string, found null (at /args/host/default)`},
	{"default in quotes", hostArgs(`{"type": "integer", "default": "10"}`), nil,
		`a.json:1:50: "default" must be an integer, found the string "10" (at /args/host/default); write it without quotes`},
	{"default with a unit", hostArgs(`{"type": "number", "default": "10G"}`), nil,
		`a.json:1:49: "default" must be a number, found the string "10G" (at /args/host/default); write the digits alone, without a unit`},
	{"default with a fraction", hostArgs(`{"type": "integer", "default": 1.0}`), nil,
		`a.json:1:50: "default" must be an integer, found the number 1.0 (at /args/host/default); write it without fraction and exponent`},
	{"default that is no boolean", hostArgs(`{"type": "boolean", "default": "yes"}`), nil,
		`a.json:1:50: "default" must be a boolean, found the string "yes" (at /args/host/default); write true or false`},
	{"default outside enum", hostArgs(`{"type": "string", "default": "debian", "enum": ["debain", "fedora"]}`), nil,
		`a.json:1:49: "default" must be "debain" or "fedora", found "debian" (at /args/host/default); did you mean "debain"?`},
	{"default against the pattern", hostArgs(`{"type": "string", "default": "A", "pattern": "^[a-z]$", "description": "A host. And more."}`), nil,
		`a.json:1:49: "default" is "A", which does not match the pattern ^[a-z]$ (at /args/host/default); A host`},
	{"long default", hostArgs(`{"type": "string", "default": "` + strings.Repeat("x", maxArgValue+1) + `"}`), nil,
		`a.json:1:49: "default" may have at most 65536 bytes, found 65537 (at /args/host/default)`},
	{"enum of the wrong type", hostArgs(`{"type": "string", "enum": "a"}`), nil,
		`a.json:1:46: "enum" must be an array, found a string (at /args/host/enum)`},
	{"empty enum", hostArgs(`{"type": "string", "enum": []}`), nil,
		`a.json:1:46: "enum" may not be empty (at /args/host/enum); list the values that are allowed, or remove it`},
	{"long enum", hostArgs(`{"type": "integer", "enum": [` + strings.Repeat("1,", 100) + `1]}`), nil,
		`a.json:1:47: "enum" may have at most 100 elements, found 101 (at /args/host/enum); a "pattern" may say the same`},
	{"element of enum", hostArgs(`{"type": "string", "enum": ["a", 1]}`), nil,
		`a.json:1:52: element 2 of "enum" must be a string, found the number 1 (at /args/host/enum/1)`},
	{"pattern of a number", hostArgs(`{"type": "integer", "pattern": "^[0-9]$"}`), nil,
		`a.json:1:39: only a build argument of the type "string" has a "pattern" (at /args/host/pattern); remove it, or make the type "string"`},
	{"pattern of the wrong type", hostArgs(`{"type": "string", "pattern": 1}`), nil,
		`a.json:1:49: "pattern" must be a string, found a number (at /args/host/pattern)`},
	{"bad pattern", hostArgs(`{"type": "string", "pattern": "(?=a)"}`), nil,
		"a.json:1:49: \"pattern\": error parsing regexp: invalid or unsupported Perl syntax: `(?=` (at /args/host/pattern); it is an expression of the kind RE2, without look-around and back-references"},
	{"long pattern", hostArgs(`{"type": "string", "pattern": "` + strings.Repeat("a", 1001) + `"}`), nil,
		`a.json:1:49: "pattern": the expression has 1001 bytes; the limit is 1000 (at /args/host/pattern); it is an expression of the kind RE2, without look-around and back-references`},
	{"large pattern", hostArgs(`{"type": "string", "pattern": "` + strings.Repeat("a{1000}", 6) + `"}`), nil,
		`a.json:1:49: "pattern": the expression is too large: its repetitions multiply (at /args/host/pattern); it is an expression of the kind RE2, without look-around and back-references`},
	{"epoch as a string", `{"args": {"SOURCE_DATE_EPOCH": {"type": "string"}}}`, nil,
		`a.json:1:41: the build argument "SOURCE_DATE_EPOCH" must be of the type "integer": it is a number of seconds since 1970 (at /args/SOURCE_DATE_EPOCH/type)`},
	{"epoch before 1970", `{"args": {"SOURCE_DATE_EPOCH": {"type": "integer", "default": -1}}}`, nil,
		`a.json:1:63: "default" must be a number of seconds since 1970, found -1 (at /args/SOURCE_DATE_EPOCH/default)`},
	{"empty epoch is none", `{"args": {"SOURCE_DATE_EPOCH": {"type": "integer"}}}`, map[string]string{"SOURCE_DATE_EPOCH": ""},
		`a.json:1:11: the build argument "SOURCE_DATE_EPOCH" is not given and has no default (at /args/SOURCE_DATE_EPOCH); give it with --build-arg SOURCE_DATE_EPOCH=VALUE, or declare a "default"`},

	{"required", hostArgs(`{"type": "string"}`), map[string]string{"hots": "a"},
		`a.json:1:11: the build argument "host" is not given and has no default (at /args/host); give it with --build-arg host=VALUE, or declare a "default"`},
	{"given with a unit", hostArgs(`{"type": "integer", "default": 1}`), map[string]string{"host": "10G"},
		`a.json:1:11: the build argument "host" must be an integer, found the string "10G" (at /args/host); write the digits alone, without a unit`},
	{"given with space", hostArgs(`{"type": "integer", "default": 1}`), map[string]string{"host": " 1"},
		`a.json:1:11: the build argument "host" must be an integer, found the string " 1" (at /args/host); write the digits alone, without a unit`},
	{"given with a leading zero", hostArgs(`{"type": "integer", "default": 1}`), map[string]string{"host": "01"},
		`a.json:1:11: the build argument "host" must be an integer, found the string "01" (at /args/host); write the digits alone, without a unit`},
	{"given empty", hostArgs(`{"type": "integer", "default": 1}`), map[string]string{"host": ""},
		`a.json:1:11: the build argument "host" must be an integer, found the string "" (at /args/host); write the digits alone, without a unit`},
	{"given with an exponent", hostArgs(`{"type": "integer", "default": 1}`), map[string]string{"host": "1e3"},
		`a.json:1:11: the build argument "host" must be an integer, found the number 1e3 (at /args/host); write it without fraction and exponent`},
	{"given with a huge exponent", hostArgs(`{"type": "number", "default": 1}`), map[string]string{"host": "1e999"},
		`a.json:1:11: the build argument "host" must be a number, found the string "1e999" (at /args/host); write the digits alone, without a unit`},
	{"given as yes", hostArgs(`{"type": "boolean", "default": true}`), map[string]string{"host": "yes"},
		`a.json:1:11: the build argument "host" must be a boolean, found the string "yes" (at /args/host); write true or false`},
	{"given outside enum", hostArgs(`{"type": "number", "enum": [1, 2.5]}`), map[string]string{"host": "2"},
		`a.json:1:11: the build argument "host" must be 1 or 2.5, found 2 (at /args/host)`},
	{"given against the pattern", hostArgs(`{"type": "string", "pattern": "^[a-z]+$"}`), map[string]string{"host": "a\nb"},
		`a.json:1:11: the build argument "host" is "a\nb", which does not match the pattern ^[a-z]+$ (at /args/host)`},
	{"given as no UTF-8", hostArgs(`{"type": "string"}`), map[string]string{"host": "\xff"},
		`a.json:1:11: the build argument "host" is not UTF-8 (at /args/host)`},
	{"given too long", hostArgs(`{"type": "string"}`), map[string]string{"host": strings.Repeat("x", maxArgValue+1)},
		`a.json:1:11: the build argument "host" may have at most 65536 bytes, found 65537 (at /args/host)`},

	{"unknown argument", withArgs(`{"host": {"type": "string", "default": "a"}}`, `{"$arg": "hots"}`), nil,
		`a.json:1:133: no build argument "hots" is declared (at /stages/0/options/hostname/$arg); did you mean "host"?`},
	{"no argument at all", withArgs(`{}`, `{"$arg": "host"}`), nil,
		`a.json:1:91: no build argument "host" is declared (at /stages/0/options/hostname/$arg); declare it under "args"`},
	{"marker of the wrong type", withArgs(`{}`, `{"$arg": ["host"]}`), nil,
		`a.json:1:91: "$arg" must be a string, found an array (at /stages/0/options/hostname/$arg)`},
	{"marker with another key", withArgs(`{}`, `{"default": 1, "$arg": "host"}`), nil,
		`a.json:1:97: an object with "$arg" may have no other key (at /stages/0/options/hostname/$arg); write such an object as {"$literal": {…}} if it is meant as it stands`},
	{"marker for all options", optionsOf(`{"$arg": "n"}`), nil,
		`a.json:1:104: "$arg" cannot stand for all options (at /stages/0/options/$arg); put it in the place of a single value`},
	{"misspelt marker", optionsOf(`{"a": [{"$args": "n"}]}`), nil,
		`a.json:1:111: unknown marker "$args" (at /stages/0/options/a/0/$args); did you mean "$arg"?`},
	{"format with an unknown argument", optionsOf(`{"a": {"$format": "${m}"}}`), nil,
		`a.json:1:121: no build argument "m" is declared (at /stages/0/options/a/$format); did you mean "n"?`},
	{"format without an end", optionsOf(`{"a": {"$format": "x ${n"}}`), nil,
		`a.json:1:121: "${n" in "$format" names no build argument (at /stages/0/options/a/$format); write ${NAME}, or $${ for a plain ${`},
	{"format with a default", optionsOf(`{"a": {"$format": "x ${n:-2} and so much more"}}`), nil,
		`a.json:1:121: "${n:-2} and so much m…" in "$format" names no build argument (at /stages/0/options/a/$format); write ${NAME}, or $${ for a plain ${`},
	{"format of the wrong type", optionsOf(`{"a": {"$format": {"$arg": "n"}}}`), nil,
		`a.json:1:121: "$format" must be a string, found an object (at /stages/0/options/a/$format)`},

	{"value of another type", withArgs(`{"n": {"type": "integer", "default": 10}}`, `{"$arg": "n"}`), nil,
		`a.json:1:121: "hostname" must be a string, found the number 10; the value is 10, from the default of the build argument "n" (at /stages/0/options/hostname)`},
	{"value against the pattern of the option", hostArgs(`{"type": "string"}`), map[string]string{"host": "Ä b"},
		`a.json:1:108: "hostname" is "Ä b", which does not match the pattern ^[a-z0-9.-]*$; the value is "Ä b", from the build argument "host" (at /stages/0/options/hostname); Hostname is the name of the system`},
	{"value that the check refuses", hostArgs(`{"type": "string"}`), map[string]string{"host": "localhost"},
		`a.json:1:95: as a whole are odd (at /stages/0/options)
a.json:1:95: names nothing (at /stages/0/options)
a.json:1:108: must not be localhost; the value is "localhost", from the build argument "host" (at /stages/0/options/hostname)`},
	{"number with a fraction for an integer", `{"args": {"s": {"type": "number"}},
"assembler": {"name": "org.osbuild.qemu", "options": {"filename": "x", "format": "raw", "size": {"$arg": "s"}}}}`, map[string]string{"s": "1.0"},
		`a.json:2:97: "size" must be an integer, found the number 1.0; the value is 1.0, from the build argument "s" (at /assembler/options/size); write it without fraction and exponent`},
	{"format against the schema", withArgs(`{"a": {"type": "string"}, "b": {"type": "boolean", "default": true}, "c": {"type": "string"}}`, `{"$format": "${a}.${c}-${b}_${a}"}`), map[string]string{"a": "x", "c": "y"},
		`a.json:1:173: "hostname" is "x.y-true_x", which does not match the pattern ^[a-z0-9.-]*$; the value is "x.y-true_x", from the build arguments "a" and "c" and the default of the build argument "b" (at /stages/0/options/hostname); Hostname is the name of the system`},
	{"format without arguments against the schema", withArgs(`{}`, `{"$format": "A"}`), nil,
		`a.json:1:82: "hostname" is "A", which does not match the pattern ^[a-z0-9.-]*$; the value is "A", from "$format" (at /stages/0/options/hostname); Hostname is the name of the system`},
	{"reference without source", `{"args": {"p": {"type": "string"}}, "pipeline": {"stages": [{"name": "org.osbuild.rpm", "options": {"packages": [{"$arg": "p"}]}}]}}`, map[string]string{"p": "x"},
		`a.json:1:114: no source has "x"; the value is "x", from the build argument "p" (at /pipeline/stages/0/options/packages/0); add it to "sources"`},
	{"beside other errors", withArgs(`{"host": {"type": "integer"}, "n": {"type": "integer", "default": 1}}`, `{"$arg": "host"}, "aliases": {"$arg": "nope"}`), nil,
		`a.json:1:11: the build argument "host" is not given and has no default (at /args/host); give it with --build-arg host=VALUE, or declare a "default"
a.json:1:187: no build argument "nope" is declared (at /stages/0/options/aliases/$arg); declare it under "args"`},

	{"marker without args", hostnameStage(`{"hostname": {"$arg": "x"}}`), nil,
		`a.json:1:70: "hostname" must be a string, found an object (at /stages/0/options/hostname); "$arg" is a marker only in a manifest with "args"`},
	{"marker for an object without args", grub(`"uefi": {"$format": "x"}`), nil,
		`a.json:1:78: the key "$format" does not match the pattern ^[a-z]+$ (at /stages/0/options/uefi/$format); "$format" is a marker only in a manifest with "args"`},

	{"syntax that is no string", "// syntax=a\n{\"syntax\": [\"x\"]}", nil,
		`a.json:2:12: "syntax" must be a string, found an array (at /syntax)`},
	{"a schema that is no string", `{"$schema": 1, "stages": []}`, nil,
		`a.json:1:13: "$schema" must be a string, found a number (at /$schema)`},
	{"a schema that is no string in v1", `{"pipeline": {}, "$schema": {}}`, nil,
		`a.json:1:29: "$schema" must be a string, found an object (at /$schema)`},
	{"syntax that is no string in v1", `{"syntax": null, "pipeline": {}}`, nil,
		`a.json:1:12: "syntax" must be a string, found null (at /syntax)`},
}

func TestBadArgs(t *testing.T) {
	t.Parallel()
	for _, c := range badArgs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load("a.json", []byte(c.manifest), testCatalog, WithArgs(c.given))
			if diff := cmp.Diff(c.want, fmt.Sprint(err)); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// A build environment is a file of its own: it neither declares arguments nor
// knows those of the manifest.
func TestArgsInABuildEnvironment(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		`{"args": {}}`: `env.json:1:2: unknown key "args" in the pipeline (at /args); build arguments are declared at the top of the manifest`,
		hostnameStage(`{"hostname": {"$arg": "host"}}`): `env.json:1:70: "hostname" must be a string, found an object (at /stages/0/options/hostname); a build environment takes no build arguments`,
	} {
		_, err := Load("a.json", []byte(hostArgs(`{"type": "string", "default": "a"}`)), testCatalog, WithBuildEnv("env.json", []byte(env)))
		if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
}

// Small files with many markers do not grow without bounds.
func TestExpansionIsBounded(t *testing.T) {
	t.Parallel()
	given := map[string]string{"n": strings.Repeat("x", maxArgValue)}
	const args = `{"args": {"n": {"type": "string"}}, "stages": [{"name": "org.osbuild.noop", "options": {"a": `
	const want = `a.json:1:%d: the values of the build arguments take more than 16777216 bytes (16 MiB) in all their places (at /stages/0/options/a%s)`
	marker := `{"$arg": "n"}`
	cases := map[string]string{
		args + `[` + strings.Repeat(marker+`,`, 100_000) + marker + `]}}]}`:      fmt.Sprintf(want, len(args)+2+256*14+9, "/256/$arg"),
		args + `{"$format": "` + strings.Repeat(`${n}`, 1_000_000) + `"}}}]}`:    fmt.Sprintf(want, len(args)+13, "/$format"),
		args + `{"$format": "` + strings.Repeat(`$`, 500_000) + `{n} ${n}"}}}]}`: "<nil>",
	}
	for text, want := range cases {
		_, err := Load("a.json", []byte(text), testCatalog, WithArgs(given))
		if got := fmt.Sprint(err); got != want {
			t.Errorf("got  %.300s\nwant %s", got, want)
		}
	}
}
