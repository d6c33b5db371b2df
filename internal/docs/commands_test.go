package docs

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/syntax"

	"github.com/osbuildkit/osbuildkit/frontend"
	"github.com/osbuildkit/osbuildkit/internal/cli"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// command is one command of a page.
type command struct {
	place
	words []string
	// variables are set for it alone.
	variables []string
	// whole says that the page shows all of it, and does not only talk about it.
	whole bool
}

// commands lists the commands of a page: those of its shell blocks and of the
// code within sentences.
func (p *page) commands() ([]command, error) {
	var out []command
	var wrong []error
	add := func(at place, text string, whole bool) {
		list, err := parseShell(text)
		if err != nil && whole {
			wrong = append(wrong, fmt.Errorf("%s: %w", at, err))
		}
		for _, c := range list {
			c.place, c.whole = at, whole
			out = append(out, c)
		}
	}
	for _, b := range p.blocks {
		switch b.language {
		case "sh":
			add(b.place, b.text, true)
		case "console":
			add(b.place, typed(b.text), true)
		case "yaml":
			for _, text := range scripts(b.text) {
				add(b.place, text, true)
			}
		}
	}
	for _, s := range p.spans {
		add(s, s.text, false)
	}
	return out, errors.Join(wrong...)
}

// typed is what a person has typed at a console: the lines after the prompt.
func typed(text string) string {
	var b strings.Builder
	more := false
	for line := range strings.Lines(text) {
		rest, is := strings.CutPrefix(line, "$ ")
		if !is && !more {
			continue
		}
		b.WriteString(rest)
		more = strings.HasSuffix(rest, "\\\n")
	}
	return b.String()
}

// scripts are the texts of a YAML document.
func scripts(text string) []string {
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return []string{"( " + text} // no shell either, which is reported
	}
	var out []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if strings.Contains(v, "docker buildx ") || strings.Contains(v, "osbuildkit ") {
				out = append(out, v)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	return out
}

// parseShell returns the simple commands in a text.
func parseShell(text string) ([]command, error) {
	f, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, err
	}
	var out []command
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			var c command
			for _, a := range n.Assigns {
				c.variables = append(c.variables, a.Name.Value)
			}
			for _, w := range n.Args {
				c.words = append(c.words, word(w.Parts))
			}
			out = append(out, c)
		case *syntax.DeclClause:
			var c command
			for _, a := range n.Args {
				if a.Name != nil {
					c.variables = append(c.variables, a.Name.Value)
				}
			}
			out = append(out, c)
		}
		return true
	})
	return out, nil
}

// word is a word of the shell without its quotes. What the shell would put in is "…".
func word(parts []syntax.WordPart) string {
	var b strings.Builder
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(word(p.Parts))
		default:
			b.WriteString("…")
		}
	}
	return b.String()
}

// placeholder matches values that stand for others: FILE, id=NAME, …, 10:N.
var placeholder = regexp.MustCompile(`…|\.\.\.|\b[A-Z]{1,}\b`)

// TestCommands looks for the commands that pages name and for their flags.
func TestCommands(t *testing.T) {
	t.Parallel()
	make := readMakefile(t)
	checked := map[string]int{}
	for _, p := range pages(t) {
		list, err := p.commands()
		if err != nil {
			t.Error(err)
		}
		for _, c := range list {
			program, err := c.check(t, make)
			if err != nil && !excepted(c.page, strings.Join(c.words, " ")) {
				t.Errorf("%s: %s: %v", c.place, strings.Join(c.words, " "), err)
			}
			checked[program]++
		}
	}
	for _, program := range []string{"osbuildkit", "docker buildx", "buildctl", "make"} {
		if checked[program] < 2 {
			t.Errorf("only %d commands of %s were found", checked[program], program)
		}
	}
}

// check looks at one command. It returns the program that it knows it by, if any.
func (c command) check(t *testing.T, m *makefile) (string, error) {
	words := c.words
	// What comes before the program may be another that starts it.
	if i := slices.Index(words, "osbuildkit"); i > 0 && slices.Contains([]string{"sudo", "nice", "systemd-run"}, words[0]) {
		words = words[i:]
	}
	if len(words) == 0 {
		return "", nil
	}
	program, args := filepath.Base(words[0]), words[1:]
	switch {
	case program == "osbuildkit":
		return program, checkOwn(cli.Commands(), args, c.whole)
	case len(args) > 0 && len(args[0]) > 1 && slices.Contains(commandNames(), words[0]) &&
		(strings.HasPrefix(args[0], "-") || placeholder.MatchString(args[0])):
		return "osbuildkit", checkOwn(cli.Commands(), words, false) // a command without the program's name, in a table
	case program == "docker" && len(args) > 0 && args[0] == "buildx":
		return "docker buildx", c.checkBuildx(t, args[1:])
	case program == "buildctl":
		return program, checkForeign(t, "bin/buildctl", args)
	case program == "make":
		return program, checkMake(m, args)
	}
	return "", nil
}

