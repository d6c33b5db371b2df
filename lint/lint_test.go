package lint_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// lenient is the catalog of the built-in modules in which every other name is a
// module of somebody's own.
type lenient struct{ *catalog.Catalog }

func (c lenient) Schema(kind module.Kind, name string) ([]byte, bool) {
	// What is built in may be wrong for it: rules see options of all times.
	return []byte("{}"), true
}

func (c lenient) Check(module.Kind, string, json.RawMessage) []module.Problem { return nil }

func load(t testing.TB, text string) (*manifest.Manifest, lint.Modules) {
	t.Helper()
	fetch, err := catalog.ReadUser(fstest.MapFS{
		"stages/org.example.fetch":      {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"stages/org.example.fetch.json": {Data: []byte(`{"network": true}`), Mode: 0o644},
	}, "libdir")
	if err != nil {
		t.Fatal(err)
	}
	c := lenient{catalog.Builtin().With(fetch)}
	m, err := manifest.Load("image.json", []byte(text), c)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m, c
}

// found lists the findings as "rule pointer".
func found(t testing.TB, text string, c lint.Config) []string {
	t.Helper()
	m, modules := load(t, text)
	var out []string
	for _, f := range lint.Run(m, modules, c) {
		out = append(out, f.Rule+" "+f.Pointer)
	}
	return out
}

func TestRules(t *testing.T) {
	t.Parallel()
	rules := lint.Rules()
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.Name
		if !regexp.MustCompile(`^([A-Z][a-z]+|URL)+$`).MatchString(r.Name) {
			t.Errorf("%s is not in camel case", r.Name)
		}
		if strings.HasSuffix(r.Summary, ".") || !strings.HasSuffix(strings.TrimSpace(r.Why), ".") || strings.Contains(r.Summary, "\n") {
			t.Errorf("%s: a summary is a line without a full stop, and the reason is in sentences", r.Name)
		}
		if r.URL() != "https://github.com/osbuildkit/osbuildkit/blob/main/docs/lint/"+r.Name+".md" {
			t.Errorf("%s: %s", r.Name, r.URL())
		}
		if lint.Find(r.Name).Summary != r.Summary {
			t.Errorf("%s is not found by its name", r.Name)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("the rules are not sorted, or one is there twice: %v", names)
	}
	if lint.Find("NoSuchRule") != nil {
		t.Error("a rule that does not exist is found")
	}
}

// What the page of a rule shows is true: the bad manifest has that finding and no
// other, the good one has none, and only skipping the rule hides it.
func TestExamplesOfPages(t *testing.T) {
	t.Parallel()
	for _, r := range lint.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			m, modules := load(t, r.Bad)
			findings := lint.Run(m, modules, lint.Config{Skip: []string{"NoSuchRule"}})
			if len(findings) != 1 || findings[0].Rule != r.Name {
				t.Fatalf("bad: %+v", findings)
			}
			f := findings[0]
			if f.URL != r.URL() || f.Detail != r.Summary || f.File != "image.json" || string(f.Text.Data) != r.Bad {
				t.Errorf("%+v", f)
			}
			if f.Span.Start.Line < 2 || f.Span.Start.Line != f.Span.End.Line || f.Span.Start.Column >= f.Span.End.Column {
				t.Errorf("span %v", f.Span)
			}
			if strings.HasSuffix(f.Message, ".") || strings.Contains(f.Message, "\n") || !strings.Contains(f.Message, ":") && !strings.Contains(f.Message, "so ") {
				t.Errorf("the message does not say what to do: %s", f.Message)
			}
			if got := found(t, r.Good, lint.Config{}); got != nil {
				t.Errorf("good: %v", got)
			}
			if got := found(t, r.Bad, lint.Config{Skip: []string{r.Name}}); got != nil {
				t.Errorf("skipped: %v", got)
			}
			if got := found(t, r.Bad, lint.Config{SkipAll: true}); got != nil {
				t.Errorf("all skipped: %v", got)
			}
		})
	}
}

// notHere are rules whose good manifest has modules that are not built in.
var notHere = []string{"ModuleWithNetwork"}

