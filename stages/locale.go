package stages

import (
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// LocaleOptions are the options of org.osbuild.locale.
type LocaleOptions struct {
	// The language of the system as the name of a locale, such as en_US.UTF-8
	// or C.UTF-8.
	Language string `json:"language" jsonschema:"required,minLength=1,maxLength=127,pattern=^[A-Za-z0-9][A-Za-z0-9_.@+-]*$"`
}

// localeStage writes etc/locale.conf, as osbuild does with a build root of
// Fedora; with one of Debian it gets etc/default/locale instead. That file is
// left as it is: where the tree has one of its own, the log says so, because
// Debian's login programs read it. Osbuild removes the file before it looks at
// the name; here a bad name changes nothing. Whether the tree has the locale
// is not looked at, as a later stage may make it.
var localeStage = module.Module{
	Name:    "org.osbuild.locale",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "set the language of the system",
	Options: optionsOf[LocaleOptions],
	Check:   checkOf[LocaleOptions],
	Run:     runOf(runLocale),
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

func runLocale(in *module.Input, t *tree.Root, o *LocaleOptions) error {
	const debian = "etc/default/locale"
	if err := renewFile(in, t, "etc/locale.conf", []byte("LANG="+o.Language+"\n")); err != nil {
		return err
	}
	if st, err := t.Lstat(debian); err == nil && st.Mode().IsRegular() {
		in.Logf("the tree has a /%s of its own, which is left as it is", debian)
	}
	return nil
}
