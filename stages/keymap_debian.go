package stages

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/stages/keyboard"
	"github.com/osbuildkit/osbuildkit/tree"
)

const (
	vconsoleFile     = "etc/vconsole.conf"
	keyboardFile     = "etc/default/keyboard"
	consoleSetupFile = "etc/default/console-setup"
	consoleFontDir   = "usr/share/consolefonts"
	xkbRules         = "usr/share/X11/xkb/rules/base.lst"
)

// commonModel is the keyboard of nearly everybody.
const commonModel = "pc105"

// groupOptions are XKB's options for several layouts: both shift keys change
// from one to the next.
const groupOptions = "grp:shifts_toggle,grp_led:scroll"

// keyboard returns what Debian's console is to have. Listed says that XKB has
// it without doubt.
func (o *KeymapOptions) keyboard() (k keyboard.Keyboard, listed bool, err error) {
	k, listed, ok := keyboard.Of(o.Keymap)
	switch {
	case ok:
		return k, listed, nil
	case o.X11Keymap != nil:
		return keyboard.OfX11(o.X11Keymap.Layouts), true, nil
	}
	return keyboard.Keyboard{}, false, keyboard.Unknown(o.Keymap)
}

// knownVariant looks a variant that the name of a keymap says up in the list of
// the tree's XKB, if that is there.
func knownVariant(t *tree.Root, keymap string, k keyboard.Keyboard) error {
	if k.Variant == "" {
		return nil
	}
	list, there, err := readOptional(t, xkbRules)
	if err != nil || !there {
		return err
	}
	var variants []string
	section := ""
	for line := range strings.Lines(string(list)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "!":
			section = f[1]
		case section == "variant" && len(f) > 1 && f[1] == k.Layout+":":
			variants = append(variants, f[0])
		}
	}
	if slices.Contains(variants, k.Variant) {
		return nil
	}
	hint := ""
	for _, name := range nearest(k.Variant, variants, 1) {
		hint = "; did you mean " + k.Layout + "-" + name + "?"
	}
	return fmt.Errorf("the keymap %s: the layout %s has no variant %s in the tree's /%s%s", quote(keymap), k.Layout, k.Variant, xkbRules, hint)
}

// xkbOptions returns XKB's options: those that are there, and how to change
// between two layouts.
func xkbOptions(before string, k keyboard.Keyboard) string {
	if !strings.Contains(k.Layout, ",") {
		return before
	}
	var kept []string
	for _, o := range strings.Split(before, ",") {
		if o != "" && !strings.HasPrefix(o, "grp:") && !strings.HasPrefix(o, "grp_led:") {
			kept = append(kept, o)
		}
	}
	return strings.Join(append(kept, groupOptions), ",")
}

const newKeyboardFile = `# KEYBOARD CONFIGURATION FILE

# Consult the keyboard(5) manual page.

XKBMODEL=""
XKBLAYOUT=""
XKBVARIANT=""
XKBOPTIONS=""

BACKSPACE="guess"
`

// debianFiles returns the files of Debian's console: console-setup knows the
// keyboard by XKB's words in etc/default/keyboard, makes the keymap from them,
// and so do the initial RAM disk and X11. Where etc/vconsole.conf is that same
// file, the name of the keymap is in it as well, for dracut and localectl.
func (o *KeymapOptions) debianFiles(in *module.Input, t *tree.Root, debian debianFiles) ([]editFile, error) {
	k, listed, err := o.keyboard()
	if err != nil {
		return nil, err
	}
	if !listed {
		if err := knownVariant(t, o.Keymap, k); err != nil {
			return nil, err
		}
	}
	before, there, err := readOptional(t, keyboardFile)
	if err != nil {
		return nil, err
	}
	text := string(before)
	if !there {
		text = newKeyboardFile
	}
	model := k.Model
	if model == "" {
		model = commonModel
	}
	set := []variable{
		{"XKBMODEL", model}, {"XKBLAYOUT", k.Layout}, {"XKBVARIANT", k.Variant},
		{"XKBOPTIONS", xkbOptions(getVariable(text, "XKBOPTIONS"), k)},
	}
	var files []editFile
	if one := linksTo(t, vconsoleFile, keyboardFile); one || debian.links {
		set = append(set, variable{"KEYMAP", o.Keymap})
		files = append(files, editFile{name: vconsoleFile, text: "default/keyboard", link: !one})
		if one {
			files = nil
		}
	} else {
		files = append(files, o.vconsole())
	}
	files = append(files, editFile{name: keyboardFile, text: setVariables(text, set)})
	if o.Font == "" {
		return files, nil
	}
	font, err := o.consoleFont(in, t)
	if err != nil {
		return nil, err
	}
	setup, _, err := readOptional(t, consoleSetupFile)
	if err != nil {
		return nil, err
	}
	return append(files, editFile{name: consoleSetupFile, text: setVariables(string(setup), []variable{{"FONT", font}})}), nil
}

// consoleFont returns the name of the font's file, as console-setup wants it.
func (o *KeymapOptions) consoleFont(in *module.Input, t *tree.Root) (string, error) {
	const usual = ".psf.gz"
	for _, end := range []string{"", usual, ".psf", ".psfu.gz", ".psfu"} {
		ok, err := t.Exists(consoleFontDir + "/" + o.Font + end)
		if err != nil {
			return "", err
		}
		if ok {
			return o.Font + end, nil
		}
	}
	in.Logf("the tree has no font %s in /%s: the console has its default until a later stage installs it (package console-setup)", o.Font, consoleFontDir)
	if strings.Contains(o.Font, ".psf") {
		return o.Font, nil
	}
	return o.Font + usual, nil
}