// What the page of a rule recommends is accepted here.
func TestGoodIsAccepted(t *testing.T) {
	t.Parallel()
	for _, r := range lint.Rules() {
		if _, err := manifest.Load("image.json", []byte(r.Good), catalog.Builtin()); err != nil && !slices.Contains(notHere, r.Name) {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	m, modules := load(t, "{\"stages\": [\n  {\"name\": \"org.osbuildkit.debootstrap\", \"options\": {\"suite\": \"trixie\"}}]}")
	got := lint.Run(m, modules, lint.Config{Now: time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)})[0].String()
	want := `image.json:2:12: warning: UnpinnedRepository: the repository is not pinned, so the result changes when it does: ` +
		`add "snapshot": "20261130T000000Z"`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The examples of the repository have the findings that are meant and no other.
func TestExamples(t *testing.T) {
	t.Parallel()
	// Nobody is to log in to those that only show a disk or a service.
	intended := map[string][]string{
		"centos-stream-9.json": {"UnpinnedRepository /stages/0/options/repos/0", "UnpinnedRepository /stages/0/options/repos/1"},
		"debian-nginx.json":    {"UnpinnedRepository /stages/0", "NoLogin /assembler"},
		"debian-uefi.json":     {"UnpinnedRepository /stages/0", "NoLogin /assembler"},
		"debian-uki.json":      {"UnpinnedRepository /stages/0", "NoLogin /assembler"},
		"fedora-43.json":       {"UnpinnedRepository /stages/0/options/repos/0", "UnpinnedRepository /stages/0/options/repos/1"},
		"toolbox.json":         {"UnpinnedRepository /stages/0"},
	}
	files, err := filepath.Glob("../examples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(intended[filepath.Base(name)], found(t, string(data), lint.Config{})); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// intendedOfModules are findings about modules whatever their options are.
var intendedOfModules = map[string][]string{
	"org.osbuild.debug-shell": {"LoginWithoutPassword /stages/0"},
}

// The options that the modules' own help shows are good ones.
func TestExamplesOfModules(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range c.Names(kind) {
			data, err := os.ReadFile(filepath.Join("../catalog/examples", string(kind), name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprintf(`{"stages": [{"name": %q, "options": %s}]}`, name, data)
			if kind == module.Assembler {
				text = fmt.Sprintf(`{"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": %q, "options": %s}}`, name, data)
			}
			// That a module has been given up says nothing of its options.
			got := found(t, text, lint.Config{Skip: []string{"DeprecatedModule"}})
			if d := cmp.Diff(intendedOfModules[name], got); d != "" {
				t.Errorf("%s:\n%s", name, d)
			}
		}
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	stage := `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}},`
	text := `{"stages": [` + strings.TrimSuffix(strings.Repeat(stage, lint.MaxFindings), ",") + `]}`
	m, modules := load(t, text)
	if got := lint.Run(m, modules, lint.Config{}); len(got) != lint.MaxFindings || strings.Contains(got[lint.MaxFindings-1].Message, "more than") {
		t.Errorf("%d findings, the last is %q", len(got), got[len(got)-1].Message)
	}
	m, modules = load(t, strings.Replace(text, stage, stage+stage, 1))
	got := lint.Run(m, modules, lint.Config{})
	if len(got) != lint.MaxFindings || got[lint.MaxFindings-1].Message != "more than 99 warnings; the others are not shown" {
		t.Errorf("%d findings, the last is %q", len(got), got[len(got)-1].Message)
	}
}

// Findings in the file of the build environment name it and come last.
func TestBuildEnvironment(t *testing.T) {
	t.Parallel()
	c := lenient{catalog.Builtin()}
	const boot = `{"name": "org.osbuildkit.debootstrap", "options": {"suite": "trixie"}}`
	m, err := manifest.Load("image.json", []byte("{\n\n\"stages\": ["+boot+"]}"), c,
		manifest.WithBuildEnv("env.json", []byte(`{"pipeline": {"stages": [`+boot+`]}, "runner": "org.osbuild.linux"}`)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range lint.Run(m, c, lint.Config{}) {
		got = append(got, fmt.Sprintf("%s:%d %s %s", f.File, f.Span.Start.Line, f.Pipeline, f.Rule))
	}
	// The build root is not used, but it was not written for this manifest.
	want := []string{"image.json:3 tree UnpinnedRepository", "env.json:1 build UnpinnedRepository"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzRun(f *testing.F) {
	for _, r := range lint.Rules() {
		f.Add(r.Bad)
	}
	for _, c := range cases {
		f.Add(c.text)
	}
	c := lenient{catalog.Builtin()}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Load("fuzz", []byte(text), c)
		if err != nil {
			return
		}
		for _, x := range lint.Run(m, c, lint.Config{}) {
			if x.Span.Start.Line < 1 || x.Span.End.Line != x.Span.Start.Line {
				t.Errorf("%s: span %v", x.String(), x.Span)
			}
			if strings.ContainsAny(x.Message, "\n\x00") || len(x.Message) > 2000 {
				t.Errorf("message %q", x.Message)
			}
		}
	})
}
