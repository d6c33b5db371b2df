package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/client"
	"github.com/tonistiigi/fsutil"
)

// libdir makes a directory of modules: names ending in ! are executable.
func libdir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name, executable := strings.CutSuffix(name, "!")
		mode := os.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLibdir(t *testing.T) {
	t.Parallel()
	good := libdir(t, map[string]string{
		"stages/org.example.motd!":     "#!/bin/sh\n",
		"stages/org.example.motd.json": `{"summary": "set the motd", "schema": {"required": ["text"], "properties": {"text": {"type": "string"}}}}`,
		"stages/org.example.mode":      "#!/bin/sh\n",
		"assemblers/org.example.zip!":  "#!/bin/sh\n",
	})
	bad := libdir(t, map[string]string{"stages/a!": "#!/bin/sh\n", "stages/a.json": "{\n  \"sumary\": \"\"\n}"})
	const uses = `{"stages": [{"name": "org.example.motd", "options": {"text": 1}}], "assembler": {"name": "org.example.zip"}}`
	cases := []struct {
		name, stdin, stdout, stderr string
		args                        []string
		code                        int
	}{
		{name: "unknown without it", args: []string{"check", "-"}, stdin: `{"stages": [{"name": "org.example.motd"}]}`, code: 2,
			stderr: "<stdin>:1:22: unknown stage \"org.example.motd\" (at /stages/0/name); \"osbuildkit stages\" lists what exists\n" +
				"     1 | {\"stages\": [{\"name\": \"org.example.motd\"}]}\n       |                      ^^^^^^^^^^^^^^^^^^\n"},
		{name: "valid", args: []string{"check", "--libdir", good, "-"}, stdin: `{"stages": [{"name": "org.example.motd", "options": {"text": "a"}}]}`,
			stdout: "<stdin>: format 2019, 1 pipelines, 1 stages: valid\n"},
		{name: "options", args: []string{"check", "--libdir", good, "-"}, stdin: uses, code: 2,
			stderr: "<stdin>:1:62: \"text\" must be a string, found the number 1 (at /stages/0/options/text)\n     1 | " + uses +
				"\n       |                                                              ^\n"},
		{name: "checked before a build", args: []string{"build", "--builder", "unix:///nonexistent", "-l", good, "-"}, stdin: uses, code: 2,
			stderr: "<stdin>:1:62: \"text\" must be a string, found the number 1 (at /stages/0/options/text)\n     1 | " + uses +
				"\n       |                                                              ^\n"},
		{name: "bad description", args: []string{"stages", "--libdir", bad}, code: 2,
			stderr: bad + "/stages/a.json:2:3: unknown key \"sumary\" in the description of a module (at /sumary); did you mean \"summary\"?\n"},
		{name: "described", args: []string{"stages", "--libdir", good, "org.example.motd"},
			stdout: "org.example.motd (stage)\n\n  Set the motd.\n\n  A module of your own: stages/org.example.motd, run in the build root.\n\nOptions:\n  text (string, required)\n"},
		{name: "not executable", args: []string{"stages", "--libdir", good, "org.example.mode"}, code: 2,
			stderr: "osbuildkit: stages/org.example.mode is not executable: chmod +x it\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, c.stdin, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if d := cmp.Diff(c.stdout, stdout); d != "" {
				t.Errorf("stdout:\n%s", d)
			}
			if d := cmp.Diff(c.stderr, stderr); d != "" {
				t.Errorf("stderr:\n%s", d)
			}
		})
	}
	_, stdout, _ := execute(t, "", "stages", "--libdir", good)
	for _, want := range []string{"org.example.motd", "org.example.zip", "org.osbuild.hostname"} {
		if !strings.Contains(stdout, want+" ") {
			t.Errorf("%s is not listed:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "org.example.mode") {
		t.Errorf("what cannot be run is listed:\n%s", stdout)
	}
}

// --libdir is the named context and nothing else, and modules in an image are
// left to the frontend to check.
func TestLibdirIsAContext(t *testing.T) {
	t.Parallel()
	dir := libdir(t, map[string]string{"stages/a!": "#!/bin/sh\n"})
	var got []map[string]string
	for _, f := range []buildFlags{{manifestFlags: manifestFlags{libdir: dir}}, {contexts: []string{"libdir=" + dir}}} {
		opt := client.SolveOpt{FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{}}
		if err := addContexts(&opt, &f); err != nil {
			t.Fatal(err)
		}
		if opt.LocalMounts["context-libdir"] == nil {
			t.Error("the directory is not served")
		}
		got = append(got, opt.FrontendAttrs)
	}
	if d := cmp.Diff(got[0], got[1]); d != "" || got[0]["context:libdir"] != "local:context-libdir" {
		t.Errorf("%v\n%s", got[0], d)
	}
	a := &app{stderr: t.Output()}
	for _, f := range []buildFlags{{manifestFlags: manifestFlags{libdir: dir}}, {contexts: []string{"libdir=" + dir}}, {contexts: []string{"libdir=docker-image://example.com/modules"}}} {
		if err := a.contextModules(&f); err != nil {
			t.Fatal(err)
		}
		c, err := a.modules(&f.manifestFlags)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Schema("stage", "a"); !ok {
			t.Errorf("%v: the module is not known", f)
		}
	}
}

// The directory libdir beside the manifest is taken where none is given.
func TestLibdirBesideManifest(t *testing.T) {
	t.Parallel()
	lib := map[string]string{"libdir/stages/org.example.motd!": "#!/bin/sh\n", "image.json": `{"stages": [{"name": "org.example.motd"}]}`}
	other := libdir(t, map[string]string{"stages/org.example.other!": "#!/bin/sh\n"})
	found, none := libdir(t, lib), libdir(t, map[string]string{"libdir/lib/a": "", "image.json": lib["image.json"]})
	link := libdir(t, map[string]string{"image.json": lib["image.json"]})
	if err := os.Symlink(filepath.Join(found, "libdir"), filepath.Join(link, "libdir")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"check", []string{"check", filepath.Join(found, "image.json")}, 0},
		{"inspect", []string{"inspect", filepath.Join(found, "image.json")}, 0},
		{"another one is given", []string{"check", "--libdir", other, filepath.Join(found, "image.json")}, 2},
		{"no modules in it", []string{"check", filepath.Join(none, "image.json")}, 2},
		{"a link", []string{"check", filepath.Join(link, "image.json")}, 2},
	} {
		if code, stdout, stderr := execute(t, "", c.args...); code != c.code {
			t.Errorf("%s: exit code %d, %s%s", c.name, code, stdout, stderr)
		}
	}
}
