package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

const (
	localeGenFile = "etc/locale.gen"
	localeDir     = "usr/lib/locale"
	localeArchive = localeDir + "/locale-archive"
	localeAliases = "usr/share/locale/locale.alias"
	localedef     = "localedef"
)

// supportedFiles list the locales that can be made: those of the package
// locales, and the administrator's own.
var supportedFiles = []string{"usr/share/i18n/SUPPORTED", "usr/local/share/i18n/SUPPORTED"}

// normalLocale is the name of a locale in the form in which glibc compares
// names: the character set is in small letters and digits.
func normalLocale(name string) string {
	base, set, ok := strings.Cut(name, ".")
	if !ok {
		return name
	}
	set, modifier, at := strings.Cut(set, "@")
	var b strings.Builder
	for _, c := range strings.ToLower(set) {
		if isAlnum(c) {
			b.WriteRune(c)
		}
	}
	name = base + "." + b.String()
	if at {
		name += "@" + modifier
	}
	return name
}

// ownLocale reports whether the C library has the locale by itself.
func ownLocale(name string) bool {
	return name == "C" || name == "POSIX" || normalLocale(name) == "C.utf8"
}

// localeEntry is a line of those lists: a locale and its character set.
type localeEntry struct{ name, charset string }

func (e localeEntry) line() string { return e.name + " " + e.charset }

// parseLocales reads such a list. A line that begins with # is none.
func parseLocales(text string) []localeEntry {
	var out []localeEntry
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && !strings.HasPrefix(f[0], "#") {
			out = append(out, localeEntry{f[0], f[1]})
		}
	}
	return out
}

// supported finds the locale in the lists. Without the package there are none.
func (o *LocaleOptions) supported(t *tree.Root) (entry localeEntry, installed bool, err error) {
	var names []string
	for _, file := range supportedFiles {
		text, there, err := readOptional(t, file)
		if err != nil {
			return localeEntry{}, false, err
		}
		installed = installed || there
		for _, e := range parseLocales(string(text)) {
			if normalLocale(e.name) == normalLocale(o.Language) {
				return e, true, nil
			}
			names = append(names, e.name)
		}
	}
	if !installed {
		return localeEntry{}, false, nil
	}
	hint := ""
	for _, name := range nearest(o.Language, names, 1) {
		hint = "; did you mean " + name + "?"
	}
	return localeEntry{}, true, fmt.Errorf("the package locales has no locale %s%s", o.Language, hint)
}

// guess returns the entry of a locale before the package that lists it is
// there. Without a character set in the name it is not known.
func (o *LocaleOptions) guess() (localeEntry, bool) {
	_, set, ok := strings.Cut(o.Language, ".")
	set, _, _ = strings.Cut(set, "@")
	if !ok || set == "" {
		return localeEntry{}, false
	}
	if strings.EqualFold(set, "utf8") || strings.EqualFold(set, "utf-8") {
		name, rest, _ := strings.Cut(o.Language, ".")
		if _, modifier, at := strings.Cut(rest, "@"); at {
			return localeEntry{name + ".UTF-8@" + modifier, "UTF-8"}, true
		}
		return localeEntry{name + ".UTF-8", "UTF-8"}, true
	}
	return localeEntry{o.Language, set}, true
}

// askFor returns etc/locale.gen so that it asks for a locale: whoever installs
// the package later, or runs locale-gen on the machine, makes it.
func askFor(t *tree.Root, e localeEntry) ([]editFile, error) {
	st, err := t.Lstat(localeGenFile)
	if err == nil && st.Mode()&fs.ModeSymlink != 0 {
		return nil, nil // to the list of all of them
	}
	text, _, err := readOptional(t, localeGenFile)
	if err != nil {
		return nil, err
	}
	if slices.Contains(parseLocales(string(text)), e) {
		return nil, nil
	}
	var b strings.Builder
	found := false
	for line := range strings.Lines(string(text)) {
		bare := strings.Join(strings.Fields(strings.TrimLeft(strings.TrimSpace(line), "#")), " ")
		if !found && strings.HasPrefix(line, "#") && bare == e.line() {
			line, found = bare+"\n", true
		}
		b.WriteString(line)
	}
	if !found {
		if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(e.line() + "\n")
	}
	return []editFile{{name: localeGenFile, text: b.String()}}, nil
}

// generate makes the locale in a tree of Debian, unless it is there, and
// returns what is to be written beside it.
func (o *LocaleOptions) generate(ctx context.Context, in *module.Input, t *tree.Root) ([]editFile, error) {
	if ownLocale(o.Language) {
		return nil, nil
	}
	entry, installed, err := o.supported(t)
	if err != nil {
		return nil, err
	}
	// The package locales-all has them ready, each in a directory of its own.
	ready, err := t.Exists(localeDir + "/" + normalLocale(o.Language))
	if err != nil || ready {
		return nil, err
	}
	if !installed {
		in.Logf("the tree has no locale %s: programs speak English until a later stage installs the package locales", o.Language)
		entry, ok := o.guess()
		if !ok {
			return nil, nil
		}
		return askFor(t, entry)
	}
	files, err := askFor(t, entry)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := f.possible(t); err != nil {
			return nil, err
		}
	}
	return files, entry.make(ctx, in, t)
}

// make compiles the locale as Debian's locale-gen does, which makes all others
// that etc/locale.gen asks for as well.
func (e localeEntry) make(ctx context.Context, in *module.Input, t *tree.Root) error {
	if err := needProgram(in, in.Tree, localedef, "libc-bin"); err != nil {
		return err
	}
	env := insideEnvironment(in)
	if ok, err := t.Exists("usr/local/share/i18n"); err != nil {
		return err
	} else if ok {
		env = append(env, "I18NPATH=/usr/local/share/i18n/")
	}
	if ok, err := e.made(ctx, in, t, env); err != nil || ok {
		return err
	}
	base, rest, _ := strings.Cut(e.name, ".")
	input := base
	if _, modifier, at := strings.Cut(rest, "@"); at {
		input += "@" + modifier
	}
	argv := []string{localedef, "-i", input, "-c", "-f", e.charset, "-A", "/" + localeAliases, e.name}
	if _, err := (command.Command{Argv: argv, Env: env, Root: in.Tree}).Run(ctx, in.Log); err != nil {
		// Code 1 says that there were warnings, of which some sources have many.
		if command.ExitCode(err) != 1 {
			return fmt.Errorf("making the locale %s: %w", e.name, err)
		}
		if ok, merr := e.made(ctx, in, t, env); merr != nil || !ok {
			return errors.Join(fmt.Errorf("making the locale %s: %w", e.name, err), merr)
		}
	}
	for _, name := range []string{localeArchive, localeDir} {
		if err := t.Chtimes(name, in.Time()); err != nil && !missing(err) {
			return err
		}
	}
	return nil
}

// made reports whether the archive of locales has it.
func (e localeEntry) made(ctx context.Context, in *module.Input, t *tree.Root, env []string) (bool, error) {
	if there, err := t.Exists(localeArchive); err != nil || !there {
		return false, err
	}
	list := command.Command{Argv: []string{localedef, "--list-archive"}, Env: env, Root: in.Tree, Quiet: true}
	out, err := list.Run(ctx, in.Log)
	if err != nil {
		return false, fmt.Errorf("reading the list of locales: %w", err)
	}
	return slices.Contains(strings.Fields(string(out)), normalLocale(e.name)), nil
}