var commandNames = sync.OnceValue(func() []string {
	var names []string
	for _, c := range cli.Commands().Commands() {
		names = append(names, c.Name())
	}
	return names
})

// checkOwn looks at the arguments of osbuildkit.
func checkOwn(cmd *cobra.Command, args []string, whole bool) error {
	var positional []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			sub := subcommand(cmd, arg)
			switch {
			case len(positional) == 0 && sub != nil:
				cmd = sub
			case cmd.HasParent() && !cmd.HasSubCommands():
				positional = append(positional, arg)
			case !cmd.HasParent() && (strings.HasSuffix(arg, ".json") || placeholder.MatchString(arg)):
				if sub := subcommand(cmd, "build"); strings.HasSuffix(arg, ".json") {
					cmd = sub
				}
				positional = append(positional, arg)
			default:
				return fmt.Errorf("there is no command %q", arg)
			}
		default:
			name, value, given := strings.Cut(strings.TrimLeft(arg, "-"), "=")
			f := cmd.Flags().Lookup(name)
			if !strings.HasPrefix(arg, "--") {
				f = cmd.Flags().ShorthandLookup(name)
			}
			if f == nil {
				return fmt.Errorf("%s has no flag %s", cmd.CommandPath(), arg)
			}
			if !given && f.NoOptDefVal == "" && i+1 < len(args) {
				i++
				value, given = args[i], true
			}
			if err := checkValue(f, value); given && err != nil {
				return fmt.Errorf("%s: %w", arg, err)
			}
		}
	}
	if whole && cmd.Args != nil {
		return cmd.Args(cmd, positional)
	}
	return nil
}

func subcommand(cmd *cobra.Command, name string) *cobra.Command {
	for _, c := range cmd.Commands() {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// checkValue looks at the value of a flag, unless it stands for another.
func checkValue(f *pflag.Flag, value string) error {
	name, _, _ := strings.Cut(value, "=")
	own, buildkit := frontend.ArgNames()
	switch {
	case f.Name == "build-arg" && builtinArg.MatchString(name) && !slices.Contains(append(own, buildkit...), name):
		return fmt.Errorf("no build argument %s", name)
	case placeholder.MatchString(value):
		return nil
	case f.Name == "build-context" && !slices.Contains(frontend.ContextNames(), name) && !strings.HasPrefix(name, "sha256:"):
		return fmt.Errorf("no named context %q", name)
	case f.Name == "target" || f.Name == "export":
		return checkTarget(value)
	}
	return f.Value.Set(value)
}

var builtinArg = regexp.MustCompile(`^(OSBUILDKIT_|BUILDKIT_|SOURCE_DATE_)`)

// manifestTargets are the targets of a manifest that has all of them.
var manifestTargets = sync.OnceValue(func() []string {
	m, err := manifest.Load("all.json", []byte(`{"build": {"pipeline": {"stages": [{"name": "org.osbuild.noop"}]}, "runner": "r"},
		"stages": [{"name": "org.osbuild.noop"}], "assembler": {"name": "org.osbuild.noop"}}`), builtin)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, x := range frontend.Targets(m) {
		names = append(names, x.Name)
	}
	return names
})

func checkTarget(name string) error {
	if !slices.Contains(manifestTargets(), name) {
		return fmt.Errorf("no target %q; there are %v", name, manifestTargets())
	}
	return nil
}

// checkBuildx looks at the arguments of docker buildx.
func (c command) checkBuildx(t *testing.T, args []string) error {
	if err := checkForeign(t, "bin/buildx", args); err != nil || len(args) == 0 {
		return err
	}
	ofManifest := slices.ContainsFunc(args, func(a string) bool { return strings.HasSuffix(a, ".json") })
	frontendImage := slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "osbuildkit/frontend:1=") })
	for i, arg := range args[1:] {
		before := args[i]
		name, _, _ := strings.Cut(arg, "=")
		own, buildkit := frontend.ArgNames()
		switch {
		case before == "--build-arg" && builtinArg.MatchString(name) && !slices.Contains(append(own, buildkit...), name):
			return fmt.Errorf("no build argument %s", name)
		case before == "--build-arg" && builtinArg.MatchString(name), placeholder.MatchString(arg):
		case before == "--target" && ofManifest:
			if err := checkTarget(arg); err != nil {
				return err
			}
		case before == "--target" && !slices.Contains(found(t, "Dockerfile", `(?m)^FROM .* AS (\w+)$`), arg):
			return fmt.Errorf("the Dockerfile has no stage %s", arg)
		case before == "--build-context" && ofManifest && !frontendImage:
			if !slices.Contains(frontend.ContextNames(), name) && !strings.HasPrefix(name, "sha256:") {
				return fmt.Errorf("no named context %q", name)
			}
		case before == "--build-context" && !ofManifest && !strings.Contains(readFile(t, "Dockerfile"), name):
			return fmt.Errorf("the Dockerfile has no %q", name)
		case before == "--set":
			target, _, _ := strings.Cut(arg, ".")
			if target != "*" && !slices.Contains(bakeTargets(t), target) {
				return fmt.Errorf("the bake file has no target %s", target)
			}
		case args[0] == "bake" && !strings.HasPrefix(arg, "-"):
			if !slices.Contains(bakeTargets(t), arg) {
				return fmt.Errorf("the bake file has no target %s", arg)
			}
		}
	}
	return nil
}

