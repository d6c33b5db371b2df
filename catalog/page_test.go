package catalog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/module"
)

func TestEveryModuleHasItsPage(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	index, err := os.ReadFile("../docs/modules/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		for _, name := range c.Names(kind) {
			page, err := os.ReadFile(filepath.Join("../docs/modules", name+".md"))
			if err != nil {
				t.Errorf("the %s %s has no page: %v", kind, name, err)
				continue
			}
			h, err := c.Help(kind, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range h.Options {
				if !strings.Contains(string(page), "\n- `"+o.Name+"` (") {
					t.Errorf("the page of %s does not have the option %s", name, o.Name)
				}
			}
			if row := "| [" + name + "](" + name + ".md) | " + string(kind) + " | "; !strings.Contains(string(index), row) {
				t.Errorf("the %s %s is not in the list", kind, name)
			}
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	pages, err := catalog.Builtin().Pages()
	if err != nil {
		t.Fatal(err)
	}
	const generated = "<!-- Made from the modules and the types of their options by \"go generate ./...\"; do not edit. -->\n"
	const want = generated + "# org.osbuild.hostname\n" + `
Set the name of the system.

Stage. Sandbox: edit. It works on the files of the tree alone and needs no build root.

## Options

` + "- `hostname` (string, required)" + `

  The name of the system, such as web1 or web1.example.org: labels of letters, digits and hyphens, joined by dots, 64 bytes at most. Where nothing else resolves it, as in Debian, it is entered in /etc/hosts as well. Packages that take the name when they are installed, such as postfix, see it if the stage stands before theirs.

` + "  Limits: from 1 to 64 characters; like `^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`" + `

## Example

` + "```json" + `
{
  "name": "org.osbuild.hostname",
  "options": {"hostname": "web1.example.org"}
}
` + "```" + `

[All stages and assemblers](README.md)
`
	if diff := cmp.Diff(want, pages["org.osbuild.hostname.md"]); diff != "" {
		t.Errorf("page (-want +got):\n%s", diff)
	}
	for name, parts := range map[string][]string{
		"org.osbuild.noop.md":       {"\n## The stage\n", "\n## The assembler\n", "\n### Options\n\nAny.\n", "\n### Options\n\nNone.\n"},
		"org.osbuild.fstab.md":      {"\n- `filesystems[].uuid` (string, this or `device` or `label` or `partlabel`)\n", "as text like `^[0-9]{1,18}$`"},
		"org.osbuild.qemu.md":       {"one of `raw` `raw.xz`", "Its root is the build root, whose programs it may run. It reads the ledger."},
		"org.osbuild.selinux.md":    {"Sandbox: edit. ", "It reads and writes the ledger."},
		"org.osbuildkit.apt.md":     {"Sandbox: tools and inside. It is made of several steps and may need a build root. It reads and writes the ledger."},
		"org.osbuildkit.noop.md":    nil,
		"org.osbuildkit.prepare.md": nil,
	} {
		if parts == nil && pages[name] != "" {
			t.Errorf("%s exists", name)
		}
		for _, part := range parts {
			if !strings.Contains(pages[name], part) {
				t.Errorf("%s has no %q:\n%s", name, part, pages[name])
			}
		}
	}
}

// What an author of a module writes stays text on a page, and every form of a
// schema that shows something is shown.
func TestHelpOfSchemas(t *testing.T) {
	t.Parallel()
	const schema = `{"properties": {
		"n": {"type": "number", "minimum": 1, "maximum": 5, "default": 2147483648},
		"x": {"type": ["integer", "string"], "exclusiveMinimum": 0, "exclusiveMaximum": 9, "multipleOf": 3, "pattern": "^[` + "`" + `]$", "default": ""},
		"l": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string", "enum": ["a", "b"], "maxLength": 4}},
		"o": {"type": "object", "propertyNames": {"pattern": "^k"}, "maxProperties": 3, "additionalProperties": {"type": "integer", "minimum": 0}},
		"c": {"const": false, "description": "One *two* <b> _three a_b [link](x)."},
		"p": {"type": "array", "items": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "object", "required": ["u"], "properties": {"u": {"type": "string", "minLength": 2}}}]}}
	}}`
	c := catalog.Builtin().With(readUser(t, fstest.MapFS{"stages/m": program("#!/bin/sh\n"), "stages/m.json": file(`{"summary": "do it", "schema": ` + schema + `}`)}))
	const want = `m (stage)

  Do it.

  A module of your own: stages/m, run in the build root.

Options:
  n (number, default 2147483648)
      Limits: from 1 to 5
  x (integer or string, default "")
      Limits: more than 0; less than 9; a multiple of 3; as text like ^[` + "`" + `]$
  l (list of strings)
      Limits: not empty; no element twice; each one of a b; each at most 4
      characters
  o (object of integers by name)
      Limits: at most 3 members; NAME like ^k; each at least 0
  c (any value, one of false)
      One *two* <b> _three a_b [link](x).
  p (list of string or objects)
  p[].u (string, required)
      Limits: at least 2 characters
`
	got, err := c.Describe(module.Stage, "m")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	pages, err := c.Pages()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"  One \\*two\\* \\<b> \\_three a_b \\[link\\](x).\n", "as text like ``^[`]$``", "default `\"\"`"} {
		if !strings.Contains(pages["m.md"], part) {
			t.Errorf("no %q:\n%s", part, pages["m.md"])
		}
	}
}
