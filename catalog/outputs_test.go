package catalog_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/sbom"
)

// filenames lists the pointers of all options of a schema that are named
// "filename".
func filenames(doc any, at string) []string {
	m, ok := doc.(map[string]any)
	if !ok {
		return nil
	}
	var out []string
	properties, _ := m["properties"].(map[string]any)
	for name, p := range properties {
		if name == "filename" {
			out = append(out, at+"/filename")
		}
		out = append(out, filenames(p, at+"/"+name)...)
	}
	return append(out, filenames(m["items"], at+"/0")...)
}

// set returns options with a value at a pointer.
func set(t *testing.T, options json.RawMessage, pointer, value string) json.RawMessage {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(options, &doc); err != nil {
		t.Fatal(err)
	}
	keys := strings.Split(pointer[1:], "/")
	at := doc
	for _, k := range keys[:len(keys)-1] {
		next, ok := at[k].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[k] = next
		}
		at = next
	}
	at[keys[len(keys)-1]] = value
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever assembler writes a file: the names of the build's own files are
// refused before the build, at the option.
func TestReservedOutputs(t *testing.T) {
	t.Parallel()
	if sbom.File != module.SBOMFile {
		t.Errorf("the bill of materials is %s, and %s is reserved", sbom.File, module.SBOMFile)
	}
	c := catalog.Builtin()
	found := 0
	for _, name := range c.Names(module.Assembler) {
		schema, _ := c.Schema(module.Assembler, name)
		var doc any
		if err := json.Unmarshal(schema, &doc); err != nil {
			t.Fatal(err)
		}
		for _, pointer := range filenames(doc, "") {
			found++
			options, ok := c.Example(module.Assembler, name)
			if !ok {
				t.Errorf("%s has no example", name)
				continue
			}
			for _, reserved := range []string{"packages.json", "Provenance.JSON", "sbom.spdx.json", "SHA256SUMS", "sha256sums", ".x.1.part", ".osbuildkit-1"} {
				given := set(t, options, pointer, reserved)
				if got := catalog.Outputs(given); len(got) != 1 || got[0] != (catalog.Output{Pointer: pointer, Name: reserved}) {
					t.Errorf("%s: outputs %v", name, got)
				}
				var at []string
				for _, p := range c.Check(module.Assembler, name, given) {
					at = append(at, p.Pointer+" "+p.Message)
				}
				if text := strings.Join(at, "\n"); !strings.Contains(text, pointer+" ") || !strings.Contains(text, "that the build itself writes") {
					t.Errorf("%s with %q: %s", name, reserved, text)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d options name a file", found)
	}
}

// The same for an assembler of the user, of which nothing else is known, at its
// line in the manifest.
func TestReservedOutputsOfUsers(t *testing.T) {
	t.Parallel()
	u, err := catalog.ReadUser(fstest.MapFS{"assemblers/zip": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}, "stages/s": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}}, "lib")
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.Builtin().With(u)
	text := `{"stages": [{"name": "s", "options": {"filename": "packages.json"}}],
 "assembler": {"name": "zip", "options": {"filename": "Packages.json"}}}`
	_, err = manifest.Load("m.json", []byte(text), c)
	if want := `m.json:2:55: "Packages.json" is a name that the build itself writes`; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if _, err = manifest.Load("m.json", []byte(strings.Replace(text, "Packages.json", "p.json", 1)), c); err != nil {
		t.Error(err)
	}
}