func bakeTargets(t *testing.T) []string {
	return found(t, "docker-bake.hcl", `(?m)^(?:target|group) "([^"]+)"`)
}

// checkForeign asks a program that "make tools" builds for its flags. Where it is
// not built, nothing is known of it.
func checkForeign(t *testing.T, program string, args []string) error {
	var path []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") || len(path) == 2 {
			break
		}
		path = append(path, arg)
	}
	// The longest of the leading words that the program knows as a command.
	for ; ; path = path[:len(path)-1] {
		text, err := helpOf(filepath.Join(root(t), program), strings.Join(path, " "))
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return nil
		case err != nil && len(path) > 1:
			continue
		case err != nil:
			return err
		}
		for _, arg := range args {
			name, _, _ := strings.Cut(arg, "=")
			if arg == "-" || !strings.HasPrefix(arg, "-") || strings.Contains(name, " ") {
				continue
			}
			if !regexp.MustCompile(`(?m)(^|[\s,])` + regexp.QuoteMeta(name) + `([\s,]|$)`).MatchString(text) {
				return fmt.Errorf("%s %s has no flag %s", filepath.Base(program), strings.Join(path, " "), name)
			}
		}
		return nil
	}
}

var (
	helpMutex sync.Mutex
	helpTexts = map[string]string{}
)

// helpOf returns what a program says about one of its commands.
func helpOf(program, command string) (string, error) {
	helpMutex.Lock()
	defer helpMutex.Unlock()
	key := program + " " + command
	if text, ok := helpTexts[key]; ok {
		return text, nil
	}
	if _, err := exec.LookPath(program); err != nil {
		return "", exec.ErrNotFound
	}
	out, err := exec.Command(program, append(strings.Fields(command), "--help")...).CombinedOutput()
	text := string(out)
	// Both answer for a command that they do not know with what there is in all.
	// The first line with the command's name is that of its usage.
	if err == nil && !strings.Contains(text, filepath.Base(program)+" "+command) {
		err = errors.New("unknown")
	}
	if err != nil {
		return "", fmt.Errorf("%s has no command %q", filepath.Base(program), command)
	}
	// buildctl prints "--name value", buildx "--name type".
	helpTexts[key] = text
	return text, nil
}

// checkMake looks at the arguments of make.
func checkMake(m *makefile, args []string) error {
	for _, arg := range args {
		name, _, set := strings.Cut(arg, "=")
		switch {
		case set && !slices.Contains(m.variables, name):
			return fmt.Errorf("the Makefile has no variable %s", name)
		case set, strings.HasPrefix(arg, "-"), placeholder.MatchString(arg):
		case !slices.Contains(m.targets, arg) && !slices.Contains(m.files, arg):
			return fmt.Errorf("the Makefile has no target %s", arg)
		}
	}
	return nil
}

// TestParseShell keeps the tests honest: commands are found as a shell finds them.
func TestParseShell(t *testing.T) {
	t.Parallel()
	list, err := parseShell("A=1 osbuildkit build --x='a b' \\\n  \"c$D\" | tee x && (make y) # z\nexport B=$(date)\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprintf("%q %q", c.variables, c.words))
	}
	want := []string{`["A"] ["osbuildkit" "build" "--x=a b" "c…"]`, `[] ["tee" "x"]`, `[] ["make" "y"]`, `["B"] []`, `[] ["date"]`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{"osbuildkit biuld x.json", "osbuildkit build --nosuch x.json", "osbuildkit image cat --partition first a b",
		"osbuildkit build --target disk x.json", "osbuildkit build --build-arg OSBUILDKIT_MIROR=x x.json", "osbuildkit image cat a",
		"make nosuch", "make NOSUCH=1 image", "docker buildx build --target nosuch -f x.json .", "docker buildx bake nosuch"} {
		list, err := parseShell(text)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		list[0].whole = true
		if _, err := list[0].check(t, readMakefile(t)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
