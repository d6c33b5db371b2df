package catalog_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

func program(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o755} }

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

func readUser(t *testing.T, files fstest.MapFS) *catalog.User {
	t.Helper()
	u, err := catalog.ReadUser(files, "lib")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var good = fstest.MapFS{
	"stages/org.example.motd": program("#!/bin/sh\n"),
	"stages/org.example.motd.json": file(`{"summary": "Set the message of the day.", "description": "It is shown at login.",
		"schema": {"additionalProperties": false, "required": ["text"], "properties": {
			"text": {"type": "string", "description": "The text."}, "pair": {"items": [{"type": "string"}]}, "any": {}}}}`),
	"stages/org.example.plain":         program("#!/bin/sh\n"),
	"stages/org.example.plain.d/words": file("a"),
	"stages/org.osbuild.hostname":      program("#!/bin/sh\n"),
	"stages/org.osbuild.hostname.json": file(`{"sandbox": "inside"}`),
	"stages/org.osbuildkit.prepare":    program("#!/bin/sh\n"),
	"stages/osbuild.meta.json":         file(`{"not": "ours"}`),
	"stages/osbuild":                   program("#!/usr/bin/python3\n"),
	"stages/.hidden":                   program("#!/bin/sh\n"),
	"stages/README":                    file("read me"),
	"assemblers/org.example.zip":       program("\x7fELF"),
	"runners/org.example.runner":       program("x"),
}

func TestUserModules(t *testing.T) {
	t.Parallel()
	builtin := catalog.Builtin()
	c := builtin.With(readUser(t, good))
	var got []string
	for _, kind := range kinds {
		for _, name := range c.Names(kind) {
			if u := c.User(kind, name); u != nil {
				m := c.Module(kind, name)
				got = append(got, fmt.Sprintf("%s %s: %s %s %s %s %s", m.Kind, m.Name, m.Sandbox, m.Group, m.Summary, u.Program, u.Files))
			}
		}
	}
	want := []string{
		"stage org.example.motd: tools programs Set the message of the day stages/org.example.motd ",
		"stage org.example.plain: tools programs the program stages/org.example.plain stages/org.example.plain stages/org.example.plain.d",
		"stage org.osbuild.hostname: inside programs the program stages/org.osbuild.hostname stages/org.osbuild.hostname ",
		"stage org.osbuildkit.prepare: tools programs the program stages/org.osbuildkit.prepare stages/org.osbuildkit.prepare ",
		"stage osbuild: tools programs the program stages/osbuild stages/osbuild ",
		"assembler org.example.zip: tools programs the program assemblers/org.example.zip assemblers/org.example.zip ",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if m := builtin.Module(module.Stage, "org.osbuild.hostname"); m.Sandbox != module.Edit {
		t.Error("With has changed the catalog that it was called on")
	}
	if _, ok := c.Example(module.Stage, "org.osbuild.hostname"); ok {
		t.Error("the example of the built-in module is shown for the user's")
	}
}

func TestDescribeUserModule(t *testing.T) {
	t.Parallel()
	got, err := catalog.Builtin().With(readUser(t, good)).Describe(module.Stage, "org.example.motd")
	if err != nil {
		t.Fatal(err)
	}
	const want = `org.example.motd (stage)

  Set the message of the day.

  It is shown at login.

  A module of your own: stages/org.example.motd, run in the build root.

Options:
  text (string, required)
      The text.
  pair (any value)
  any (any value)
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The options of a user's module are checked as those of a built-in one.
func TestUserOptions(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin().With(readUser(t, good))
	for _, x := range []struct{ name, options, want string }{
		{"org.example.motd", `{"text": "a"}`, ""},
		{"org.example.motd", `{"txet": "a"}`, `f:1:53: the option "text" is missing (at /stages/0/options)
f:1:54: unknown option "txet" (at /stages/0/options/txet); did you mean "text"?`},
		{"org.example.plain", `{"a": [1]}`, ""},
		{"org.example.plain", `3`, `f:1:54: "options" must be an object, found a number (at /stages/0/options)`},
		{"org.osbuild.hostname", `{"not": "the built-in options"}`, ""},
		{"org.example.mtod", `{}`, `f:1:22: unknown stage "org.example.mtod" (at /stages/0/name); did you mean "org.example.motd"?`},
		{"README", `{}`, `f:1:43: stages/README is not executable: chmod +x it (at /stages/0/options)`},
	} {
		_, err := manifest.Load("f", []byte(`{"stages": [{"name": "`+x.name+`", "options": `+x.options+`}]}`), c)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != x.want {
			t.Errorf("%s %s:\n got %s\nwant %s", x.name, x.options, got, x.want)
		}
	}
}

func TestUserErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, want string
		files      fstest.MapFS
	}{
		{"empty", `lib holds neither stages/ nor assemblers/: modules of your own are stages/NAME and assemblers/NAME`, fstest.MapFS{}},
		{"stages is a file", `lib/stages is a file, and a directory is needed`, fstest.MapFS{"stages": file("")}},
		{"stages is a link", `lib/stages is a link, and a directory is needed`, fstest.MapFS{"stages": {Data: []byte("/etc"), Mode: fs.ModeSymlink | 0o777}}},
		{"nothing described", `lib/stages/a.json:1:1: it describes no module: there is no file stages/a; name it as the module, with .json`,
			fstest.MapFS{"stages/a.json": file("{}")}},
		{"link in place of a description", `lib/stages/a.json:1:1: it is a link; put the file itself there`,
			fstest.MapFS{"stages/a": program("x"), "stages/a.json": {Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink | 0o777}}},
		{"directory in place of a description", `lib/stages/a.json:1:1: it is a directory; put the file itself there`,
			fstest.MapFS{"stages/a": program("x"), "stages/a.json/x": file("x")}},
		{"huge description", `lib/stages/a.json:1:1: it has 1048577 bytes; the limit is 1048576`,
			fstest.MapFS{"stages/a": program("x"), "stages/a.json": file(strings.Repeat(" ", 1<<20+1))}},
		{"several", `lib/stages/a.json:2:1: unknown key "sumary" in the description of a module (at /sumary); did you mean "summary"?
lib/assemblers/b.json:1:13: an assembler reads a finished tree and runs in the build root, not in the tree (at /sandbox); write "tools", or leave it out`,
			fstest.MapFS{"stages/a": program("x"), "stages/a.json": file("{\n\"sumary\": 1}"), "assemblers/b": program("x"), "assemblers/b.json": file(`{"sandbox": "inside"}`)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := catalog.ReadUser(c.files, "lib")
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTooManyFiles(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for i := range 2001 {
		files[fmt.Sprintf("stages/a%d", i)] = program("x")
	}
	_, err := catalog.ReadUser(files, "lib")
	if err == nil || err.Error() != "lib/stages holds 2001 files, more than 2000" {
		t.Error(err)
	}
}

// A hostile directory on a disk: nothing outside it is read, nothing blocks,
// and what is no program is said to be none where a manifest names it.
func TestHostileDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stages := filepath.Join(dir, "lib", "stages")
	run := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	run(os.MkdirAll(filepath.Join(stages, "directory"), 0o755))
	run(os.WriteFile(filepath.Join(dir, "secret"), []byte("#!/bin/sh\n"), 0o755))
	run(os.Symlink("../../secret", filepath.Join(stages, "out")))
	run(os.Symlink(filepath.Join(dir, "secret"), filepath.Join(stages, "absolute")))
	run(os.Symlink("loop", filepath.Join(stages, "loop")))
	run(syscall.Mkfifo(filepath.Join(stages, "pipe"), 0o777))
	run(os.WriteFile(filepath.Join(stages, "mode"), []byte("#!/bin/sh\n"), 0o644))
	run(os.WriteFile(filepath.Join(stages, "empty"), nil, 0o755))
	run(os.WriteFile(filepath.Join(stages, "a b"), []byte("#!/bin/sh\n"), 0o755))
	run(os.WriteFile(filepath.Join(stages, "-rf"), []byte("#!/bin/sh\n"), 0o755))
	run(os.WriteFile(filepath.Join(stages, "new\nline"), []byte("#!/bin/sh\n"), 0o755))
	run(os.WriteFile(filepath.Join(stages, "files"), []byte("#!/bin/sh\n"), 0o755))
	run(os.Symlink("/etc", filepath.Join(stages, "files.d")))
	run(os.WriteFile(filepath.Join(stages, "huge"), nil, 0o755))
	run(os.Truncate(filepath.Join(stages, "huge"), 1<<40))
	root, err := os.OpenRoot(filepath.Join(dir, "lib"))
	run(err)
	defer root.Close()
	u, err := catalog.ReadUser(root.FS().(catalog.Dir), "lib")
	run(err)
	c := catalog.Builtin().With(u)
	for name, want := range map[string]string{
		"directory": "stages/directory is a directory and not a program",
		"out":       "stages/out is a link; put the program itself there",
		"absolute":  "stages/absolute is a link; put the program itself there",
		"loop":      "stages/loop is a link; put the program itself there",
		"pipe":      "stages/pipe is a pipe and not a program",
		"mode":      "stages/mode is not executable: chmod +x it",
		"empty":     "stages/empty is empty",
		"a b":       `"a b" cannot be the name of a module: use letters, digits, ".", "_" and "-", at most 200`,
		"-rf":       `"-rf" cannot be the name of a module: use letters, digits, ".", "_" and "-", at most 200`,
		"new\nline": `"new\nline" cannot be the name of a module: use letters, digits, ".", "_" and "-", at most 200`,
		"files":     "stages/files.d is a link, and a directory with files for stages/files is needed",
		"files.d":   "stages/files.d is a link; put the program itself there",
		"huge":      "stages/huge has 1099511627776 bytes; the limit is 268435456",
	} {
		problems := c.Check(module.Stage, name, []byte("{}"))
		if len(problems) != 1 || problems[0].Message != want {
			t.Errorf("%q: %v, want %s", name, problems, want)
		}
		if _, ok := c.Schema(module.Stage, name); !ok {
			t.Errorf("%q is not known, so nothing would say what is wrong with it", name)
		}
	}
	for _, name := range c.Names(module.Stage) {
		if c.User(module.Stage, name) != nil {
			t.Errorf("%q is listed", name)
		}
	}
}
