package catalog_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// installation is laid out as osbuild is.
var installation = fstest.MapFS{
	"osbuild/__init__.py":         file(""),
	"runners/org.osbuild.linux":   program("#!/usr/bin/python3\n"),
	"stages/org.osbuild.hostname": program("#!/usr/bin/python3\nimport sys\n\nimport osbuild.api\n"),
	"stages/org.osbuild.hostname.meta.json": file(`{"summary": "Set the host's name", "description": ["One.", "", "Two."],
		"schema": {"additionalProperties": false, "required": ["name"], "properties": {"name": {"type": "string", "pattern": "^(?!x)"}}}}`),
	"stages/org.osbuild.old": program("#!/usr/bin/env python3\n\"\"\"Do it as in 2020\n\nIn full.\n\"\"\"\nfrom osbuild.util import x\n" +
		"SCHEMA = \"\"\"\n\"properties\": {\"n\": {\"type\": \"integer\"}}\n\"\"\"\n"),
	"stages/org.osbuild.plain":             program("#!/usr/bin/python3\nimport osbuilder\n"),
	"stages/org.osbuild.broken":            program("#!/usr/bin/python3\nfrom osbuild import api\n"),
	"stages/org.osbuild.broken.meta.json":  file(`{"schema": {"type": "text"}}`),
	"stages/org.osbuild.link":              program("#!/bin/sh\n"),
	"stages/org.osbuild.link.meta.json":    {Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink | 0o777},
	"stages/org.osbuild.mine":              program("#!/usr/bin/python3\nimport osbuild\n"),
	"stages/org.osbuild.mine.json":         file(`{"summary": "our own description"}`),
	"stages/org.osbuild.mine.meta.json":    file(`{"summary": "not read"}`),
	"stages/test/test_hostname.py":         file("import osbuild\n"),
	"assemblers/org.osbuild.tar":           program("#!/usr/bin/python3\nimport osbuild.api as api\n"),
	"assemblers/org.osbuild.tar.meta.json": file(`{"summary": "Pack it", "schema_2": {"options": {"required": ["filename"]}}}`),
}

func TestOsbuildModules(t *testing.T) {
	t.Parallel()
	u := readUser(t, installation)
	c := catalog.Builtin().With(u)
	if !u.Package {
		t.Error("the Python package is not seen")
	}
	for _, x := range []struct {
		kind          module.Kind
		name, summary string
		python        bool
	}{
		{module.Stage, "org.osbuild.hostname", "Set the host's name", true},
		{module.Stage, "org.osbuild.old", "Do it as in 2020", true},
		{module.Stage, "org.osbuild.plain", "the program stages/org.osbuild.plain", false},
		{module.Stage, "org.osbuild.mine", "our own description", true},
		{module.Assembler, "org.osbuild.tar", "Pack it", true},
	} {
		m := c.User(x.kind, x.name)
		if got := c.Module(x.kind, x.name); m.Python != x.python || got.Summary != x.summary || got.Sandbox != module.Tools {
			t.Errorf("%s: Python %t, %q, %s", x.name, m.Python, got.Summary, got.Sandbox)
		}
	}
	for _, x := range []struct{ name, options, want string }{
		{"org.osbuild.hostname", `{"name": "a"}`, ""},
		{"org.osbuild.hostname", `{"hostname": "a"}`, `f:1:57: the option "name" is missing (at /stages/0/options)
f:1:58: unknown option "hostname" (at /stages/0/options/hostname); the options are name`},
		{"org.osbuild.hostname", `{"name": "x"}`, `f:1:66: "name" is "x", which does not match the pattern ^(?!x) (at /stages/0/options/name)`},
		{"org.osbuild.old", `{"n": "1"}`, `f:1:58: "n" must be an integer, found a string (at /stages/0/options/n)`},
		{"org.osbuild.plain", `{"any": 1}`, ""},
		{"org.osbuild.broken", `{}`, `f:1:55: stages/org.osbuild.broken.meta.json: its schema of the options cannot be used: `},
		{"org.osbuild.link", `{}`, `f:1:53: stages/org.osbuild.link.meta.json is a link; put the file itself there (at /stages/0/options)`},
	} {
		_, err := manifest.Load("f", []byte(`{"stages": [{"name": "`+x.name+`", "options": `+x.options+`}]}`), c)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if len(x.want) > 0 && x.want[len(x.want)-1] == ' ' && len(got) > len(x.want) {
			got = got[:len(x.want)]
		}
		if d := cmp.Diff(x.want, got); d != "" {
			t.Errorf("%s %s: %s", x.name, x.options, d)
		}
	}
}

// counting counts the files that are read.
type counting struct {
	fstest.MapFS
	read map[string]int
}

func (c counting) ReadFile(name string) ([]byte, error) {
	c.read[name]++
	return c.MapFS.ReadFile(name)
}

// Of an installation with hundreds of modules, only those that a manifest
// names are read, and once.
func TestOsbuildModulesAreReadWhenNamed(t *testing.T) {
	t.Parallel()
	files := counting{installation, map[string]int{}}
	u, err := catalog.ReadUser(files, "lib")
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.Builtin().With(u)
	for range 3 {
		if _, ok := c.Schema(module.Stage, "org.osbuild.hostname"); !ok {
			t.Error("there is no schema")
		}
	}
	want := map[string]int{"stages/org.osbuild.hostname": 1, "stages/org.osbuild.hostname.meta.json": 1, "stages/org.osbuild.mine.json": 1}
	if d := cmp.Diff(want, files.read); d != "" {
		t.Error(d)
	}
}
