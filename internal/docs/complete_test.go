package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/cli"
	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

// named reports whether a page marks a name as code, in a sentence or a block, or
// has it as a heading.
func named(t *testing.T, name string) bool {
	t.Helper()
	// A name ends where another character is none of a name.
	r := regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(name) + `($|[^\w-])`)
	for _, p := range pages(t) {
		if slices.Contains(p.headings, name) || slices.ContainsFunc(p.spans, func(s place) bool { return r.MatchString(s.text) }) ||
			slices.ContainsFunc(p.blocks, func(b block) bool { return r.MatchString(b.text) }) {
			return true
		}
	}
	return false
}

// walk calls fn for a command and all below it.
func walk(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			walk(sub, fn)
		}
	}
}

// ownFlags are the names of all flags of osbuildkit.
var ownFlags = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	walk(cli.Commands(), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	})
	return names
})

// TestEverythingIsNamed asks the pages for all that there is.
func TestEverythingIsNamed(t *testing.T) {
	t.Parallel()
	want := func(what, name string) {
		t.Helper()
		if !named(t, name) && !excepted("", name) {
			t.Errorf("no page names the %s %s", what, name)
		}
	}
	walk(cli.Commands(), func(cmd *cobra.Command) {
		want("command", cmd.CommandPath())
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { want("flag", "--"+f.Name) })
	})
	own, buildkit := frontend.ArgNames()
	for _, name := range slices.Concat(own, buildkit) {
		want("build argument", name)
	}
	for name, where := range source(t).environment {
		want("environment variable, which "+where+" reads,", name)
	}
	for name := range settings(t) {
		if strings.HasPrefix(name, "OSBUILDKIT_") {
			want("setting", name)
		}
	}
	for _, name := range frontend.ContextNames() {
		want("named context", name)
	}
	for _, name := range manifestTargets() {
		want("target", name)
	}
	for _, r := range lint.Rules() {
		want("rule", r.Name)
	}
	for _, name := range readMakefile(t).targets {
		want("target of make", "make "+name)
	}
	for _, name := range bakeTargets(t) {
		want("target of bake", name)
	}
}

// TestEveryModuleHasAPage looks for the pages about modules and sources.
func TestEveryModuleHasAPage(t *testing.T) {
	t.Parallel()
	have := map[string]*page{}
	for _, p := range pages(t) {
		have[p.name] = p
	}
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range builtin.Names(kind) {
			if have["docs/modules/"+name+".md"] == nil {
				t.Errorf("the %s %s has no page", kind, name)
			}
		}
	}
	sources := manifest.SourceNames()
	index := have["docs/sources/README.md"]
	for _, name := range sources {
		if p := have["docs/sources/"+name+".md"]; p == nil || !strings.HasPrefix(string(p.source), "# "+name+"\n") {
			t.Errorf("the source %s has no page", name)
		}
		if index == nil || !slices.ContainsFunc(index.links, func(l place) bool { return l.text == name+".md" }) {
			t.Errorf("docs/sources/README.md does not lead to %s", name)
		}
	}
	for name := range have {
		rest, is := strings.CutPrefix(name, "docs/sources/")
		if rest = strings.TrimSuffix(rest, ".md"); is && rest != "README" && !slices.Contains(sources, rest) {
			t.Errorf("%s is about a source that there is not", name)
		}
	}
}

// TestEveryPageIsReached follows links from README.md.
func TestEveryPageIsReached(t *testing.T) {
	t.Parallel()
	byName := map[string]*page{}
	for _, p := range pages(t) {
		byName[p.name] = p
	}
	reached := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		p := byName[name]
		if p == nil || reached[name] {
			return
		}
		reached[name] = true
		for _, l := range p.links {
			target, _, _ := strings.Cut(l.text, "#")
			visit(filepath.ToSlash(filepath.Join(filepath.Dir(name), target)))
		}
	}
	visit("README.md")
	for name := range byName {
		if !reached[name] {
			t.Errorf("no link leads to %s", name)
		}
	}
}

// TestExitCodes compares the table of exit codes with the help, which has those of
// the program.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	_, help, _ := strings.Cut(cli.Commands().Long, "Exit codes:")
	codes := func(text, pattern string) []string {
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		return out
	}
	_, table, _ := strings.Cut(readFile(t, "docs/command-line.md"), "\n## Exit codes\n")
	table, _, _ = strings.Cut(table, "\n## ")
	want, got := codes(help, `(?m)^ +(\d+)  `), codes(table, `(?m)^\| (\d+) \|`)
	if len(want) < 5 || !slices.Equal(want, got) {
		t.Errorf("the help has the exit codes %v, and docs/command-line.md %v", want, got)
	}
}
