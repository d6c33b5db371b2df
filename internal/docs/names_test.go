package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/catalog"
	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/lint"
	"github.com/osbuildkit/osbuildkit/manifest"
	"github.com/osbuildkit/osbuildkit/module"
)

var builtin = catalog.Builtin()

// everywhere calls fn for each match of a pattern in the text of all pages.
func everywhere(t *testing.T, pattern string, fn func(at place)) {
	t.Helper()
	r, n := regexp.MustCompile(pattern), 0
	for _, p := range pages(t) {
		for i, line := range strings.Split(string(p.source), "\n") {
			for _, m := range r.FindAllStringSubmatch(line, -1) {
				n++
				fn(place{p.name, i + 1, m[len(m)-1]})
			}
		}
	}
	if n == 0 {
		t.Errorf("nothing is like %s", pattern)
	}
}

// settings are the names that programs, scripts and builds of this repository
// take from outside: environment variables, build arguments, variables of make
// and bake.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	add := func(list []string) {
		for _, name := range list {
			names[name] = true
		}
	}
	own, buildkit := frontend.ArgNames()
	add(own)
	add(buildkit)
	for name := range source(t).environment {
		names[name] = true
	}
	add(readMakefile(t).variables)
	add(found(t, "docker-bake.hcl", `(?m)^variable "(\w+)"`))
	add(found(t, "Dockerfile", `(?m)^ARG (\w+)`))
	scripts, err := filepath.Glob(filepath.Join(root(t), "hack/*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, full := range scripts {
		data, err := os.ReadFile(full)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\$\{([A-Z]\w+)`).FindAllSubmatch(data, -1) {
			names[string(m[1])] = true
		}
	}
	return names
}

// TestSettings looks for the variables and build arguments that pages name.
func TestSettings(t *testing.T) {
	t.Parallel()
	known := settings(t)
	everywhere(t, `\b((?:OSBUILDKIT|BUILDKIT|BUILDX|SOURCE_DATE|DOCKER_BUILDKIT)_?[A-Z0-9_]*[A-Z0-9])\b(?:[^A-Z0-9_…]|$)`, func(at place) {
		if !known[at.text] && !excepted(at.page, at.text) {
			t.Errorf("%s: nothing reads %s", at, at.text)
		}
	})
	// Others are looked for where they are marked as code.
	for _, p := range pages(t) {
		for _, s := range p.spans {
			name, _, _ := strings.Cut(s.text, "=")
			if regexp.MustCompile(`^[A-Z]+_[A-Z_]*[A-Z]$`).MatchString(name) && !known[name] && !source(t).strings[name] && !excepted(s.page, name) {
				t.Errorf("%s: nothing of this repository knows %s", s, name)
			}
		}
	}
	for _, where := range source(t).unresolved {
		t.Errorf("%s reads an environment variable whose name is not constant: no page can be asked for it", where)
	}
}

// TestModules looks for the stages, assemblers and sources that pages name.
func TestModules(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, kind := range []module.Kind{module.Stage, module.Assembler} {
		for _, name := range builtin.Names(kind) {
			known[name] = true
		}
	}
	for _, name := range manifest.SourceNames() {
		known[name] = true
	}
	everywhere(t, `(?:^|[^\w./-])(org\.osbuild(?:kit)?\.[a-z0-9]+(?:[.-][a-z0-9]+)*)`, func(at place) {
		name := strings.TrimSuffix(at.text, ".md")
		// Labels, runners and the like are texts of the code.
		if !known[name] && !source(t).strings[name] && !excepted(at.page, name) {
			t.Errorf("%s: there is no %s", at, name)
		}
	})
}

// TestNamesOfCode looks for rules, tests and names of the source.
func TestNamesOfCode(t *testing.T) {
	t.Parallel()
	c := source(t)
	tests := 0
	for _, p := range pages(t) {
		for _, s := range p.spans {
			switch {
			case excepted(s.page, s.text):
			case testName.MatchString(s.text):
				tests++
				if !c.tests[s.text] {
					t.Errorf("%s: there is no test %s", s, s.text)
				}
			case regexp.MustCompile(`^([A-Z][a-z]+|URL){2,}$`).MatchString(s.text):
				if lint.Find(s.text) == nil && !c.declared[s.text] && !c.strings[s.text] {
					t.Errorf("%s: %s is no rule, and no name of the source", s, s.text)
				}
			case regexp.MustCompile(`^osbuildkit-[\w@-]+\.service$`).MatchString(s.text):
				if !c.mentions(s.text) {
					t.Errorf("%s: nothing makes the unit %s", s, s.text)
				}
			case regexp.MustCompile(`^[A-Za-z]+(\.[A-Z]\w+)+$`).MatchString(s.text):
				for _, part := range strings.Split(s.text, ".") {
					if !c.declared[part] && strings.ToUpper(part) != part { // NAME stands for names
						t.Errorf("%s: %s: nothing declares %s", s, s.text, part)
					}
				}
			}
		}
	}
	if tests < 20 {
		t.Errorf("only %d tests are named", tests)
	}
	// Rules are also named in values: skip=A,B, --skip A,B.
	everywhere(t, `skip[= ]([A-Z]\w{2,}(?:,\w+)*)`, func(at place) {
		for name := range strings.SplitSeq(at.text, ",") {
			if lint.Find(name) == nil && strings.ToUpper(name) != name && !excepted(at.page, name) {
				t.Errorf("%s: there is no rule %s", at, name)
			}
		}
	})
}

// TestFlags looks for the flags that pages name without their command.
func TestFlags(t *testing.T) {
	t.Parallel()
	own := ownFlags()
	for _, p := range pages(t) {
		for _, s := range p.spans {
			list, err := parseShell(s.text)
			if err != nil || len(list) != 1 || len(list[0].words) == 0 || !strings.HasPrefix(list[0].words[0], "--") {
				continue
			}
			for _, w := range list[0].words {
				name, _, _ := strings.Cut(strings.ReplaceAll(w, "[=", "="), "=")
				if !strings.HasPrefix(name, "--") || own[strings.TrimPrefix(name, "--")] || excepted(s.page, name) {
					continue
				}
				foreign := false
				for _, command := range []string{"buildx build", "buildx create", "buildx bake", "buildctl build", "buildkitd"} {
					words := strings.Fields(command + " " + name)
					foreign = foreign || checkForeign(t, "bin/"+words[0], words[1:]) == nil
				}
				if !foreign {
					t.Errorf("%s: neither osbuildkit, buildx, buildctl nor buildkitd has a flag %s", s, name)
				}
			}
		}
	}
}

// TestFiles looks for the files of the repository that pages name.
func TestFiles(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	var top []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			top = append(top, e.Name())
		}
	}
	// What builds make is there or not.
	ignored := strings.Fields(readFile(t, ".gitignore"))
	file := regexp.MustCompile(`^([\w-]+)/[\w./*-]+$`)
	n := 0
	look := func(at place, name string) {
		name = strings.TrimSuffix(name, "/")
		m := file.FindStringSubmatch(name)
		if m == nil || !slices.Contains(top, m[1]) || excepted(at.page, name) || slices.ContainsFunc(ignored, func(pattern string) bool {
			ok, _ := filepath.Match(strings.TrimPrefix(pattern, "/"), name)
			return ok || strings.HasSuffix(pattern, "/") && strings.HasPrefix("/"+name, pattern)
		}) {
			return
		}
		n++
		if hits, err := filepath.Glob(filepath.Join(root(t), name)); err != nil || len(hits) == 0 {
			t.Errorf("%s: there is no %s", at, name)
		}
	}
	for _, p := range pages(t) {
		for _, s := range p.spans {
			for word := range strings.FieldsSeq(s.text) {
				look(s, word)
			}
		}
		commands, _ := p.commands() // TestCommands has the errors
		for _, c := range commands {
			for _, word := range c.words {
				look(c.place, word)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d files are named", n)
	}
}

// TestPackages compares the list of packages in docs/architecture.md with the
// directories at the top.
func TestPackages(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(readFile(t, "docs/architecture.md"), "\n## Packages\n\n```\n")
	text, _, _ = strings.Cut(text, "\n```\n")
	listed := map[string]bool{}
	for line := range strings.Lines(text) {
		// Several may share a line; two spaces or more end them.
		names, _, _ := strings.Cut(line, "  ")
		for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' }) {
			if _, err := os.Stat(filepath.Join(root(t), name)); err != nil {
				if strings.HasPrefix(line, name) || strings.Contains(names, ",") {
					t.Errorf("docs/architecture.md: there is no %s", name)
				}
				continue
			}
			first, _, _ := strings.Cut(name, "/")
			listed[first] = true
		}
	}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	ignored := strings.Fields(readFile(t, ".gitignore"))
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() && !strings.HasPrefix(name, ".") && name != "docs" && !listed[name] && !slices.Contains(ignored, "/"+name+"/") {
			t.Errorf("docs/architecture.md does not list %s", name)
		}
	}
}

// TestMessages looks for the errors that docs/compatibility.md explains. Those of
// other programs are in the table of exceptions.
func TestMessages(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(readFile(t, "docs/compatibility.md"), "\n## What the errors mean\n")
	text, _, _ = strings.Cut(text, "\n## ")
	text = strings.Join(strings.Fields(text), " ")
	n := 0
	for _, m := range regexp.MustCompile("\\*\\*.*?\\*\\*").FindAllString(text, -1) {
		for _, code := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m, -1) {
			n++
			if excepted("docs/compatibility.md", code[1]) {
				continue
			}
			// What stands for values, and values, are between the parts of a message.
			for _, part := range regexp.MustCompile(`…|"[^"]*…[^"]*"|\bNAME\b|\bFILE\b`).Split(code[1], -1) {
				if part = strings.Trim(part, ` "`); part != "" && !source(t).mentions(part) {
					t.Errorf("docs/compatibility.md: %s: no message has %q", code[1], part)
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d messages were found", n)
	}
}

// TestFilesOfABuild compares the table of names that a build keeps for itself with
// the check of the names of outputs.
func TestFilesOfABuild(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(readFile(t, "docs/command-line.md"), "\n## Files of a build\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`.*`"+`) \|`).FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			name = strings.Trim(name, "`")
			listed = append(listed, name)
			if module.OutputNameError(strings.ReplaceAll(name, "*", "x")) == nil {
				t.Errorf("docs/command-line.md: the name %s is free", name)
			}
		}
	}
	// The names of the code are patterns there, or made of constants.
	for _, name := range []string{module.ChecksumsFile, module.PackagesFile, module.SBOMFile, module.ProvenanceFile,
		module.ScratchPrefix + "*", ".*" + module.PartialSuffix} {
		if !slices.Contains(listed, name) {
			t.Errorf("docs/command-line.md does not list %s", name)
		}
	}
	for text := range source(t).strings {
		if strings.Contains(text, ".spdx.") && strings.Contains(text, "*") && module.OutputNameError(text) != nil && !slices.Contains(listed, text) {
			t.Errorf("docs/command-line.md does not list %s", text)
		}
	}
}
