package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outline writes the pipelines of a manifest on a few lines.
func outline(m *Manifest) string {
	var b strings.Builder
	for _, p := range m.Pipelines {
		fmt.Fprintf(&b, "%s build=%s runner=%s base=%.4s %s#%s\n", p.Name, p.Build, p.Runner, p.Base, p.Text.File, p.Pointer)
		for _, s := range p.Stages {
			fmt.Fprintf(&b, "  %s %s %s #%s\n", s.Kind, s.Type, s.Options, s.Pointer)
			for _, in := range s.Inputs {
				fmt.Fprintf(&b, "    %s %s %s", in.Name, in.Type, in.Origin)
				for _, r := range in.References {
					fmt.Fprintf(&b, " %.12s%s", r.ID, r.Options)
				}
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

func TestLower(t *testing.T) {
	t.Parallel()
	noop := `{"name": "org.osbuild.noop"}`
	sha := strings.Repeat("a", 64)
	tests := []struct {
		name, manifest, env, want string
	}{
		{"empty", `{}`, ``, "tree build= runner= base= image.json#\n"},
		{"sources only", `{"sources": {}}`, ``, "tree build= runner= base= image.json#\n"},
		{"keys for other programs", `{"syntax": "x", "$schema": "y", "name": "Name"}`, "", "tree build= runner= base= image.json#\n"},
		{"keys for other programs in v1", `{"syntax": "x", "$schema": "y", "pipeline": {}}`, "", "tree build= runner= base= image.json#/pipeline\n"},
		{"2019", `{"name": "Name", "base": "` + sha + `",
			"stages": [{"name": "org.osbuild.noop", "options": { "x": 1.0, "a": [ 2 ] } }], "assembler": {"name": "org.osbuild.tar"}}`, "",
			`tree build= runner= base=aaaa image.json#
  stage org.osbuild.noop { "x": 1.0, "a": [ 2 ] } #/stages/0
assembler build= runner= base= image.json#/assembler
  assembler org.osbuild.tar {} #/assembler
    tree org.osbuild.tree org.osbuild.pipeline tree
`},
		{"2019 nested builds", `{"build": {"runner": "r1", "pipeline": {"build": {"stages": [` + noop + `], "base": null, "assembler": null}, "stages": [` + noop + `]}},
			"stages": [` + noop + `], "assembler": {"name": "org.osbuild.tar", "options": null}}`, "",
			`build-build build= runner= base= image.json#/build/pipeline/build
  stage org.osbuild.noop {} #/build/pipeline/build/stages/0
build build=build-build runner= base= image.json#/build/pipeline
  stage org.osbuild.noop {} #/build/pipeline/stages/0
tree build=build runner=r1 base= image.json#
  stage org.osbuild.noop {} #/stages/0
assembler build=build runner=r1 base= image.json#/assembler
  assembler org.osbuild.tar {} #/assembler
    tree org.osbuild.tree org.osbuild.pipeline tree
`},
		{"2019 runner alone", `{"build": {"runner": "r", "pipeline": null}}`, "", "tree build= runner=r base= image.json#\n"},
		{"2019 empty build", `{"build": {}}`, "", "tree build= runner= base= image.json#\n"},
		{"2019 null build", `{"build": null}`, "", "tree build= runner= base= image.json#\n"},
		{"2019 build from a base", `{"build": {"base": "` + sha + `"}}`, "",
			"build build= runner= base=aaaa image.json#/build\ntree build=build runner= base= image.json#\n"},
		{"2019 empty build with a build", `{"build": {"build": {"stages": [` + noop + `]}}}`, "",
			`build-build build= runner= base= image.json#/build/build
  stage org.osbuild.noop {} #/build/build/stages/0
build build=build-build runner= base= image.json#/build
tree build= runner= base= image.json#
`},
		{"v1", `{"pipeline": {"build": {"pipeline": {"stages": [` + noop + `]}, "runner": "r"}, "stages": [
			{"name": "org.osbuild.rpm", "options": {"packages": ["sha256:` + sha + `", {"checksum": "sha256:` + sha + `", "check_gpg": true}]}}]},
			"sources": {"org.osbuild.curl": {"urls": {"sha256:` + sha + `": "http://host/x"}}}}`, "",
			`build build= runner= base= image.json#/pipeline/build/pipeline
  stage org.osbuild.noop {} #/pipeline/build/pipeline/stages/0
tree build=build runner=r base= image.json#/pipeline
  stage org.osbuild.rpm {"packages": ["sha256:` + sha + `", {"checksum": "sha256:` + sha + `", "check_gpg": true}]} #/pipeline/stages/0
    packages org.osbuild.files org.osbuild.source sha256:aaaaa{"metadata": {"rpm.check_gpg": true}}
`},
		{"environment of a plain pipeline", `{"stages": [` + noop + `], "assembler": {"name": "org.osbuild.tar"}}`,
			`{"pipeline": {"stages": [` + noop + `]}, "runner": "re"}`,
			`build build= runner= base= env.json#/pipeline
  stage org.osbuild.noop {} #/pipeline/stages/0
tree build=build runner=re base= image.json#
  stage org.osbuild.noop {} #/stages/0
assembler build=build runner=re base= image.json#/assembler
  assembler org.osbuild.tar {} #/assembler
    tree org.osbuild.tree org.osbuild.pipeline tree
`},
		{"environment goes innermost", `{"build": {"stages": [` + noop + `]}}`,
			"# syntax=x\n" + `{"build": {"stages": [` + noop + `]}, "stages": [` + noop + `]}`,
			`build-build-build build= runner= base= env.json#/build
  stage org.osbuild.noop {} #/build/stages/0
build-build build=build-build-build runner= base= env.json#
  stage org.osbuild.noop {} #/stages/0
build build=build-build runner= base= image.json#/build
  stage org.osbuild.noop {} #/build/stages/0
tree build=build runner= base= image.json#
`},
		{"environment replaces an empty build", `{"pipeline": {"build": {"pipeline": {}, "runner": "r"}}}`,
			`{"pipeline": {"stages": [` + noop + `]}, "runner": "re"}`,
			`build build= runner= base= env.json#/pipeline
  stage org.osbuild.noop {} #/pipeline/stages/0
tree build=build runner=re base= image.json#/pipeline
`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var options []Option
			if test.env != "" {
				options = append(options, WithBuildEnv("env.json", []byte(test.env)))
			}
			if diff := cmp.Diff(test.want, outline(load(t, test.manifest, options...))); diff != "" {
				t.Errorf("pipelines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	sha := "sha256:" + strings.Repeat("b", 64)
	m := load(t, `{"sources": {
		"org.osbuild.files": {"urls": {"`+sha+`": { "url": "http://host/x", "insecure": true, "secrets": {"name": "s"} } } },
		"org.osbuild.librepo": {"items": {}, "options": {"mirrors": {}}}}}`)
	if m.Format != FormatV1 || len(m.Sources) != 2 {
		t.Fatalf("format %s, %d sources", m.Format, len(m.Sources))
	}
	want := &Source{Type: "org.osbuild.curl", Pointer: "/sources/org.osbuild.files"}
	got := m.Sources[0]
	if got.Type != want.Type || got.Pointer != want.Pointer {
		t.Errorf("got %s at %s, want %s at %s", got.Type, got.Pointer, want.Type, want.Pointer)
	}
	if item := string(got.Items[sha]); item != `{ "url": "http://host/x", "insecure": true, "secrets": {"name": "s"} }` {
		t.Errorf("item: %s", item)
	}
	if o := string(m.Sources[1].Options); o != `{"items": {}, "options": {"mirrors": {}}}` {
		t.Errorf("options: %s", o)
	}
}

// The environment takes part in the ids of what is built with it.
func TestBuildEnvChangesIDs(t *testing.T) {
	t.Parallel()
	m := load(t, `{"stages": [{"name": "org.osbuild.noop"}]}`, WithBuildEnv("e", []byte(`{"stages": [{"name": "org.osbuild.noop"}]}`)))
	if got, want := m.TreeID(), sum(`"org.osbuild.noop"`, `"`+noopID+`"`, "null", "{}"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
