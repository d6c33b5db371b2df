package stages

import (
	"context"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// LocaleOptions are the options of org.osbuild.locale.
type LocaleOptions struct {
	// The language of the system as the name of a locale, such as en_US.UTF-8
	// or C.UTF-8. In Debian a locale other than C.UTF-8 needs the package
	// locales, before or after this stage: the locale is made from it.
	Language string `json:"language" jsonschema:"required,minLength=1,maxLength=127,pattern=^[A-Za-z0-9][A-Za-z0-9_.@+-]*$"`
}

// localeStage writes etc/locale.conf, as osbuild does with a build root of
// Fedora; with one of Debian it gets etc/default/locale instead, which is what
// Debian's login programs read. Here a tree of Debian gets both, of which one
// may be a link to the other. Osbuild removes the file before it looks at the
// name; here a bad name changes nothing.
//
// Debian's locales are made from their sources by localedef, which is the
// reason for running inside the tree. Elsewhere they are packages, and whether
// the tree has the locale is not looked at, as a later stage may install it.
var localeStage = module.Module{
	Name:    "org.osbuild.locale",
	Kind:    module.Stage,
	Sandbox: module.Inside,
	Group:   module.GroupStages,
	Summary: "set the language of the system",
	Options: optionsOf[LocaleOptions],
	Check:   checkOf[LocaleOptions],
	Run:     runLocaleOf,
}

const (
	localeFile       = "etc/locale.conf"
	debianLocaleFile = "etc/default/locale"
)

func runLocaleOf(ctx context.Context, in *module.Input) error {
	return runOf(func(in *module.Input, t *tree.Root, o *LocaleOptions) error { return runLocale(ctx, in, t, o) })(ctx, in)
}

func (o *LocaleOptions) check() []module.Problem {
	return checkWord("/language", o.Language, "the name of a locale", "_.@+-")
}

// maxWord is the longest name of a locale or a keymap.
const maxWord = 127

// checkWord checks that a text is one word that needs no quotes in a file of
// the shell's form: it begins with a letter or a digit and goes on with these
// and the others given.
func checkWord(pointer, word, what, others string) []module.Problem {
	bad := func(why string) []module.Problem {
		return []module.Problem{{Pointer: pointer, Message: quote(word) + " is not " + what + ": " + why}}
	}
	switch {
	case word == "":
		return bad("it is empty")
	case len(word) > maxWord:
		return bad("it is longer than 127 bytes")
	case !isAlnum(rune(word[0])):
		return bad("begin with a letter or a digit")
	}
	for _, c := range word {
		if !isAlnum(c) && !strings.ContainsRune(others, c) {
			return bad("use letters, digits and " + others + ", not " + quote(string(c)))
		}
	}
	return nil
}

func runLocale(ctx context.Context, in *module.Input, t *tree.Root, o *LocaleOptions) error {
	debian, err := debianFilesOf(t)
	if err != nil {
		return err
	}
	text := "LANG=" + o.Language + "\n"
	conf := editFile{name: localeFile, text: text, renew: true}
	if !debian.is {
		return writeAll(in, t, []editFile{conf})
	}
	pam := editFile{name: debianLocaleFile, text: text, renew: true}
	files := []editFile{conf, pam}
	switch {
	case linksTo(t, localeFile, debianLocaleFile):
		files = []editFile{pam}
	case debian.links || linksTo(t, debianLocaleFile, localeFile):
		files[1] = editFile{name: debianLocaleFile, text: "../locale.conf", link: true}
	}
	for _, f := range files {
		if err := f.possible(t); err != nil {
			return err
		}
	}
	made, err := o.generate(ctx, in, t)
	if err != nil {
		return err
	}
	return writeAll(in, t, append(files, made...))
}
