//go:build e2e

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Modules as osbuild has them, with the package of internal/program's tests in
// place of osbuild's own.
const (
	pythonStage = `#!/usr/bin/python3
import os
import sys
import tempfile

import osbuild.api


def main(args):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        with open(os.path.join(scratch, "x"), "w") as f:
            f.write("x")
    with open("/etc/written-in-the-build-root", "w") as f:
        f.write("x")
    os.makedirs(args["tree"] + "/etc", exist_ok=True)
    with open(args["tree"] + "/etc/motd", "w") as f:
        print(args["options"]["text"], len(args["meta"]["id"]), args["meta"]["source-epoch"], file=f)
    osbuild.api.metadata({"text": args["options"]["text"]})
    if args["options"].get("fail"):
        raise ValueError("told to fail")


if __name__ == "__main__":
    with osbuild.api.exception_handler():
        main(osbuild.api.arguments())
`
	pythonMeta = `{"summary": "Set the message of the day", "description": ["In Python."], "capabilities": ["CAP_MAC_ADMIN"],
  "schema": {"additionalProperties": false, "required": ["text"],
    "properties": {"text": {"type": "string", "pattern": "^(?!bad)"}, "fail": {"type": "boolean", "default": false}}}}
`
	pythonAssembler = `#!/usr/bin/python3
import shutil
import sys

import osbuild.api


def main(inputs, output, options):
    shutil.copy(inputs["tree"]["path"] + "/etc/motd", output + "/" + options["filename"])
    return 0


if __name__ == "__main__":
    args = osbuild.api.arguments()
    sys.exit(main(args["inputs"], args["tree"], args["options"]))
`
	oldStage = `#!/usr/bin/python3
"""Set the message of the day, as in 2020"""

import json
import os
import sys

import osbuild.api

SCHEMA = """
"additionalProperties": false,
"required": ["text"],
"properties": {"text": {"type": "string"}}
"""

if __name__ == "__main__":
    osbuild.api.setup_stdio()
    args = json.load(sys.stdin)
    os.makedirs(args["tree"] + "/etc", exist_ok=True)
    with open(args["tree"] + "/etc/motd", "w") as f:
        print(args["options"]["text"], file=f)
    osbuild.api.metadata({"old": True})
`
	oldAssembler = `#!/usr/bin/python3
import shutil

import osbuild.api

args = osbuild.api.arguments()
shutil.copy(args["tree"] + "/etc/motd", args["output_dir"] + "/" + args["options"]["filename"])
`
	pythonBuild = `"build": {"stages": [{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}},
    {"name": "org.osbuildkit.apt", "options": {"packages": ["python3"]}}]}`
)

// osbuildLibdir makes a directory like an installation of osbuild.
func osbuildLibdir(t *testing.T, pkg string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../internal/program/testdata", pkg))); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, files)
	return dir
}

// TestOsbuildModules builds with modules that are written for osbuild of today
// and of 2020.
func TestOsbuildModules(t *testing.T) {
	need(t)
	unique := "# " + time.Now().Format(time.RFC3339Nano) + "\n"
	lib := osbuildLibdir(t, "today", map[string]string{
		"stages/org.example.shell":            "#!/bin/sh\n" + unique,
		"stages/org.example.motd":             pythonStage + unique,
		"stages/org.example.motd.meta.json":   pythonMeta,
		"assemblers/org.example.pack":         pythonAssembler,
		"runners/org.osbuild.linux":           "#!/usr/bin/python3\n",
		"stages/org.example.unused.meta.json": "{}",
		"stages/org.example.unused":           "#!/usr/bin/python3\nimport osbuild\n",
	})
	text := `{` + pythonBuild + `,
  "stages": [{"name": "org.example.shell"}, {"name": "org.example.motd", "options": {"text": "hello"}}],
  "assembler": {"name": "org.example.pack", "options": {"filename": "motd"}}}`
	file, out := textFile(t, "image.json", text), t.TempDir()
	expect := func(what string, want ...string) {
		t.Helper()
		p := build(t, "--libdir", lib, "-o", out, file)
		ran := slices.DeleteFunc(p.ran(), func(s string) bool { return strings.HasPrefix(s, "[build ") })
		if !slices.Equal(ran, want) {
			t.Errorf("%s: these ran: %q, want %q", what, ran, want)
		}
	}
	shell, motd, pack := "[tree 1/2] org.example.shell", "[tree 2/2] org.example.motd", "[assembler 1/1] org.example.pack"
	expect("at first", pack, shell, motd)
	if data, err := os.ReadFile(filepath.Join(out, "motd")); err != nil || !strings.HasPrefix(string(data), "hello 64 1") {
		t.Errorf("%q, %v", data, err)
	}
	writeFiles(t, lib, map[string]string{"osbuild/__pycache__/api.cpython-313.pyc": "x", "stages/org.example.unused": "#!/usr/bin/python3\nimport osbuild.api\n"})
	expect("after what is not used has changed")
	writeFiles(t, lib, map[string]string{"osbuild/util/more.py": unique})
	expect("after the package has changed", pack, motd)

	lib2020 := osbuildLibdir(t, "2020", map[string]string{"stages/org.example.motd": oldStage, "assemblers/org.example.pack": oldAssembler})
	old := textFile(t, "image.json", strings.Replace(text, `{"name": "org.example.shell"}, `, "", 1))
	p := build(t, "--libdir", lib2020, "-o", out, old)
	if data, err := os.ReadFile(filepath.Join(out, "motd")); err != nil || string(data) != "hello\n" {
		t.Errorf("with the package of 2020: %q, %v\n%s", data, err, p.text())
	}
	for _, x := range []struct {
		name, lib, options, want string
		code                     int
	}{
		{"exception", lib, `{"text": "a", "fail": true}`, "…  | ValueError: told to fail\n…  | org.example.motd: exit code 2\n  | org.example.motd: metadata: {\"text\":\"a\"}\n  | org.example.motd: ValueError: told to fail\n", 1},
		{"pattern", lib, `{"text": "bad"}`, `…"text" is "bad", which does not match the pattern ^(?!bad) (at /stages/0/options/text)` + "\n…", 2},
		{"schema of 2020", lib2020, `{"txt": "a"}`, `…unknown option "txt" (at /stages/0/options/txt)…`, 2},
	} {
		t.Run(x.name, func(t *testing.T) {
			bad := textFile(t, "image.json", `{`+pythonBuild+`, "stages": [{"name": "org.example.motd", "options": `+x.options+`}]}`)
			p := startBuild(t, "--libdir", x.lib, "-o", t.TempDir(), bad).wait()
			if p.code() != x.code || !matchText(x.want, p.text()) {
				t.Errorf("exit code %d\n%s\nwant:\n%s", p.code(), p.text(), x.want)
			}
		})
	}
}
